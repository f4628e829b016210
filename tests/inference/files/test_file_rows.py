"""The contract of files at rest, on the fake and on Postgres."""

from uuid import UUID

from tenfold.core.ids import TenantId, uuid7
from tenfold.inference.files.ports import FileRows
from tenfold.inference.files.types import File
from tests.inference.files.conftest import Shelf


async def put(
    rows: FileRows, tenant_id: TenantId, *chunks: bytes, purpose: str = "batch", keep_s: float | None = None
) -> File:
    made = uuid7()
    await rows.begin(tenant_id, made, "")
    assert await rows.append(tenant_id, made, 0, list(chunks), most_bytes=None)
    file = await rows.finish(tenant_id, made, "a.jsonl", purpose, keep_s=keep_s)
    assert file is not None
    return file


async def ids(shelf: Shelf, tenant: int = 0, **how: object) -> list[UUID]:
    asked = {"purpose": None, "after": None, "ascending": False, "limit": 10} | how
    return [file.id for file in await shelf.rows.page(shelf.tenants[tenant], **asked)]  # type: ignore[arg-type]


async def test_a_file_is_seen_once_it_is_whole(shelf: Shelf) -> None:
    rows, mine = shelf.rows, shelf.tenants[0]
    made = uuid7()
    await rows.begin(mine, made, "")
    assert await rows.append(mine, made, 0, [b"one", b"two"], most_bytes=100)
    assert await rows.append(mine, made, 2, [b"three"], most_bytes=100)
    assert await rows.find(mine, made) is None
    assert await rows.chunks(mine, made, start=0, count=9) == []
    assert await ids(shelf) == []
    file = await rows.finish(mine, made, "a.txt", "user_data", keep_s=None)
    assert file == await rows.find(mine, made)
    assert file is not None
    assert (file.filename, file.purpose, file.bytes, file.expires_at) == ("a.txt", "user_data", 11, None)
    assert await rows.chunks(mine, made, start=0, count=2) == [b"one", b"two"]
    assert await rows.chunks(mine, made, start=2, count=2) == [b"three"]
    assert await rows.chunks(mine, made, start=3, count=2) == []
    assert not await rows.append(mine, made, 3, [b"more"], most_bytes=None)
    assert await rows.finish(mine, made, "b.txt", "batch", keep_s=None) is None


async def test_files_are_listed_by_age(shelf: Shelf) -> None:
    rows, mine = shelf.rows, shelf.tenants[0]
    made = [(await put(rows, mine, b"x", purpose=purpose)).id for purpose in ("batch", "vision", "batch")]
    made.sort()
    assert await ids(shelf) == made[::-1]
    assert await ids(shelf, ascending=True) == made
    assert await ids(shelf, limit=2) == made[:0:-1]
    assert await ids(shelf, after=made[1]) == made[:1]
    assert await ids(shelf, after=made[1], ascending=True) == made[2:]
    assert len(await ids(shelf, purpose="batch")) == 2


async def test_a_tenant_has_only_so_many_bytes(shelf: Shelf) -> None:
    rows, (mine, other) = shelf.rows, shelf.tenants
    await put(rows, other, b"x" * 50)
    file = await put(rows, mine, b"12345")
    made = uuid7()
    await rows.begin(mine, made, "")
    assert await rows.append(mine, made, 0, [b"1234"], most_bytes=10)
    assert not await rows.append(mine, made, 1, [b"56"], most_bytes=10)
    assert await rows.append(mine, made, 1, [b"5"], most_bytes=10)
    assert await rows.append(mine, made, 2, [b"67"], most_bytes=None)
    assert await rows.remove(mine, file.id) == "gone"
    assert await rows.append(mine, made, 3, [b"890"], most_bytes=10)


async def test_what_is_deleted_is_gone(shelf: Shelf) -> None:
    rows, mine = shelf.rows, shelf.tenants[0]
    file = await put(rows, mine, b"one")
    assert await rows.remove(mine, file.id) == "gone"
    assert await rows.remove(mine, file.id) == "none"
    assert await rows.find(mine, file.id) is None
    assert await rows.chunks(mine, file.id, start=0, count=1) == []
    draft = uuid7()
    await rows.begin(mine, draft, "")
    assert await rows.remove(mine, draft) == "none"
    assert not await rows.append(mine, draft, 0, [b"x"], most_bytes=None)


async def test_time_takes_files(shelf: Shelf) -> None:
    rows, mine = shelf.rows, shelf.tenants[0]
    kept = await put(rows, mine, b"kept")
    short = await put(rows, mine, b"short", keep_s=4000)
    left = uuid7()
    await rows.begin(mine, left, "")
    assert await rows.append(mine, left, 0, [b"left"], most_bytes=None)
    assert await rows.tenants_expired() == []
    await shelf.let_pass(3700)
    assert set(await ids(shelf)) == {short.id, kept.id}
    assert await rows.expire(mine, limit=10) == 1  # the one that was left
    await shelf.let_pass(400)
    assert await rows.find(mine, short.id) is None
    assert await rows.remove(mine, short.id) in ("none", "gone")
    assert await ids(shelf) == [kept.id]
    await rows.expire(mine, limit=10)
    assert await rows.tenants_expired() == []


async def test_another_tenants_file_is_not_there(shelf: Shelf) -> None:
    rows, (mine, other) = shelf.rows, shelf.tenants
    file = await put(rows, mine, b"mine")
    assert await rows.find(other, file.id) is None
    assert await rows.chunks(other, file.id, start=0, count=1) == []
    assert await rows.remove(other, file.id) == "none"
    assert not await rows.append(other, file.id, 1, [b"x"], most_bytes=None)
    assert await rows.finish(other, file.id, "", "", keep_s=None) is None
    assert await ids(shelf, 1) == []
    assert await rows.find(mine, file.id) == file
