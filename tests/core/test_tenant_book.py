"""A tenant is read once however many ask, and what was being read when it changed is not kept."""

import asyncio

import pytest

from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.tenant_book import TenantBook


class Reader:
    """Answers with how often it was asked; waits for `go` when there is one."""

    def __init__(self) -> None:
        self.asked = 0
        self.go: asyncio.Event | None = None
        self.error: Exception | None = None

    async def read(self, tenant_id: TenantId) -> int:
        self.asked += 1
        answer = self.asked
        if self.go is not None:
            await self.go.wait()
        if self.error is not None:
            raise self.error
        return answer


def tenant() -> TenantId:
    return TenantId(uuid7())


async def test_many_ask_and_one_reads() -> None:
    reader, acme = Reader(), tenant()
    book = TenantBook(reader.read)
    reader.go = asyncio.Event()
    asking = [asyncio.create_task(book.load(acme)) for _ in range(50)]
    await asyncio.sleep(0)
    reader.go.set()
    assert set(await asyncio.gather(*asking)) == {1}
    assert book.get(acme) == 1
    assert await book.load(acme) == 1
    assert reader.asked == 1


async def test_one_that_stops_waiting_takes_the_answer_from_nobody() -> None:
    reader, acme = Reader(), tenant()
    book = TenantBook(reader.read)
    reader.go = asyncio.Event()
    first, second = (asyncio.create_task(book.load(acme)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    reader.go.set()
    assert await second == 1


async def test_what_changed_is_read_again() -> None:
    reader, acme, other = Reader(), tenant(), tenant()
    book = TenantBook(reader.read)
    await book.load(acme)
    await book.load(other)
    book.forget(acme)
    assert book.get(acme) is None
    assert book.get(other) == 2
    assert await book.load(acme) == 3
    book.forget(None)
    assert book.get(other) is None


async def test_what_was_being_read_when_it_changed_is_not_kept() -> None:
    reader, acme = Reader(), tenant()
    book = TenantBook(reader.read)
    reader.go = asyncio.Event()
    early = asyncio.create_task(book.load(acme))
    await asyncio.sleep(0)
    book.forget(acme)
    late = asyncio.create_task(book.load(acme))
    await asyncio.sleep(0)
    reader.go.set()
    assert (await early, await late) == (1, 2)
    assert book.get(acme) == 2


async def test_a_failed_reading_is_told_to_all_and_tried_again() -> None:
    reader, acme = Reader(), tenant()
    book = TenantBook(reader.read)
    reader.error = StoreUnavailable("away")
    for failed in await asyncio.gather(book.load(acme), book.load(acme), return_exceptions=True):
        assert isinstance(failed, StoreUnavailable)
    reader.error = None
    assert await book.load(acme) == 2


async def test_the_number_of_tenants_in_memory_is_bounded() -> None:
    book = TenantBook(Reader().read, max_known=2)
    tenants = [tenant() for _ in range(3)]
    for one in tenants:
        await book.load(one)
    assert [book.get(one) for one in tenants] == [None, 2, 3]


def test_nobody_is_known_at_first() -> None:
    assert TenantBook(Reader().read).get(tenant()) is None


@pytest.mark.parametrize("unknown", [None, tenant])
async def test_forgetting_what_is_not_known_is_no_error(unknown: object) -> None:
    TenantBook(Reader().read).forget(tenant() if unknown else None)
