"""The way to a model that a job has: a call it has made before is not made again, and costs nothing."""

import pytest
from msgspec import structs

from tenfold.assistant.calling import JobCaller
from tenfold.assistant.types import CallSummary
from tenfold.core.call import CallOptions
from tenfold.core.chat import ChatRequest, Message, TextDelta, TextPart
from tenfold.core.clock import FakeClock
from tenfold.core.errors import UpstreamError
from tenfold.core.ids import uuid7
from tenfold.inference.background import BackgroundCaller
from tenfold.jobs.context import Context
from tenfold.jobs.fake import FakeJobRows
from tenfold.jobs.types import NewJob
from tenfold.providers.transport.fake import FakeReply
from tests.support.pipeline import World, streamed

REQUEST = ChatRequest(model="m", messages=[Message(role="user", parts=[TextPart(text="Hi")])])
OPTIONS = CallOptions(feature="assistant", task="sup_1")


async def begun(world: World) -> Context:
    """A job of the tenant that a worker is at."""
    rows, worker = FakeJobRows(FakeClock()), uuid7()
    await rows.add(
        world.principal.tenant_id,
        [NewJob(kind="support", principal=world.principal)],
        weight=1,
        most=9,
        most_bytes=1 << 20,
    )
    (work,) = await rows.claim(worker, ["support"], limit=1)
    return Context(work, worker, rows, clock=FakeClock())


async def asked(world: World, job: Context, request: ChatRequest = REQUEST) -> tuple[str, CallSummary]:
    caller = JobCaller(BackgroundCaller(world.pipeline), job)
    *said, summary = [event async for event in caller.call(world.principal, request, OPTIONS)]
    assert isinstance(summary, CallSummary)
    return "".join(event.text for event in said if isinstance(event, TextDelta)), summary


async def test_a_job_that_is_begun_again_pays_nothing_again() -> None:
    world = World({"openai": [streamed("openai")]})
    job = await begun(world)
    first, again = await asked(world, job), await asked(world, job)
    assert (first[0], again[0], len(world.sent)) == ("Hello", "Hello", 1)
    assert (first[1].cost_nano, first[1].model, first[1].output_tokens > 0) == (18_000, "m", True)
    assert job.cost_nano == 18_000
    assert [call.options.task for call in world.outcomes.calls] == ["sup_1", "sup_1"]


async def test_other_passages_are_another_call() -> None:
    world = World({"openai": [streamed("openai"), streamed("openai")]})
    job = await begun(world)
    await asked(world, job)
    changed = structs.replace(REQUEST, messages=[Message(role="user", parts=[TextPart(text="Hi again")])])
    await asked(world, job, changed)
    assert len(world.sent) == 2


async def test_a_refusal_is_raised_before_any_text() -> None:
    world = World({"openai": [FakeReply(status=400, body=b'{"error":{"message":"No.","type":"invalid"}}')]})
    with pytest.raises(UpstreamError):
        await asked(world, await begun(world))
