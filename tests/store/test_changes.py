"""A change is heard by every process that follows its topic, whatever the order in which transactions commit."""

import asyncio

from tenfold.access.handlers import Tenants
from tenfold.access.queries import PostgresAccessRows
from tenfold.core.clock import SystemClock
from tenfold.core.ids import TenantId
from tenfold.store import Changes, Store, tell_change


async def make_tenant(store: Store, slug: str) -> TenantId:
    return (await Tenants(PostgresAccessRows(store), SystemClock()).create_tenant(slug, slug)).id


async def tell(store: Store, topic: str, tenant_id: TenantId | None) -> None:
    async with store.directory() if tenant_id is None else store.tenant(tenant_id) as tx:
        await tell_change(tx, topic, tenant_id)


def following(store: Store, *topics: str) -> tuple[Changes, list[tuple[str, TenantId | None]]]:
    changes, heard = Changes(store), list[tuple[str, TenantId | None]]()
    for topic in topics:
        changes.follow(topic, lambda tenant_id, topic=topic: heard.append((topic, tenant_id)))  # type: ignore[misc]
    return changes, heard


async def test_a_follower_hears_of_its_topic_only(store: Store) -> None:
    acme, other = await make_tenant(store, "acme"), await make_tenant(store, "other")
    changes, heard = following(store, "budgets")
    await changes.start()
    await tell(store, "budgets", acme)
    await tell(store, "limits", other)
    await changes.poll()
    assert set(heard) == {("budgets", acme)}


async def test_a_change_of_what_is_no_tenants_is_told_as_one_of_all(store: Store) -> None:
    acme = await make_tenant(store, "acme")
    changes, heard = following(store, "breakers", "budgets")
    await changes.start()
    await tell(store, "breakers", None)
    await tell(store, "budgets", acme)
    await changes.poll()
    assert set(heard) == {("breakers", None), ("budgets", acme)}


async def test_what_was_before_the_start_is_not_told(store: Store) -> None:
    acme = await make_tenant(store, "acme")
    await tell(store, "budgets", acme)
    changes, heard = following(store, "budgets")
    await changes.start()
    await changes.poll()
    assert heard == []


async def test_a_change_that_commits_late_is_heard(store: Store) -> None:
    """A time stamp or a counter would pass it by: the later transaction commits first."""
    acme, other = await make_tenant(store, "acme"), await make_tenant(store, "other")
    changes, heard = following(store, "budgets")
    await changes.start()
    async with store.tenant(acme) as tx:
        await tell_change(tx, "budgets", acme)
        await tell(store, "budgets", other)
        await changes.poll()
        assert set(heard) == {("budgets", other)}
    await changes.poll()
    assert ("budgets", acme) in heard


async def test_the_hint_wakes_a_follower_long_before_its_poll(store: Store) -> None:
    acme = await make_tenant(store, "acme")
    changes = Changes(store, poll_s=3600)
    heard = asyncio.Event()
    changes.follow("budgets", lambda _tenant: heard.set())
    await changes.start()
    task = asyncio.create_task(changes.run())
    try:
        await tell(store, "budgets", acme)
        async with asyncio.timeout(10):
            await heard.wait()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
