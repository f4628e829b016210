"""Responses at rest: one contract, over memory and over Postgres."""

from typing import Any
from uuid import UUID

from tenfold.core.ids import TenantId, uuid7
from tenfold.inference.responses.types import ENDED, KEEP_S, NewResponse, StoredResponse
from tests.inference.responses.conftest import Shelf

KEY_S = 3600.0


def new(tenant_id: TenantId, **facts: Any) -> NewResponse:
    usual: dict[str, Any] = {
        "id": uuid7(),
        "previous_id": None,
        "background": True,
        "stream": False,
        "status": "queued",
        "model": "gpt-4o-mini",
        "request": b'{"model":"gpt-4o-mini","input":"Hi"}',
        "input": b'[{"id":"msg_1"}]',
        "response": b'{"id":"resp_1"}',
    }
    return NewResponse(tenant_id=tenant_id, **usual | facts)


async def add(shelf: Shelf, tenant: int = 0, **facts: Any) -> StoredResponse:
    return await shelf.rows.add(new(shelf.tenants[tenant], **facts), keep_s=KEEP_S, key_s=KEY_S)


async def test_what_is_stored_is_found(shelf: Shelf) -> None:
    asked = new(shelf.tenants[0], previous_id=uuid7(), stream=True, cost_nano=7)
    added = await shelf.rows.add(asked, keep_s=KEEP_S, key_s=KEY_S)
    found = await shelf.rows.find(shelf.tenants[0], asked.id)
    assert found == added
    for name in ("id", "previous_id", "background", "stream", "status", "model", "request", "input", "response"):
        assert getattr(found, name) == getattr(asked, name), name
    assert found.cost_nano == 7
    assert found.version == 1
    assert (found.expires_at - found.created_at).total_seconds() == KEEP_S


async def test_it_is_stored_once(shelf: Shelf) -> None:
    asked = new(shelf.tenants[0])
    first = await shelf.rows.add(asked, keep_s=KEEP_S, key_s=KEY_S)
    again = await shelf.rows.add(new(shelf.tenants[0], id=asked.id, response=b"{}"), keep_s=KEEP_S, key_s=KEY_S)
    assert again == first


async def test_of_a_key_there_is_one_for_a_while(shelf: Shelf) -> None:
    tenant = shelf.tenants[0]
    first = await add(shelf, key=b"k", request_hash=b"h")
    assert (await add(shelf, key=b"k", request_hash=b"other")).id == first.id
    known = await shelf.rows.keyed(tenant, b"k", key_s=KEY_S)
    assert known is not None
    assert (known.id, known.request_hash) == (first.id, b"h")
    assert (await add(shelf, key=b"l", request_hash=b"h")).id != first.id
    assert await shelf.rows.keyed(shelf.tenants[1], b"k", key_s=KEY_S) is None
    assert (await add(shelf, 1, key=b"k", request_hash=b"h")).id != first.id
    await shelf.let_pass(KEY_S + 1)
    assert await shelf.rows.keyed(tenant, b"k", key_s=KEY_S) is None
    second = await add(shelf, key=b"k", request_hash=b"h2")
    assert second.id != first.id
    known = await shelf.rows.keyed(tenant, b"k", key_s=KEY_S)
    assert known is not None
    assert known.id == second.id
    assert await shelf.rows.find(tenant, first.id) is not None, "only its key is free again"


async def test_the_key_of_one_that_is_deleted_is_free(shelf: Shelf) -> None:
    first = await add(shelf, key=b"k", request_hash=b"h")
    await shelf.rows.remove(shelf.tenants[0], first.id)
    assert await shelf.rows.keyed(shelf.tenants[0], b"k", key_s=KEY_S) is None
    assert (await add(shelf, key=b"k", request_hash=b"h")).id != first.id


async def test_another_tenant_finds_nothing(shelf: Shelf) -> None:
    row = await add(shelf)
    other = shelf.tenants[1]
    assert await shelf.rows.find(other, row.id) is None
    assert await shelf.rows.chain(other, row.id, most=9, most_bytes=9999) == []
    assert await shelf.rows.begin(other, row.id) is None
    assert not await shelf.rows.finish(other, row.id, "failed", b"{}")
    assert await shelf.rows.remove(other, row.id) is None
    assert await shelf.rows.find(shelf.tenants[0], row.id) == row


async def test_the_life_of_one_in_the_background(shelf: Shelf) -> None:
    tenant, row = shelf.tenants[0], await add(shelf)
    begun = await shelf.rows.begin(tenant, row.id)
    assert begun is not None
    assert (begun.status, begun.version, begun.request) == ("in_progress", 2, row.request)
    again = await shelf.rows.begin(tenant, row.id)
    assert again == begun, "begun twice it changes once"
    assert await shelf.rows.finish(tenant, row.id, "completed", b'{"a":1}', cost_nano=5)
    ended = await shelf.rows.find(tenant, row.id)
    assert ended is not None
    assert (ended.status, ended.response, ended.cost_nano, ended.version) == ("completed", b'{"a":1}', 5, 3)
    assert ended.request == b"", "nobody needs it any more"
    for status in sorted(ENDED):
        assert not await shelf.rows.finish(tenant, row.id, status, b"{}")  # type: ignore[arg-type]
    assert await shelf.rows.begin(tenant, row.id) == ended
    assert not await shelf.rows.amend(tenant, row.id, b"{}", cost_nano=1)


