"""The contract of batches at rest, on the fake and on Postgres."""

import asyncio

from msgspec import structs

from tenfold.core.ids import uuid7
from tenfold.inference.batches.types import KEEP_S, Batch, LineError, Spec, Tokens
from tests.inference.batches.conftest import Shelf
from tests.inference.batches.samples import put, result, spec_of


async def begun(shelf: Shelf, total: int = 3) -> Spec:
    spec = spec_of(shelf.who)
    await shelf.rows.add(spec)
    await shelf.rows.begin(shelf.who.tenant_id, spec.id, total=total, model="m")
    return spec


async def now(shelf: Shelf, spec: Spec) -> Batch:
    batch = await shelf.rows.find(shelf.who.tenant_id, spec.id)
    assert batch is not None
    return still(batch)


def still(batch: Batch) -> Batch:
    """Without what moves by itself."""
    return structs.replace(batch, running_s=0.0)


async def test_a_batch_is_there_once(shelf: Shelf) -> None:
    spec = spec_of(shelf.who)
    batch = await shelf.rows.add(spec)
    assert (batch.spec, batch.status, batch.version, batch.late) == (spec, "validating", 1, False)
    assert (batch.expires_at - batch.created_at).total_seconds() == 86_400
    assert await shelf.rows.add(spec) == batch == await now(shelf, spec)


async def test_results_are_counted_once(shelf: Shelf) -> None:
    rows, mine = shelf.rows, shelf.who.tenant_id
    spec = await begun(shelf)
    assert (await now(shelf, spec)).status == "in_progress"
    told = await rows.record(mine, spec.id, [result(1), result(3, failed=True)])
    again = await rows.record(mine, spec.id, [result(1, data=b"other"), result(3)])
    assert told is not None
    assert again is not None
    assert (again.completed, again.failed, again.cost_nano) == (1, 1, 7)
    assert again.tokens == Tokens(input=10, cached=4, output=3, reasoning=1)
    assert again.version == told.version
    await rows.record(mine, spec.id, [result(2)])
    assert sorted(await rows.done(mine, spec.id)) == [1, 2, 3]
    good = await rows.results(mine, spec.id, failed=False, after=0)
    assert [(one.line, one.data) for one in good] == [(1, b"line 1\n"), (2, b"line 2\n")]
    assert [one.line for one in await rows.results(mine, spec.id, failed=False, after=1)] == [2]
    assert [one.line for one in await rows.results(mine, spec.id, failed=True, after=0)] == [3]
    assert await rows.results(mine, spec.id, failed=True, after=3) == []


async def test_results_come_in_pieces(shelf: Shelf) -> None:
    rows, mine = shelf.rows, shelf.who.tenant_id
    spec = await begun(shelf)
    for line in range(1, 5):
        await rows.record(mine, spec.id, [result(line, data=bytes([line]) * 3_000_000)])
    read, after = [], 0
    while some := await rows.results(mine, spec.id, failed=False, after=after):
        assert len(some) == 2
        read += [one.line for one in some]
        after = some[-1].line
    assert read == [1, 2, 3, 4]


async def test_its_end_makes_its_files_whole(shelf: Shelf) -> None:
    rows, files, mine = shelf.rows, shelf.files, shelf.who.tenant_id
    spec = await begun(shelf)
    await rows.record(mine, spec.id, [result(1)])
    assert await rows.clear(mine, spec.id, limit=9) == 0
    told = await rows.finalize(mine, spec.id, lapsed=False)
    assert told is not None
    assert (told.status, told.lapsed) == ("finalizing", False)
    draft = uuid7()
    await files.begin(mine, draft, "")
    await files.append(mine, draft, 0, [b"line 1\n"], most_bytes=None)
    ended = await rows.end(mine, spec.id, "completed", output=draft, keep_s=3600)
    assert ended is not None
    assert (ended.status, ended.output_file_id, ended.error_file_id, ended.errors) == ("completed", draft, None, [])
    assert ended.ended
    file = await files.find(mine, draft)
    assert file is not None
    assert (file.purpose, file.bytes, file.filename) == (
        "batch_output",
        7,
        f"batch_{spec.id.hex}_output.jsonl",
    )
    assert await rows.clear(mine, spec.id, limit=9) == 1
    assert await rows.clear(mine, spec.id, limit=9) == 0
    assert await rows.done(mine, spec.id) == []
    assert await rows.end(mine, spec.id, "failed", keep_s=3600) is None
    after = await rows.record(mine, spec.id, [result(2)])
    assert after is not None
    assert still(after) == still(ended)


async def test_who_ends_it_first_has_ended_it(shelf: Shelf) -> None:
    rows, mine = shelf.rows, shelf.who.tenant_id
    spec = await begun(shelf)
    errors = [LineError(code="x", message="y", line=4)]
    ends = await asyncio.gather(*(rows.end(mine, spec.id, "failed", errors=errors, keep_s=1) for _ in range(4)))
    assert sum(end is not None for end in ends) == 1
    assert (await now(shelf, spec)).errors == errors


