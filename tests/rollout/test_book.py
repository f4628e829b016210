"""What a process knows: nothing waits once a tenant is known, changes arrive, and what was known last holds on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.clock import FakeClock
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import Principal
from tenfold.rollout.book import Flags, RolloutBook, Switches
from tenfold.rollout.fake import FakeRolloutRows
from tenfold.rollout.handlers import FlagAdmin
from tenfold.rollout.ports import TOPIC
from tenfold.rollout.queries import PostgresRolloutRows
from tenfold.rollout.types import Rollout
from tenfold.store import Changes, Store
from tests.rollout.conftest import add_tenant

OPERATOR: dict[str, Any] = {"actor": "operator:ada", "by": "operator"}


def principal(slug: str = "acme") -> Principal:
    return Principal(tenant_id=TenantId(uuid7()), tenant_slug=slug)


class World:
    def __init__(self, **options: Any) -> None:
        self.rows = FakeRolloutRows()
        self.admin = FlagAdmin(self.rows, FakeClock())
        self.book = RolloutBook(self.rows, **options)
        self.rows.followers.append(self.book.forget)
        self.switches, self.flags = Switches(self.book), Flags(self.book)


@asynccontextmanager
async def running(book: RolloutBook, *more: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(work) for work in (book.run(), *more)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(holds: Any) -> None:
    async with asyncio.timeout(10):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.01)


async def test_nothing_is_switched_off() -> None:
    world, acme = World(), principal()
    await world.book.start()
    await world.switches.ready(acme)
    assert not world.switches.any
    assert world.switches.killed(acme, feature="search", model="m", provider="p") is None


@pytest.mark.parametrize("scope", ["feature", "model", "provider"])
async def test_what_is_switched_off_for_all(scope: str) -> None:
    world, acme = World(), principal()
    kill = await world.admin.kill(None, scope=scope, subject="x", reason="broken", **OPERATOR)
    await world.book.start()
    assert world.switches.any
    asked = {"feature": None} | {scope: "x"}
    assert world.switches.killed(acme, **asked) == kill
    assert world.switches.killed(acme, **{"feature": None, scope: "y"}) is None
    others = {each: "x" for each in ("feature", "model", "provider") if each != scope}
    assert world.switches.killed(acme, **({"feature": None} | others)) is None


async def test_what_is_switched_off_for_one_tenant() -> None:
    world, acme, other = World(), principal(), principal("other")
    kill = await world.admin.kill(acme.tenant_id, scope="tenant", subject="acme", **OPERATOR)
    own = await world.admin.kill(other.tenant_id, scope="model", subject="m", actor="key:1")
    await world.book.start()
    for who in (acme, other):
        await world.switches.ready(who)
    assert world.switches.any
    assert world.switches.killed(acme, feature=None) == kill
    assert world.switches.killed(other, feature=None) is None
    assert world.switches.killed(other, feature=None, model="m") == own


async def test_the_widest_of_several_is_told() -> None:
    world, acme = World(), principal()
    for scope in ("provider", "model", "feature"):
        await world.admin.kill(None, scope=scope, subject="x", **OPERATOR)
    await world.admin.kill(acme.tenant_id, scope="tenant", subject="acme", **OPERATOR)
    await world.book.start()
    await world.switches.ready(acme)
    kill = world.switches.killed(acme, feature="x", model="x", provider="x")
    assert kill is not None and kill.scope == "tenant"


async def test_a_known_tenant_is_not_read_again() -> None:
    world, acme = World(), principal()
    await world.book.start()
    for _ in range(5):
        await world.switches.ready(acme)
        await world.flags.evaluate(acme, "f", {})
    assert world.rows.reads == 2


async def test_changes_of_a_tenant_are_known_at_its_next_call() -> None:
    world, acme = World(), principal()
    await world.book.start()
    await world.switches.ready(acme)
    kill = await world.admin.kill(acme.tenant_id, scope="feature", subject="search", actor="key:1")
    await world.switches.ready(acme)
    assert world.switches.killed(acme, feature="search") == kill
    await world.admin.end_kill(acme.tenant_id, kill.id, actor="key:1")
    await world.switches.ready(acme)
    assert world.switches.killed(acme, feature="search") is None
    assert not world.switches.any


async def test_changes_of_the_installation_are_read_without_a_call() -> None:
    world, acme = World(retry_s=0.001), principal()
    await world.book.start()
    async with running(world.book):
        world.rows.away = True
        world.book.forget(None)
        await asyncio.sleep(0.01)  # it tries, in vain
        world.rows.away = False
        await world.admin.kill(None, scope="feature", subject="search", **OPERATOR)
        async with asyncio.timeout(10):
            while not world.switches.any:
                await asyncio.sleep(0.001)
        assert world.switches.killed(acme, feature="search") is not None


async def test_while_the_database_is_away_what_was_known_holds() -> None:
    world, acme = World(), principal()
    await world.admin.kill(acme.tenant_id, scope="feature", subject="search", actor="key:1")
    await world.admin.create(acme.tenant_id, "f", type="boolean", rules=[{"variant": "on"}], actor="key:1")
    await world.book.start()
    await world.switches.ready(acme)
    world.rows.away = True
    world.book.forget(None)
    await world.switches.ready(acme)
    assert world.switches.killed(acme, feature="search") is not None
    assert (await world.flags.evaluate(acme, "f", {})).value is True
    with pytest.raises(StoreUnavailable):
        await world.switches.ready(principal("stranger"))


async def test_a_slow_read_does_not_undo_a_later_one() -> None:
    class SlowRows(FakeRolloutRows):
        """The first read of a tenant is answered when the test says so, with what was true at its begin."""

        def __init__(self) -> None:
            super().__init__()
            self.go_on = asyncio.Event()
            self.begun = asyncio.Event()

        async def read(self, tenant_id: TenantId | None) -> Rollout:
            found = await super().read(tenant_id)
            if self.reads == 1:
                self.begun.set()
                await self.go_on.wait()
            return found

    rows, acme = SlowRows(), principal()
    admin, book = FlagAdmin(rows, FakeClock()), RolloutBook(rows)
    switches = Switches(book)
    slow = asyncio.create_task(switches.ready(acme))
    await rows.begun.wait()
    await admin.kill(acme.tenant_id, scope="feature", subject="search", actor="key:1")
    book.forget(acme.tenant_id)
    await switches.ready(acme)
    rows.go_on.set()
    await slow
    assert switches.any
    assert switches.killed(acme, feature="search") is not None


async def test_the_tenants_known_have_an_end() -> None:
    world = World(max_known=2)
    await world.book.start()
    crowd = [principal(str(number)) for number in range(4)]
    for who in crowd:
        await world.admin.kill(who.tenant_id, scope="feature", subject="x", actor="a")
        await world.switches.ready(who)
    assert [world.switches.killed(who, feature="x") is not None for who in crowd] == [False, False, True, True]
    await world.switches.ready(crowd[0])
    assert world.switches.killed(crowd[0], feature="x") is not None


async def test_flags_of_the_operator_and_the_tenants_own() -> None:
    world, acme, other = World(), principal(), principal("other")
    only = [{"conditions": [{"attribute": "tenant", "equals": "acme"}], "variant": "on"}]
    await world.admin.create(None, "all", type="boolean", rules=only, **OPERATOR)
    await world.admin.create(acme.tenant_id, "own", type="boolean", actor="key:1")
    await world.book.start()
    assert [(each.key, each.value) for each in await world.flags.evaluate_all(acme, {"tenant": "other"})] == [
        ("all", True),
        ("own", False),
    ]
    assert [(each.key, each.value) for each in await world.flags.evaluate_all(other, {"tenant": "acme"})] == [
        ("all", False)
    ]
    assert (await world.flags.evaluate(other, "own", {})).error_code == "FLAG_NOT_FOUND"


steps = st.lists(
    st.tuples(st.sampled_from(["kill", "end", "call", "away", "back"]), st.sampled_from(["acme", "other", "all"])),
    max_size=30,
)


@given(steps)
@settings(deadline=None)
def test_what_is_known_is_what_is_so(script: list[tuple[str, str]]) -> None:
    """In whatever order things happen: with the database there, each call sees what was set before it."""

    async def play() -> None:
        world = World()
        people = {"acme": principal(), "other": principal("other")}
        off: dict[str, Any] = {}
        await world.book.start()
        for step, name in script:
            owner = people[name].tenant_id if name in people else None
            if step in ("away", "back"):
                world.rows.away = step == "away"
            elif world.rows.away:
                continue
            elif step == "kill":
                off[name] = await world.admin.kill(owner, scope="feature", subject="search", **OPERATOR)
            elif step == "end" and name in off:
                await world.admin.end_kill(owner, off.pop(name).id, **OPERATOR)
            if owner is None and not world.rows.away:
                await world.book.start()  # what `run` does at once
            if not world.rows.away:
                for slug, who in people.items():
                    await world.switches.ready(who)
                    killed = world.switches.killed(who, feature="search")
                    assert (killed is not None) == (slug in off or "all" in off)
                assert world.switches.any == bool(off)

    asyncio.run(play())


async def test_another_process_hears_of_it(store: Store) -> None:
    """Two processes over one database: what the one writes, the other knows without a restart."""
    acme = principal()
    await add_tenant(store, acme.tenant_id)
    admin = FlagAdmin(PostgresRolloutRows(store), FakeClock())
    changes, book = Changes(store), RolloutBook(PostgresRolloutRows(store))
    changes.follow(TOPIC, book.forget)
    await changes.start()
    await book.start()
    switches, flags = Switches(book), Flags(book)
    async with running(book, changes.run()):
        assert (await flags.evaluate(acme, "f", {})).error_code == "FLAG_NOT_FOUND"

        async def value_is(expected: object) -> bool:
            return (await flags.evaluate(acme, "f", {})).value is expected

        async def is_off(expected: bool) -> bool:
            await switches.ready(acme)
            return (switches.killed(acme, feature="search") is not None) is expected

        await admin.create(acme.tenant_id, "f", type="boolean", rules=[{"variant": "on"}], actor="key:1")
        await until(lambda: value_is(True))
        await admin.create(None, "f", type="boolean", **OPERATOR)
        await until(lambda: value_is(False))
        for owner in (acme.tenant_id, None):
            kill = await admin.kill(owner, scope="feature", subject="search", **OPERATOR)
            await until(lambda: is_off(True))
            await admin.end_kill(owner, kill.id, **OPERATOR)
            await until(lambda: is_off(False))
