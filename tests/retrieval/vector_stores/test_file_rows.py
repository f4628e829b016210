"""The contract of files in vector stores, on the fake and on Postgres."""

from uuid import UUID

from tenfold.core.ids import uuid7
from tenfold.retrieval.types import Chunking
from tenfold.retrieval.vector_stores.types import FileError, Place, VectorStore
from tests.retrieval.vector_stores.conftest import Shelves
from tests.retrieval.vector_stores.samples import adding, made, put, read_in

ERROR = FileError(code="invalid_file", message="It is broken.")


async def counts(shelves: Shelves, store: VectorStore) -> tuple[int, int, int, int]:
    found = await shelves.rows.find(store.tenant_id, store.id)
    assert found is not None
    told = found.counts
    return told.in_progress, told.completed, told.failed, told.cancelled


async def test_a_file_on_its_way(shelves: Shelves) -> None:
    rows, (mine, other) = shelves.rows, shelves.tenants
    store = await made(rows, mine)
    given = adding(
        store,
        uuid7(),
        attributes={"lang": "en", "year": 2024, "ok": True},
        chunking=Chunking(max_tokens=200, overlap_tokens=50),
    )
    at = mine, store.id, given.files[0].file_id
    (file,) = await put(rows, given)
    assert file == await rows.find_file(*at)
    assert (file.status, file.job_id, file.attributes) == ("in_progress", given.job_id, given.files[0].attributes)
    assert (file.chunking, file.filename) == (given.files[0].chunking, given.files[0].filename)
    assert await rows.find_file(other, *at[1:]) is None
    assert await rows.begin(*at, uuid7()) is None
    assert await rows.begin(other, *at[1:], given.job_id) is None
    assert await rows.begin(*at, given.job_id) is not None
    assert not await rows.end(*at, uuid7())
    assert await rows.end(*at, given.job_id, usage_bytes=7, pages=(0, 4))
    assert not await rows.end(*at, given.job_id)
    done = await rows.find_file(*at)
    assert done is not None
    assert (done.status, done.usage_bytes, done.pages) == ("completed", 7, (0, 4))
    told = await rows.find(mine, store.id)
    assert told is not None
    assert (told.usage_bytes, told.counts.completed) == (7, 1)


async def test_what_is_there_unchanged_is_left_as_it_is(shelves: Shelves) -> None:
    rows, mine = shelves.rows, shelves.tenants[0]
    store = await made(rows, mine)
    file_id = uuid7()
    first = adding(store, file_id, attributes={"a": 1})
    await put(rows, first)
    await read_in(rows, first)
    (same,) = await put(rows, adding(store, file_id, attributes={"a": 1}))
    assert (same.status, same.job_id) == ("completed", first.job_id)
    again = adding(store, file_id, attributes={"a": 2})
    (changed,) = await put(rows, again)
    assert (changed.status, changed.job_id, changed.attributes) == ("in_progress", again.job_id, {"a": 2})
    assert not await rows.end(mine, store.id, file_id, first.job_id)
    await rows.end(mine, store.id, file_id, again.job_id, error=ERROR)
    assert await counts(shelves, store) == (0, 0, 1, 0)
    third = adding(store, file_id, attributes={"a": 2})
    (tried,) = await put(rows, third)
    assert (tried.status, tried.job_id, tried.error) == ("in_progress", third.job_id, None)
    cut = adding(store, file_id, attributes={"a": 2}, chunking=Chunking(max_tokens=100, overlap_tokens=0))
    assert (await put(rows, cut))[0].job_id == cut.job_id


async def test_a_store_has_only_so_many_files_and_a_tenant_so_much_text(shelves: Shelves) -> None:
    rows, mine = shelves.rows, shelves.tenants[0]
    store, second = await made(rows, mine), await made(rows, mine)
    given = adding(store, uuid7(), uuid7())
    assert isinstance(await rows.put(given, most=2, most_bytes=20), list)
    assert await rows.put(adding(store, uuid7()), most=2, most_bytes=20) == "full"
    assert isinstance(await rows.put(adding(store, given.files[0].file_id), most=2, most_bytes=20), list)
    await read_in(rows, given, usage_bytes=10)
    assert await rows.put(adding(second, uuid7()), most=2, most_bytes=20) == "full"
    assert isinstance(await rows.put(adding(second, uuid7()), most=2, most_bytes=21), list)
    assert await rows.put(adding(store, *(uuid7() for _ in range(3))), most=2, most_bytes=99) == "full"


async def test_what_there_is_no_job_for_is_taken_back(shelves: Shelves) -> None:
    rows, mine = shelves.rows, shelves.tenants[0]
    store = await made(rows, mine)
    old, new, batch_id = uuid7(), uuid7(), uuid7()
    first = adding(store, old)
    await put(rows, first)
    await read_in(rows, first)
    refused = adding(store, old, new, attributes={"a": "b"}, batch_id=batch_id)
    await put(rows, refused)
    await rows.withdraw(refused)
    assert await rows.find_file(mine, store.id, new) is None
    left = await rows.find_file(mine, store.id, old)
    assert left is not None
    assert left.status == "failed"
    assert await rows.find_batch(mine, store.id, batch_id) is None