async def test_cancelling(shelf: Shelf) -> None:
    rows, mine = shelf.rows, shelf.who.tenant_id
    fresh = spec_of(shelf.who)
    await rows.add(fresh)
    at_once = await rows.cancel(mine, fresh.id)
    assert at_once is not None
    assert (at_once.status, at_once.ended_at is not None) == ("cancelled", True)
    assert await rows.begin(mine, fresh.id, total=1, model=None) == at_once
    under_way = await begun(shelf)
    cancelling = await rows.cancel(mine, under_way.id)
    assert cancelling is not None
    assert (cancelling.status, cancelling.ended_at) == ("cancelling", None)
    again = await rows.cancel(mine, under_way.id)
    assert again is not None
    assert still(again) == still(cancelling)
    recorded = await rows.record(mine, under_way.id, [result(1)])
    assert recorded is not None
    assert recorded.completed == 1
    final = await rows.finalize(mine, under_way.id, lapsed=True)
    assert final is not None
    assert (final.status, final.lapsed) == ("cancelling", False)
    await rows.end(mine, under_way.id, "completed", keep_s=1)
    ended = await rows.cancel(mine, under_way.id)
    assert ended is not None
    assert ended.status == "completed"


async def test_a_file_that_is_read_stays(shelf: Shelf) -> None:
    rows, files, mine = shelf.rows, shelf.files, shelf.who.tenant_id
    file = await put(files, shelf.who, b"data")
    spec = spec_of(shelf.who, input_file_id=file)
    await rows.add(spec)
    assert await files.remove(mine, file) == "in_use"
    await rows.end(mine, spec.id, "failed", keep_s=1)
    assert await files.remove(mine, file) == "gone"


async def test_an_expired_file_that_is_read_stays_until_then(shelf: Shelf) -> None:
    rows, files, mine = shelf.rows, shelf.files, shelf.who.tenant_id
    made = uuid7()
    await files.begin(mine, made, "")
    await files.append(mine, made, 0, [b"data"], most_bytes=None)
    await files.finish(mine, made, "a", "batch", keep_s=3600)
    spec = spec_of(shelf.who, input_file_id=made)
    await rows.add(spec)
    await shelf.let_pass(4000)
    assert await files.find(mine, made) is None
    assert await files.expire(mine, limit=9) == 0
    assert await files.chunks(mine, made, start=0, count=1) == [b"data"]
    await rows.end(mine, spec.id, "failed", keep_s=1)
    assert await files.expire(mine, limit=9) == 1


async def test_time_passes_over_batches(shelf: Shelf) -> None:
    rows, mine = shelf.rows, shelf.who.tenant_id
    spec = await begun(shelf)
    old = spec_of(shelf.who)
    await rows.add(old)
    await rows.end(mine, old.id, "failed", keep_s=1)
    assert await rows.tenants_old() == []
    await shelf.let_pass(86_400)
    assert (await now(shelf, spec)).late
    assert await rows.overdue(mine, limit=9) == []
    await shelf.let_pass(3600)
    assert [batch.id for batch in await rows.overdue(mine, limit=9)] == [spec.id]
    assert await rows.tenants_old() == [mine]
    assert await rows.expire(mine, limit=9) == 0
    await shelf.let_pass(KEEP_S)
    assert await rows.expire(mine, limit=9) == 1
    assert await rows.find(mine, old.id) is None


async def test_batches_are_listed_the_newest_first(shelf: Shelf) -> None:
    rows, mine = shelf.rows, shelf.who.tenant_id
    made = sorted((spec_of(shelf.who).id for _ in range(3)), reverse=True)
    for each in made:
        await rows.add(spec_of(shelf.who, id=each))
    assert [batch.id for batch in await rows.page(mine, after=None, limit=2)] == made[:2]
    assert [batch.id for batch in await rows.page(mine, after=made[1], limit=2)] == made[2:]


async def test_another_tenants_batch_is_not_there(shelf: Shelf) -> None:
    rows, other = shelf.rows, shelf.other.tenant_id
    spec = await begun(shelf)
    before = await now(shelf, spec)
    assert await rows.find(other, spec.id) is None
    assert await rows.begin(other, spec.id, total=1, model=None) is None
    assert await rows.record(other, spec.id, [result(1)]) is None
    assert await rows.finalize(other, spec.id, lapsed=False) is None
    assert await rows.end(other, spec.id, "failed", keep_s=1) is None
    assert await rows.cancel(other, spec.id) is None
    assert await rows.clear(other, spec.id, limit=9) == 0
    assert await rows.done(other, spec.id) == []
    assert await rows.page(other, after=None, limit=9) == []
    assert await now(shelf, spec) == before
