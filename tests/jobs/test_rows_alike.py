"""Whatever is done with jobs, by whichever worker, in whatever order: Postgres tells what the fake tells."""

import itertools
import random
from datetime import timedelta
from uuid import UUID

import pytest

from tenfold.core.ids import TenantId, uuid7
from tenfold.jobs.types import Job, Progress, Result, Work
from tenfold.store import Store
from tests.jobs.rows import Rows, fake_rows, new_job, postgres_rows
from tests.ledger.samples import add_tenant

STEPS = 70


class Both:
    """The same done to both. Works are kept in pairs: their fences are each one's own."""

    def __init__(self, fake: Rows, real: Rows, chance: random.Random) -> None:
        self.fake, self.real, self.chance = fake, real, chance
        self.workers = [uuid7() for _ in range(3)]
        self.held: list[tuple[UUID, Work, Work]] = []
        self.ids: list[tuple[TenantId, UUID]] = []
        self.next_id = itertools.count(uuid7().int)

    async def step(self) -> None:
        await self.fake.let_pass(0.001)  # the fake's clock stands still: what is done later is later
        kinds = [
            self.add,
            self.claim,
            self.claim,
            self.end,
            self.end,
            self.tell,
            self.cancel,
            self.redrive,
            self.pass_on,
        ]
        await self.chance.choice(kinds)()

    async def add(self) -> None:
        tenant_id = self.chance.choice(self.fake.tenants)
        jobs = [
            new_job(
                tenant_id,
                id=UUID(int=next(self.next_id)),
                priority=self.chance.choice([0, 4, 4, 9]),
                delay_s=self.chance.choice([0, 0, 0, 30]),
                dedup=self.chance.choice([None, None, None, "tick"]),
                order_key=self.chance.choice([None, None, "k", "l"]),
            )
            for _ in range(self.chance.randrange(1, 5))
        ]
        most = self.chance.choice([8, 1000])
        told = [
            await one.rows.add(
                tenant_id, jobs, weight=1 + self.fake.tenants.index(tenant_id), most=most, most_bytes=10**9
            )
            for one in (self.fake, self.real)
        ]
        assert [job and job.id for job in told[0]] == [job and job.id for job in told[1]]
        self.ids += [(tenant_id, job.id) for job in told[0] if job is not None]

    async def claim(self) -> None:
        worker, limit = self.chance.choice(self.workers), self.chance.randrange(1, 6)
        fakes, reals = [await one.claim(limit, by=worker) for one in (self.fake, self.real)]
        assert [work.job.id for work in fakes] == [work.job.id for work in reals]
        self.held += [(worker, fake, real) for fake, real in zip(fakes, reals, strict=True)]

    async def end(self) -> None:
        if not self.held:
            return
        # Now and then by one who has it no more.
        place = self.chance.randrange(len(self.held))
        keep = self.chance.random() < 0.2
        worker, *works = self.held[place] if keep else self.held.pop(place)
        how = self.chance.randrange(4)
        state = self.chance.choice(["done", "failed", "cancelled"])
        error = {"code": "c", "message": "m"} if state == "failed" else {}
        delay_s = self.chance.choice([0, 30])
        hook = new_job(works[0].job.tenant_id, id=UUID(int=next(self.next_id)))
        done = []
        for one, work in zip((self.fake, self.real), works, strict=True):
            if how == 0:
                done.append(await one.rows.retry(work, worker, delay_s, cost_nano=3, code="c", message="m"))
            elif how == 1:
                done.append(await one.rows.give_back(work, worker))
            else:
                result = Result(output=b"o", cost_nano=2, then=(hook,) if how == 2 else ())
                done.append(await one.rows.finish(work, worker, state, result, **error))  # type: ignore[arg-type]
        assert done[0] == done[1]
        if how == 2 and done[0]:
            self.ids.append((hook.principal.tenant_id, hook.id))

    async def tell(self) -> None:
        if not self.held:
            return
        worker, *works = self.chance.choice(self.held)
        after = self.chance.choice([0, works[0].events])
        told = [
            await one.rows.tell(work, worker, Progress(done=after), [("output", b"a"), ("output", b"b")], after=after)
            for one, work in zip((self.fake, self.real), works, strict=True)
        ]
        assert told[0] == told[1]

    async def cancel(self) -> None:
        if self.ids:
            await self._ask("cancel", *self.chance.choice(self.ids))

    async def redrive(self) -> None:
        if self.ids:
            await self._ask("redrive", *self.chance.choice(self.ids))

    async def pass_on(self) -> None:
        seconds = self.chance.choice([1, 35, 70])
        for one in (self.fake, self.real):
            await one.let_pass(seconds)
            await one.rows.beat(self.workers[0], slots=1, busy=0, ended=0)

    async def compare(self) -> None:
        for tenant_id in self.fake.tenants:
            pages = [
                await one.rows.page(tenant_id, state=None, kind=None, before=None, limit=1000)
                for one in (self.fake, self.real)
            ]
            assert [facts(job) for job in pages[0]] == [facts(job) for job in pages[1]]
            for job in pages[0]:
                for ask in ("result", "input"):
                    await self._ask(ask, tenant_id, job.id)
                events = [
                    await one.rows.events(tenant_id, job.id, after=0, limit=1000) for one in (self.fake, self.real)
                ]
                assert events[0] == events[1]
            states = [await one.rows.state(tenant_id) for one in (self.fake, self.real)]
            assert [(s.waiting, s.later, s.running, s.dead) for s in states[:1]] == [
                (s.waiting, s.later, s.running, s.dead) for s in states[1:]
            ]

    async def _ask(self, name: str, *args: object) -> None:
        told = [await getattr(one.rows, name)(*args) for one in (self.fake, self.real)]
        assert [facts(one) if isinstance(one, Job) else one for one in told[:1]] == [
            facts(one) if isinstance(one, Job) else one for one in told[1:]
        ]


def facts(job: Job) -> tuple[object, ...]:
    return (
        job.id, job.state, job.attempts, job.crashes, job.cost_nano, job.cancel_requested, job.error_code, job.progress,
        job.version, job.started_at is None, job.ended_at is None, job.expires_at is None,
        job.run_at - job.created_at > timedelta(seconds=20),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
async def test_postgres_tells_what_the_fake_tells(seed: int, store: Store, database: str) -> None:
    tenants = TenantId(uuid7()), TenantId(uuid7())
    for tenant_id in tenants:
        await add_tenant(store, tenant_id)
    both = Both(fake_rows(tenants), postgres_rows(tenants, store, database), random.Random(seed))
    for _ in range(STEPS):
        await both.step()
    await both.compare()
