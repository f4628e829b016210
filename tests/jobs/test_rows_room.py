"""A worker that takes no more of some tenants gets the others' jobs."""

from tenfold.jobs.types import Room
from tests.jobs.rows import KIND, Rows


async def test_of_whom_there_is_no_room_nothing_is_claimed(rows: Rows) -> None:
    mine, other = rows.tenants
    await rows.added(5)
    theirs = await rows.added(5, of=other)
    room = Room(of={mine: 0}, others=3)
    claimed = await rows.rows.claim(rows.worker, [KIND], limit=9, room=room)
    assert [work.job.id for work in claimed] == theirs[:3]
    assert await rows.rows.claim(rows.worker, [KIND], limit=9, room=Room(of={mine: -2, other: 0}, others=9)) == []
    claimed = await rows.rows.claim(rows.worker, [KIND], limit=9, room=Room(of={mine: 4}, others=1))
    assert sorted(work.job.tenant_id == mine for work in claimed) == [False, True, True, True, True]
    assert len(await rows.claim(9)) == 2
