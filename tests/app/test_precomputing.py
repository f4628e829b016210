"""Answers ahead of time put together, on Postgres: what is heard in one process is asked in a job, and shown."""

import asyncio
from contextlib import suppress

from msgspec import structs

from tenfold.access.handlers import Tenants
from tenfold.access.queries import PostgresAccessRows
from tenfold.app.precomputing import KINDS, Precomputing
from tenfold.app.resources import KINDS as ALL_KINDS
from tenfold.assistant.assistant import Assistant
from tenfold.assistant.fake import FakeCaller, FakeSearcher
from tenfold.assistant.precompute.types import Policy
from tenfold.core.clock import FakeClock, SystemClock
from tenfold.core.principal import ALL_SCOPES, Principal
from tenfold.inference.background import BackgroundCaller
from tenfold.store import Store
from tests.assistant.precompute.test_runs import CITED
from tests.assistant.tickets.parts import KEYS
from tests.support.jobs import Work
from tests.support.pipeline import World, streamed

QUESTION = "How do I reset a key?"


async def test_what_was_heard_is_answered_ahead_and_shown(store: Store) -> None:
    tenants = Tenants(PostgresAccessRows(store), SystemClock())
    tenant = await tenants.create_tenant("acme", "Acme")
    who = Principal(tenant_id=tenant.id, tenant_slug=tenant.slug, scopes=ALL_SCOPES)
    work, searcher = Work(KINDS), FakeSearcher([structs.replace(KEYS, document="")])
    policy = Policy(enabled=True, public=True, min_askers=2)
    it = Precomputing(policy, store, FakeClock(), jobs=work.jobs, tenants=tenants)

    asked = Assistant(searcher, FakeCaller(), FakeClock(), model="m", floor=0.3, listener=it.listener)
    for end_user in ("ana", "ben"):
        async for _ in asked.ask(who, QUESTION, end_user=end_user):
            pass
    ((_, counting),) = it.tasks()
    task = asyncio.create_task(counting)
    await asyncio.sleep(0)
    task.cancel()  # the process stops: what it has heard is written down
    with suppress(asyncio.CancelledError):
        await task
    assert [each.asks for each in (await it.services.questions(who)).items] == [2]

    world = World({"openai": [streamed("openai", body=CITED, cuts=())]})
    unheard = Assistant(searcher, FakeCaller(), FakeClock(), model="m", floor=0.3)
    async with work.working(it.handlers(unheard, BackgroundCaller(world.pipeline))):
        job = await work.jobs.wait(tenant.id, (await it.services.run(who)).id, 10)
    assert (job.state, job.cost_nano) == ("done", 18_000)
    run = await it.services.last(who)
    assert run is not None
    assert (run.id, run.answered, run.cost_nano, run.ended_why) == (job.id, 1, 18_000, "done")
    assert [(each.question, each.text) for each in await it.services.popular(who)] == [(QUESTION, "Hello [1].")]


def test_every_process_takes_its_jobs() -> None:
    assert KINDS <= ALL_KINDS


async def test_off_nothing_is_heard(store: Store) -> None:
    tenants = Tenants(PostgresAccessRows(store), SystemClock())
    it = Precomputing(Policy(), store, FakeClock(), jobs=Work(KINDS).jobs, tenants=tenants)
    assert (it.listener, list(it.tasks())) == (None, [])
    nightly = list(it.nightly())
    assert [name for name, _ in nightly] == ["app.old_questions"]
    for _, work in nightly:
        work.close()