async def test_files_are_listed_by_age(shelves: Shelves) -> None:
    rows, (mine, other) = shelves.rows, shelves.tenants
    store = await made(rows, mine)
    batch_id = uuid7()
    order: list[UUID] = []
    for number in range(5):
        given = adding(store, uuid7(), batch_id=batch_id if number == 3 else None)
        await put(rows, given)
        order.append(given.files[0].file_id)
        if number < 2:
            await read_in(rows, given)

    async def page(status: str | None = None, batch: UUID | None = None, **how: object) -> list[int]:
        place = Place(**{"limit": 2} | how)  # type: ignore[arg-type]
        found = await rows.page_files(mine, store.id, place, status=status, batch_id=batch)  # type: ignore[arg-type]
        return [order.index(file.file_id) for file in found]

    assert await page() == [4, 3]
    assert await page(after=order[3]) == [2, 1]
    assert await page(before=order[1]) == [3, 2]
    assert await page(ascending=True, before=order[3]) == [1, 2]
    assert await page(after=uuid7()) == []
    assert await page(status="completed") == [1, 0]
    assert await page(batch=batch_id) == [3]
    assert await page(batch=uuid7()) == []
    assert await rows.page_files(other, store.id, Place()) == []


async def test_jobs_that_are_given_up(shelves: Shelves) -> None:
    rows, mine = shelves.rows, shelves.tenants[0]
    store = await made(rows, mine)
    given = adding(store, uuid7(), uuid7(), uuid7())
    await put(rows, given)
    ids = [file.file_id for file in given.files]
    assert await rows.fail(mine, store.id, given.job_id, ERROR, begun=True) == 0
    await rows.begin(mine, store.id, ids[0], given.job_id)
    assert await rows.fail(mine, store.id, given.job_id, ERROR, begun=True) == 1
    failed = await rows.find_file(mine, store.id, ids[0])
    assert failed is not None
    assert failed.error == ERROR
    assert await counts(shelves, store) == (2, 0, 1, 0)
    assert await rows.fail(mine, store.id, given.job_id, ERROR, begun=False) == 2
    assert await counts(shelves, store) == (0, 0, 3, 0)


async def test_files_that_are_taken_out(shelves: Shelves) -> None:
    rows, (mine, other) = shelves.rows, shelves.tenants
    store = await made(rows, mine)
    batch_id = uuid7()
    given = adding(store, uuid7(), uuid7(), batch_id=batch_id)
    await put(rows, given)
    at = mine, store.id, given.files[0].file_id
    assert await rows.stores_of(mine, at[2]) == [store.id]
    assert await rows.stores_of(other, at[2]) == []
    assert await rows.release(other, *at[1:]) is None
    assert not await rows.take_out(other, *at[1:])
    released = await rows.release(*at)
    assert released is not None
    assert released.status == "cancelled"
    assert not await rows.end(*at, given.job_id)
    assert await rows.take_out(*at)
    assert not await rows.take_out(*at)
    assert await rows.release(*at) is None
    batch = await rows.find_batch(mine, store.id, batch_id)
    assert batch is not None
    assert batch.counts.total == 1


async def test_batches(shelves: Shelves) -> None:
    rows, (mine, other) = shelves.rows, shelves.tenants
    store, second = await made(rows, mine), await made(rows, mine)
    batch_id, done, broken, late = (uuid7() for _ in range(4))
    given = adding(store, done, broken, late, batch_id=batch_id)
    await put(rows, given)
    at = mine, store.id
    assert await rows.find_batch(mine, second.id, batch_id) is None
    assert await rows.find_batch(other, store.id, batch_id) is None
    await rows.end(*at, done, given.job_id, usage_bytes=3)
    await rows.end(*at, broken, given.job_id, error=ERROR)
    batch = await rows.find_batch(*at, batch_id)
    assert batch is not None
    assert (batch.status, batch.counts.in_progress, batch.counts.total) == ("in_progress", 1, 3)
    assert await rows.cancel_batch(other, store.id, batch_id) is None
    cancelled = await rows.cancel_batch(*at, batch_id)
    assert cancelled is not None
    assert cancelled.status == "cancelled"
    assert await counts(shelves, store) == (0, 1, 1, 1)
    assert await rows.begin(*at, late, given.job_id) is None
    assert await rows.cancel_batch(*at, batch_id) == cancelled
    whole = uuid7()
    given = adding(store, done, batch_id=whole)
    await put(rows, given)
    again = await rows.cancel_batch(*at, whole)
    assert again is not None
    assert again.status == "completed"


async def test_attributes_change(shelves: Shelves) -> None:
    rows, (mine, other) = shelves.rows, shelves.tenants
    store = await made(rows, mine)
    given = adding(store, uuid7(), attributes={"a": 1})
    await put(rows, given)
    at = store.id, given.files[0].file_id
    assert await rows.describe(other, *at, {"b": 2}) is None
    described = await rows.describe(mine, *at, {"b": 2.5})
    assert described is not None
    assert described.attributes == {"b": 2.5}
    assert described.status == "in_progress"


async def test_files_that_no_job_reads_are_given_up(shelves: Shelves) -> None:
    rows, mine = shelves.rows, shelves.tenants[0]
    store = await made(rows, mine)
    await put(rows, adding(store, uuid7()))
    assert await rows.fail_forgotten(mine, ERROR, kinds=("x",)) == 0
    assert mine not in await rows.tenants_to_tidy()
    await shelves.let_pass(61)
    assert mine in await rows.tenants_to_tidy()
    assert await rows.fail_forgotten(mine, ERROR, kinds=("x",)) == 1
    assert await counts(shelves, store) == (0, 0, 1, 0)
