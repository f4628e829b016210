"""What becomes of files that are put into a store: read, refused, given up, taken out while they are read."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec import json, structs

from tenfold.core.errors import InvalidRequest, NotFound, RateLimited, StoreUnavailable, TooLarge
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import Principal
from tenfold.inference.files.types import file_name
from tenfold.jobs.types import Result, Work
from tenfold.retrieval.extract.types import Extracted
from tenfold.retrieval.types import Chunking, IngestReport, SourceDocument
from tenfold.retrieval.vector_stores import file_handlers
from tenfold.retrieval.vector_stores.fake_shelf import FakeReader
from tenfold.retrieval.vector_stores.types import KIND, StoreLimits, ToRead
from tests.retrieval.vector_stores.house import House
from tests.support.pipeline import principal

PUMP = b"The pump starts at 40 bar.\n\nIts valve closes at 60 bar."


@pytest.fixture
def who() -> Principal:
    return principal()


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    async with made.working():
        yield made


async def test_a_file_is_read_into_a_store(house: House, who: Principal) -> None:
    store = (await house.stores.create(who, title="manuals")).public_id
    upload = await house.upload(who, b"First page.\fSecond page.", "two.txt")
    file = await house.files.add(who, store, upload.public_id, attributes={"lang": "en"})
    assert (file.status, file.filename, file.error) == ("in_progress", "two.txt", None)
    await house.done(who, store)
    text = await house.files.text(who.tenant_id, store, upload.public_id)
    assert (text.text, text.title) == ("First page.\nSecond page.", "two.txt")
    assert text.file.status == "completed"
    assert text.file.usage_bytes == len(text.text)
    assert [text.page_at(at) for at in (0, 11, 12, 20)] == [1, 1, 2, 2]
    assert (await house.stores.find(who.tenant_id, store)).usage_bytes == len(text.text)


async def test_what_is_there_unchanged_costs_nothing(house: House, who: Principal) -> None:
    store = (await house.stores.create(who)).public_id
    upload = (await house.upload(who, PUMP)).public_id
    for _ in range(3):
        await house.files.add(who, store, upload)
        await house.done(who, store)
    assert house.shelf.ingested == [upload]
    await house.files.add(who, store, upload, chunking=Chunking(max_tokens=100, overlap_tokens=10))
    await house.done(who, store)
    assert house.shelf.ingested == [upload] * 2


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [(b"\xff\xfe\x00", "unsupported_file", "is no text"), (b" \n ", "invalid_file", "no text in")],
    ids=["binary", "blank"],
)
async def test_a_file_that_cannot_be_read_has_failed(
    house: House, who: Principal, content: bytes, code: str, says: str
) -> None:
    store = (await house.stores.create(who)).public_id
    good, bad = await house.upload(who, PUMP), await house.upload(who, content)
    batch = await house.files.add_batch(
        who, store, await house.files.asked(who.tenant_id, [bad.public_id, good.public_id])
    )
    await house.done(who, store)
    failed = await house.files.find(who.tenant_id, store, bad.public_id)
    assert failed.error is not None
    assert failed.error.code == code
    assert says in failed.error.message
    ended = await house.files.find_batch(who.tenant_id, store, batch.public_id)
    assert (ended.status, ended.counts.completed, ended.counts.failed) == ("completed", 1, 1)


async def test_of_files_that_are_read_together_only_the_one_at_fault_fails(
    house: House, who: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest = house.shelf.ingest

    async def refuse(tenant_id: TenantId, kb: str, documents: list[SourceDocument]) -> IngestReport:
        if any("refused" in document.text for document in documents):
            raise InvalidRequest("A document has at most 4,000,000 characters.")
        return await ingest(tenant_id, kb, documents)

    monkeypatch.setattr(house.shelf, "ingest", refuse)
    store = (await house.stores.create(who)).public_id
    uploads = [(await house.upload(who, text)).public_id for text in (PUMP, b"refused", b"third")]
    await house.files.add_batch(who, store, await house.files.asked(who.tenant_id, uploads))
    await house.done(who, store)
    states = [(await house.files.find(who.tenant_id, store, each)).status for each in uploads]
    assert states == ["completed", "failed", "completed"]


async def test_a_file_that_is_too_large_or_gone_has_failed(who: Principal) -> None:
    house = House(limits=StoreLimits(max_file_bytes=20))
    store = (await house.stores.create(who)).public_id
    large, gone = await house.upload(who, b"x" * 21), await house.upload(who, b"short")
    for each in (large, gone):
        await house.files.add(who, store, each.public_id)
    await house.uploads.remove(who.tenant_id, gone.public_id)
    async with house.working():
        await house.done(who, store)
    said = {}
    for each in (large, gone):
        file = await house.files.find(who.tenant_id, store, each.public_id)
        assert file.error is not None
        said[each.public_id] = (file.error.code, file.error.message)
    assert said[large.public_id][0] == said[gone.public_id][0] == "invalid_file"
    assert "20 is the most" in said[large.public_id][1]
    assert "deleted before it was read" in said[gone.public_id][1]


async def test_a_long_batch_goes_on_in_other_jobs(who: Principal) -> None:
    house = House(at_once=2)
    store = (await house.stores.create(who)).public_id
    uploads = [(await house.upload(who, PUMP)).public_id for _ in range(5)]
    await house.files.add_batch(who, store, await house.files.asked(who.tenant_id, uploads))
    async with house.working():
        await house.done(who, store)
    assert sorted(house.shelf.ingested) == sorted(uploads)
    jobs = await house.work.jobs.list(who.tenant_id)
    assert len(jobs.items) == 3
    assert {job.subject for job in jobs.items} == {store}


async def test_a_batch_that_is_cancelled_leaves_nothing_of_what_was_not_read(who: Principal) -> None:
    house = House()
    store = (await house.stores.create(who)).public_id
    uploads = [(await house.upload(who, PUMP)).public_id for _ in range(3)]
    batch = await house.files.add_batch(who, store, await house.files.asked(who.tenant_id, uploads))
    cancelled = await house.files.cancel_batch(who.tenant_id, store, batch.public_id)
    assert (cancelled.status, cancelled.counts.cancelled) == ("cancelled", 3)
    async with house.working():
        await _all_jobs_done(house, who)
    assert house.shelf.ingested == []


class SlowReader(FakeReader):
    """Waits in the middle."""

    def __init__(self) -> None:
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def extract(self, data: bytes, *, filename: str, content_type: str = "") -> Extracted:
        self.reached.set()
        await self.go_on.wait()
        return await super().extract(data, filename=filename, content_type=content_type)


@pytest.mark.parametrize("how", ["file", "store", "cancelled"])
async def test_what_is_taken_out_while_it_is_read_is_not_left_behind(who: Principal, how: str) -> None:
    reader = SlowReader()
    house = House(reader=reader)
    made = await house.stores.create(who)
    store = made.public_id
    upload = (await house.upload(who, PUMP)).public_id
    batch = await house.files.add_batch(who, store, await house.files.asked(who.tenant_id, [upload]))
    async with house.working():
        await reader.reached.wait()
        if how == "file":
            await house.files.remove(who.tenant_id, store, upload)
        elif how == "store":
            await house.stores.remove(who.tenant_id, store)
        else:
            await house.files.cancel_batch(who.tenant_id, store, batch.public_id)
        reader.go_on.set()
        await _all_jobs_done(house, who)
    if how == "store":  # what was begun again under its name is found by tidying up: see test_end_to_end
        with pytest.raises(NotFound):
            await house.stores.find(who.tenant_id, store)
    else:
        assert await house.shelf.document_ids(who.tenant_id, made.kb, limit=9) == []


async def test_another_writer_is_waited_for(house: House, who: Principal) -> None:
    house.shelf.busy = 1
    store = (await house.stores.create(who)).public_id
    upload = (await house.upload(who, PUMP)).public_id
    await house.files.add(who, store, upload)
    await house.done(who, store)
    assert (await house.files.find(who.tenant_id, store, upload)).status == "completed"
    house.shelf.busy = 1
    await house.files.remove(who.tenant_id, store, upload)
    with pytest.raises(NotFound):
        await house.files.find(who.tenant_id, store, upload)


async def test_a_job_that_is_given_up_says_why(who: Principal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_handlers, "ATTEMPTS", 2)
    house = House()
    house.shelf.deaf = True
    store = (await house.stores.create(who)).public_id
    upload = (await house.upload(who, PUMP)).public_id
    await house.files.add(who, store, upload)
    async with house.working():
        while (await house.files.find(who.tenant_id, store, upload)).status == "in_progress":
            house.clock.advance(61)
            await asyncio.sleep(0.005)
    failed = await house.files.find(who.tenant_id, store, upload)
    assert failed.error is not None
    assert failed.error.code == "server_error"
    assert "embedder is away" in failed.error.message


async def test_a_file_that_is_deleted_goes_out_of_all_stores(house: House, who: Principal) -> None:
    upload = (await house.upload(who, PUMP)).public_id
    stores = [await house.stores.create(who, file_ids=[upload]) for _ in range(2)]
    for store in stores:
        await house.done(who, store.public_id)
    await house.files.forget(principal().tenant_id, upload)
    assert (await house.files.find(who.tenant_id, stores[0].public_id, upload)).status == "completed"
    await house.files.forget(who.tenant_id, upload)
    for store in stores:
        assert await house.shelf.document_ids(who.tenant_id, store.kb, limit=9) == []
        with pytest.raises(NotFound):
            await house.files.find(who.tenant_id, store.public_id, upload)


@dataclass(frozen=True, kw_only=True)
class Dead:
    """What the burial of a job sees of it."""

    work: Work

    @classmethod
    def of(cls, work: Work) -> Any:
        return cls(work=structs.replace(work, input=work.job.id.hex.encode()))


async def test_of_a_job_that_workers_died_with_only_the_file_it_was_at_has_failed(who: Principal) -> None:
    house = House()
    store = (await house.stores.create(who)).public_id
    uploads = [(await house.upload(who, PUMP)).public_id for _ in range(2)]
    await house.files.add_batch(who, store, await house.files.asked(who.tenant_id, uploads))
    holder = uuid7()
    (work,) = await house.work.rows.claim(holder, [KIND], limit=9)
    asked = json.decode(work.input, type=ToRead)
    await house.rows.begin(who.tenant_id, asked.store_id, asked.file_ids[0], asked.job_id)
    await house.work.rows.finish(work, holder, "failed", Result(), code="poison", message="Six workers died with it.")
    after = await house.burying.run(Dead.of(work))
    (again,) = after.then
    assert json.decode(again.input, type=ToRead) == asked
    states = [(await house.files.find(who.tenant_id, store, each)).status for each in uploads]
    assert states == ["failed", "in_progress"]
    assert (await house.burying.run(Dead.of(work))).then == ()
    states = [(await house.files.find(who.tenant_id, store, each)).status for each in uploads]
    assert states == ["failed", "failed"]


async def test_attributes_are_changed_where_they_are_searched(house: House, who: Principal) -> None:
    made = await house.stores.create(who)
    store = made.public_id
    upload = (await house.upload(who, PUMP)).public_id
    await house.files.add(who, store, upload, attributes={"lang": "en"})
    await house.done(who, store)
    described = await house.files.describe(who.tenant_id, store, upload, {"lang": "de"})
    assert described.attributes == {"lang": "de"}
    document = await house.shelf.document(who.tenant_id, made.kb, upload)
    assert document is not None
    assert document.metadata == {"lang": "de"}


async def test_what_cannot_be_added(house: House, who: Principal) -> None:
    small = House(limits=StoreLimits(max_files=1, max_stores=1))
    store = (await small.stores.create(who)).public_id
    with pytest.raises(InvalidRequest, match="the most you may have"):
        await small.stores.create(who)
    first, second = await small.upload(who, PUMP), await small.upload(who, PUMP)
    await small.files.add(who, store, first.public_id)
    with pytest.raises(TooLarge, match="at most 1 files"):
        await small.files.add(who, store, second.public_id)
    with pytest.raises(NotFound):
        await small.files.add(who, store, file_name(who.tenant_id))
    with pytest.raises(NotFound):
        await small.files.add(principal(), store, first.public_id)
    with pytest.raises(InvalidRequest, match="16 pairs"):
        await small.files.add(who, store, first.public_id, attributes={str(at): at for at in range(17)})
    for sizes in ((99, 0), (4097, 0), (100, 51)):
        with pytest.raises(InvalidRequest):
            chunking = Chunking(max_tokens=sizes[0], overlap_tokens=sizes[1])
            await small.files.add(who, store, first.public_id, chunking=chunking)


async def test_what_no_job_is_taken_for_is_not_in_the_store(who: Principal, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    store = (await house.stores.create(who)).public_id
    upload = (await house.upload(who, PUMP)).public_id

    async def refuse(_new: object) -> None:
        raise RateLimited("As many jobs wait already as may.")

    monkeypatch.setattr(house.work.jobs, "enqueue", refuse)
    with pytest.raises(RateLimited):
        await house.files.add(who, store, upload)
    with pytest.raises(NotFound):
        await house.files.find(who.tenant_id, store, upload)
    with pytest.raises(RateLimited):
        await house.stores.create(who, title="whole", file_ids=[upload])
    assert await house.stores.titled(who.tenant_id, "whole") is None


async def test_stores_that_go_are_emptied(house: House, who: Principal) -> None:
    kept, deleted = await house.stores.create(who, expires_days=1), await house.stores.create(who)
    upload = (await house.upload(who, PUMP)).public_id
    for store in (kept, deleted):
        await house.files.add(who, store.public_id, upload)
        await house.done(who, store.public_id)
    await house.stores.remove(who.tenant_id, deleted.public_id)
    house.clock.advance(86_401)
    house.shelf.busy = 1
    assert await house.stores.tidy() == 1
    assert await house.stores.tidy() == 1
    assert await house.stores.tidy() == 0
    assert (await house.stores.find(who.tenant_id, kept.public_id)).status == "expired"
    with pytest.raises(InvalidRequest, match="has expired 1 days"):
        await house.files.add(who, kept.public_id, upload)
    left = await house.uploads.find(who.tenant_id, upload)  # files outlive the stores they were in
    assert left.bytes == len(PUMP)


async def test_nothing_is_said_while_the_database_is_away(house: House, who: Principal) -> None:
    store = (await house.stores.create(who)).public_id
    house.rows.away = True
    with pytest.raises(StoreUnavailable):
        await house.stores.find(who.tenant_id, store)


async def _all_jobs_done(house: House, who: Principal) -> None:
    async with asyncio.timeout(20):
        while any(not job.ended for job in (await house.work.jobs.list(who.tenant_id)).items):
            await asyncio.sleep(0.005)
