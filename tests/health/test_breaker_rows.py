"""What BreakerRows promise, on the fake and on Postgres."""

import pytest

from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import uuid7
from tenfold.health.fake import FakeBreakerRows
from tenfold.health.ports import BreakerRows
from tenfold.health.types import SharedState


def opened(model: str = "m", left_s: float = 3.0) -> SharedState:
    return SharedState(provider="a", model=model, state="open", holder=uuid7(), change_id=uuid7(), left_s=left_s)


async def test_what_was_written_is_read_with_the_rest_of_its_time(rows: BreakerRows) -> None:
    written = opened()
    await rows.write([written])
    (read,) = await rows.read()
    assert (read.provider, read.model, read.state) == ("a", "m", "open")
    assert (read.holder, read.change_id) == (written.holder, written.change_id)
    assert read.left_s <= 3


async def test_the_last_one_written_takes_the_place_of_the_others(rows: BreakerRows) -> None:
    await rows.write([opened()])
    closed = SharedState(provider="a", model="m", state="closed", holder=uuid7(), change_id=uuid7(), left_s=0.0)
    await rows.write([closed])
    (read,) = await rows.read()
    assert (read.state, read.change_id) == ("closed", closed.change_id)
    assert read.left_s <= 0


async def test_what_is_over_is_told_as_over(rows: BreakerRows) -> None:
    await rows.write([opened(left_s=-5)])
    (read,) = await rows.read()
    assert read.left_s <= -5


async def test_several_are_written_together_and_read_in_order(rows: BreakerRows) -> None:
    await rows.write([opened("n"), opened("m")])
    assert [state.model for state in await rows.read()] == ["m", "n"]


async def test_there_are_none_at_first(rows: BreakerRows) -> None:
    assert await rows.read() == []


async def test_the_fake_can_be_away() -> None:
    rows = FakeBreakerRows()
    rows.away = True
    with pytest.raises(StoreUnavailable):
        await rows.read()
    with pytest.raises(StoreUnavailable):
        await rows.write([])
