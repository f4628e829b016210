"""The contract of vector stores at rest, on the fake and on Postgres."""

import asyncio

from tenfold.core.ids import uuid7
from tenfold.retrieval.vector_stores.types import NewStore, Place, StoreChanges
from tests.retrieval.vector_stores.conftest import Shelves
from tests.retrieval.vector_stores.samples import adding, made, put

DAY_S = 86_400.0


async def test_a_store_is_told_as_it_was_made(shelves: Shelves) -> None:
    rows, (mine, other) = shelves.rows, shelves.tenants
    new = NewStore(
        tenant_id=mine, id=uuid7(), title="manuals", description="of pumps", metadata={"team": "a"}, expires_days=3
    )
    store = await rows.add(new, most=1)
    assert store is not None
    assert store == await rows.find(mine, new.id) == await rows.add(new, most=1)
    assert (store.title, store.description, store.metadata) == ("manuals", "of pumps", {"team": "a"})
    assert (store.status, store.usage_bytes, store.counts.total) == ("completed", 0, 0)
    assert store.expires_at is not None
    assert (store.expires_at - store.last_active_at).total_seconds() == 3 * DAY_S
    assert await rows.find(other, new.id) is None
    assert await rows.brief(mine, [new.id, uuid7()]) == {new.id: store}
    assert await rows.brief(other, [new.id]) == {}
    assert await rows.add(NewStore(tenant_id=mine, id=uuid7()), most=1) is None
    assert await rows.hide(mine, new.id)
    assert await rows.add(NewStore(tenant_id=mine, id=uuid7()), most=1) is not None


async def test_stores_are_listed_by_age(shelves: Shelves) -> None:
    rows, mine = shelves.rows, shelves.tenants[0]
    await made(rows, shelves.tenants[1])
    ids = sorted([(await made(rows, mine)).id for _ in range(5)])

    async def page(**how: object) -> list[int]:
        place = Place(**{"limit": 2} | how)  # type: ignore[arg-type]
        return [ids.index(store.id) for store in await rows.page(mine, place)]

    assert await page() == [4, 3]
    assert await page(after=ids[3]) == [2, 1]
    assert await page(before=ids[1]) == [3, 2]
    assert await page(ascending=True, after=ids[3]) == [4]
    assert await page(ascending=True, before=ids[3]) == [1, 2]
    assert await page(ascending=True, before=ids[3], after=ids[0]) == [1, 2]


async def test_what_is_changed_of_a_store(shelves: Shelves) -> None:
    rows, (mine, other) = shelves.rows, shelves.tenants
    store = await made(rows, mine, days=2)
    assert await rows.update(other, store.id, StoreChanges(title="theirs")) is None
    changed = await rows.update(mine, store.id, StoreChanges(title="new", metadata={"a": "b"}))
    assert changed is not None
    assert (changed.title, changed.metadata, changed.expires_days) == ("new", {"a": "b"}, 2)
    kept = await rows.update(mine, store.id, StoreChanges(expires_days=None))
    assert kept is not None
    assert (kept.title, kept.expires_days, kept.expires_at) == ("new", None, None)


async def test_of_a_title_that_is_asked_for_there_is_one_store(shelves: Shelves) -> None:
    rows, (mine, other) = shelves.rows, shelves.tenants
    asked = [NewStore(tenant_id=mine, id=uuid7(), title="support") for _ in range(5)]
    found = await asyncio.gather(*(rows.obtain(new, most=10) for new in asked))
    assert len({None if store is None else store.id for store in found}) == 1
    assert await rows.titled(mine, "support") == found[0]
    assert await rows.titled(other, "support") is None
    assert await rows.titled(mine, "Support") is None


async def test_a_store_expires_unless_it_is_used(shelves: Shelves) -> None:
    rows, mine = shelves.rows, shelves.tenants[0]
    used, left = await made(rows, mine, "used", days=1), await made(rows, mine, "left", days=1)
    await shelves.let_pass(0.75 * DAY_S)
    idle = await rows.find(mine, used.id)
    assert idle is not None and idle.idle
    await rows.touch(mine, [used.id])
    assert await rows.to_empty(mine, limit=9) == []
    await shelves.let_pass(0.5 * DAY_S)
    states = {store.title: store.status for store in await rows.page(mine, Place())}
    assert states == {"used": "completed", "left": "expired"}
    assert await rows.titled(mine, "left") is None
    changed = await rows.update(mine, left.id, StoreChanges(title="too late"))
    assert changed is not None
    assert (changed.title, changed.expired) == ("left", True)
    assert await rows.put(adding(left, uuid7()), most=9, most_bytes=9) == "gone"
    assert mine in await rows.tenants_to_tidy()
    (late,) = await rows.to_empty(mine, limit=9)
    assert (late.store_id, late.kb, late.deleted) == (left.id, left.kb, False)
    await rows.emptied(mine, late)
    assert await rows.to_empty(mine, limit=9) == []
    assert mine not in await rows.tenants_to_tidy()
    empty = await rows.find(mine, left.id)
    assert empty is not None
    assert (empty.status, empty.counts.total) == ("expired", 0)


async def test_of_a_deleted_store_nothing_is_left(shelves: Shelves) -> None:
    rows, (mine, other) = shelves.rows, shelves.tenants
    store = await made(rows, mine)
    given = adding(store, uuid7(), batch_id=uuid7())
    await put(rows, given)
    assert not await rows.hide(other, store.id)
    assert await rows.hide(mine, store.id)
    assert not await rows.hide(mine, store.id)
    assert await rows.find(mine, store.id) is None
    assert await rows.page(mine, Place()) == []
    assert await rows.titled(mine, store.title) is None
    assert await rows.begin(mine, store.id, given.files[0].file_id, given.job_id) is None
    assert mine in await rows.tenants_to_tidy()
    (gone,) = await rows.to_empty(mine, limit=9)
    assert (gone.store_id, gone.deleted) == (store.id, True)
    assert gone.kb != store.kb
    await rows.emptied(mine, gone)
    assert mine not in await rows.tenants_to_tidy()
    assert await rows.find_file(mine, store.id, given.files[0].file_id) is None