async def test_one_whose_job_died_can_begin_again(shelf: Shelf) -> None:
    tenant, row = shelf.tenants[0], await add(shelf)
    await shelf.rows.begin(tenant, row.id)
    assert await shelf.rows.finish(tenant, row.id, "failed", b'{"error":1}', died=True)
    dead = await shelf.rows.find(tenant, row.id)
    assert dead is not None
    assert dead.ended
    assert dead.request == row.request
    begun = await shelf.rows.begin(tenant, row.id)
    assert begun is not None
    assert (begun.status, begun.died) == ("in_progress", False)
    assert await shelf.rows.finish(tenant, row.id, "completed", b"{}")


async def test_what_came_of_a_cancelled_one(shelf: Shelf) -> None:
    tenant, row = shelf.tenants[0], await add(shelf)
    assert await shelf.rows.finish(tenant, row.id, "cancelled", None)
    cancelled = await shelf.rows.find(tenant, row.id)
    assert cancelled is not None
    assert (cancelled.response, cancelled.request) == (row.response, b"")
    assert await shelf.rows.amend(tenant, row.id, b'{"output":[1]}', cost_nano=3)
    amended = await shelf.rows.find(tenant, row.id)
    assert amended is not None
    assert (amended.status, amended.response, amended.cost_nano) == ("cancelled", b'{"output":[1]}', 3)
    assert amended.version > cancelled.version


async def chain_of(shelf: Shelf, length: int) -> list[UUID]:
    """The newest first."""
    ids: list[UUID] = []
    for _ in range(length):
        row = await add(shelf, previous_id=ids[0] if ids else None, input=b"0123456789", response=b"0123456789")
        ids.insert(0, row.id)
    return ids


async def test_a_chain_is_read_from_its_end(shelf: Shelf) -> None:
    ids = await chain_of(shelf, 4)
    links = await shelf.rows.chain(shelf.tenants[0], ids[0], most=10, most_bytes=1000)
    assert [link.id for link in links] == ids
    assert [link.previous_id for link in links] == [*ids[1:], None]
    assert all(link.input == link.response == b"0123456789" for link in links)


async def test_a_chain_is_bounded(shelf: Shelf) -> None:
    ids = await chain_of(shelf, 5)
    tenant = shelf.tenants[0]
    assert [link.id for link in await shelf.rows.chain(tenant, ids[0], most=3, most_bytes=1000)] == ids[:3]
    links = await shelf.rows.chain(tenant, ids[0], most=10, most_bytes=40)
    assert [link.id for link in links] == ids[:3]
    assert [link.input is None for link in links] == [False, False, True]


async def test_a_chain_ends_where_one_is_gone(shelf: Shelf) -> None:
    ids = await chain_of(shelf, 3)
    await shelf.rows.remove(shelf.tenants[0], ids[1])
    links = await shelf.rows.chain(shelf.tenants[0], ids[0], most=10, most_bytes=1000)
    assert [(link.id, link.previous_id) for link in links] == [(ids[0], ids[1])]


async def test_a_circle_ends_too(shelf: Shelf) -> None:
    one, two = uuid7(), uuid7()
    await add(shelf, id=one, previous_id=two)
    await add(shelf, id=two, previous_id=one)
    links = await shelf.rows.chain(shelf.tenants[0], one, most=5, most_bytes=10_000)
    assert [link.id for link in links] == [one, two, one, two, one]


async def test_what_has_expired_is_not_found_and_then_deleted(shelf: Shelf) -> None:
    tenant = shelf.tenants[0]
    rows = [await add(shelf) for _ in range(3)]
    await add(shelf, 1)
    await shelf.let_pass(KEEP_S + 1)
    fresh = await add(shelf)
    assert await shelf.rows.find(tenant, rows[0].id) is None
    assert await shelf.rows.chain(tenant, rows[0].id, most=9, most_bytes=999) == []
    assert await shelf.rows.remove(tenant, rows[0].id) is None
    assert set(await shelf.rows.tenants_expired()) == set(shelf.tenants)
    assert await shelf.rows.expire(tenant, limit=2) == 2
    assert await shelf.rows.expire(tenant, limit=2) == 1
    assert await shelf.rows.expire(tenant, limit=2) == 0
    assert await shelf.rows.tenants_expired() == [shelf.tenants[1]]
    assert await shelf.rows.find(tenant, fresh.id) == fresh
