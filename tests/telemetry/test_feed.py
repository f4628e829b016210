"""The feed hands finished calls on in batches, without what was said in them."""

import asyncio

import pytest

from tenfold.app.telemetry.feed import CallFeed
from tenfold.core.call import Call
from tests.telemetry.calls import finished


def test_calls_are_handed_on_once_in_order() -> None:
    batches: list[list[Call]] = []
    feed = CallFeed([batches.append])
    calls = [finished() for _ in range(3)]
    for call in calls[:2]:
        feed.record(call)
    feed.flush()
    feed.record(calls[2])
    feed.flush()
    feed.flush()
    assert batches == [calls[:2], calls[2:]]


def test_what_was_said_is_not_kept() -> None:
    feed = CallFeed([])
    call = finished()
    feed.record(call)
    assert call.body == b""


def test_one_that_fails_does_not_keep_the_others_from_the_batch(caplog: pytest.LogCaptureFixture) -> None:
    def fail(calls: list[Call]) -> None:
        raise RuntimeError("a bug")

    batches: list[list[Call]] = []
    feed = CallFeed([fail, batches.append])
    feed.record(finished())
    feed.flush()
    assert len(batches) == 1
    assert "a telemetry tap failed" in caplog.text


async def test_it_flushes_by_itself() -> None:
    arrived = asyncio.Event()
    feed = CallFeed([lambda calls: arrived.set()])
    task = asyncio.create_task(feed.run())
    feed.record(finished())
    async with asyncio.timeout(5):
        await arrived.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
