"""Trying again: when it may help, after what pause, how often at most, and who pays for it."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.call import CallOptions
from tenfold.core.errors import UpstreamTimeout, UpstreamUnavailable
from tenfold.inference import call as stage
from tenfold.inference.call import backoff_s
from tenfold.inference.policy import Policy
from tenfold.providers.facts import REQUEST_ID
from tenfold.providers.transport.fake import FakeReply
from tests.support.pipeline import FRAMES, INPUT_NANO, OUTPUT_NANO, Client, World, asking, streamed, whole

JSON = [(b"content-type", b"application/json")]
FAILED = FakeReply(status=500, headers=JSON, body=b"{}")
LOST = FakeReply(error=UpstreamUnavailable("closed the connection without a reply", unanswered=True))
ONCE_MORE = Policy(retries=1)
BUSY = b'{"error":{"message":"Slow down"}}'
ANSWER_NANO = 12 * INPUT_NANO + 3 * OUTPUT_NANO


def limited(*headers: tuple[bytes, bytes], status: int = 429) -> FakeReply:
    return FakeReply(status=status, headers=[*JSON, *headers], body=BUSY)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the calls of a test pause, which takes them no time. The dice show a half."""
    told: list[float] = []
    sleep = asyncio.sleep

    async def pause(delay_s: float) -> None:
        if delay_s > 0:
            told.append(delay_s)
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", pause)
    monkeypatch.setattr(stage, "random", lambda: 0.5)
    return told


# -- the pause -------------------------------------------------------------------------------


@given(number=st.integers(0, 1000), most_s=st.floats(0, 60), dice=st.floats(0, 1, exclude_max=True))
def test_a_pause_is_at_most_what_the_exponential_and_the_policy_allow(number: int, most_s: float, dice: float) -> None:
    pause_s = backoff_s(number, most_s, dice)
    assert 0 <= pause_s <= most_s
    assert pause_s <= 0.1 * 2.0**number
    assert backoff_s(number, most_s, 0) == 0, "full jitter begins at once"


@given(number=st.integers(0, 20), dice=st.floats(0, 1, exclude_max=True))
def test_pauses_double(number: int, dice: float) -> None:
    assert backoff_s(number + 1, 1e9, dice) == pytest.approx(2 * backoff_s(number, 1e9, dice))


async def test_the_pauses_of_a_call_grow_up_to_the_policys(pauses: list[float]) -> None:
    world = World({"openai": [FAILED] * 4}, route=Policy(retries=3, max_backoff_s=0.3))
    told = await world.ask(asking("openai"))
    assert told.status == 500
    assert pauses == pytest.approx([0.05, 0.1, 0.15])
    world.assert_settled()


# -- when ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "failure",
    [
        FAILED,
        limited((b"retry-after", b"1")),
        limited(status=529),
        FakeReply(error=UpstreamUnavailable("Nobody there")),
        FakeReply(error=UpstreamTimeout("Too slow")),
        whole("openai", body=b"not JSON"),
        whole("openai", body=b"<h1>Hello</h1>"),
        streamed("openai", stop_at=len(FRAMES["openai"][0])),
    ],
    ids=range(8),
)
async def test_the_same_target_is_asked_once_more(pauses: list[float], failure: FakeReply, stream: bool) -> None:
    world = World({"openai": [failure, streamed("openai") if stream else whole("openai")]}, route=ONCE_MORE)
    told = await world.ask(asking("openai", stream=stream))
    assert told.status == 200
    assert b"Hel" in told.body
    assert "tenfold-degraded" not in told.headers, "it is the same target that answers"
    call = world.outcomes.only
    assert (call.status, call.error, call.attempts, call.degraded) == ("ok", None, 2, ())
    assert len(pauses) == 1
    first, second = (dict(request.headers)[REQUEST_ID] for request in world.sent)
    assert first != second, "each attempt has an id of its own"
    world.assert_settled()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
async def test_what_would_fail_again_is_not_tried_again(pauses: list[float], status: int) -> None:
    world = World({"openai": [FakeReply(status=status, headers=JSON, body=b"{}")]}, route=ONCE_MORE)
    assert (await world.ask(asking("openai"))).status == status
    assert (world.outcomes.only.attempts, pauses) == (1, [])
    world.assert_settled()


async def test_without_a_policy_nothing_is_tried_again(pauses: list[float]) -> None:
    world = World({"openai": [FAILED]})
    assert (await world.ask(asking("openai"))).status == 500
    assert pauses == []


async def test_all_targets_of_a_model_are_asked_before_one_is_asked_again(pauses: list[float]) -> None:
    asked: list[str] = []

    def fails(name: str) -> Callable[[object], FakeReply]:
        def answer(_request: object) -> FakeReply:
            asked.append(name)
            return FAILED

        return answer

    world = World({name: fails(name) for name in ("a", "b")}, route=Policy(retries=2))
    await world.ask(asking("openai"))
    assert asked == ["a", "b"] * 3
    assert len(pauses) == 2
    world.assert_settled()


async def test_a_client_that_retries_by_itself_is_not_helped_along(pauses: list[float]) -> None:
    """Two layers that each try three times are nine attempts."""
    world = World({"openai": [FAILED], "spare": [FAILED]}, route=ONCE_MORE)
    told = await world.ask(asking("openai"), options=CallOptions(client_retry=True))
    assert told.status == 500
    assert world.outcomes.only.attempts == 2, "each target once"
    assert pauses == []


# -- what the upstream says of it ------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "pause_s"),
    [((b"retry-after", b"1"), 1.0), ((b"retry-after-ms", b"1500"), 1.5), ((b"server", b"x"), 0.2)],
)
@pytest.mark.parametrize("status", [429, 529])
async def test_the_pause_is_as_long_as_the_upstream_asks_for(
    pauses: list[float], status: int, header: tuple[bytes, bytes], pause_s: float
) -> None:
    """Where it does not say how long, a target that is over its limit rests a moment all the same."""
    world = World({"openai": [limited(header, status=status), whole("openai")]}, route=ONCE_MORE)
    assert (await world.ask(asking("openai"))).status == 200
    assert pauses == pytest.approx([pause_s], abs=0.01)


async def test_an_unavailable_one_may_name_its_time_too(pauses: list[float]) -> None:
    world = World({"openai": [limited((b"retry-after", b"1"), status=503), whole("openai")]}, route=ONCE_MORE)
    assert (await world.ask(asking("openai"))).status == 200
    assert pauses == [1.0]


@pytest.mark.parametrize("status", [429, 503])
async def test_a_time_longer_than_the_policys_is_left_to_the_client(pauses: list[float], status: int) -> None:
    world = World({"openai": [limited((b"retry-after", b"9"), status=status)]}, route=Policy(retries=1))
    told = await world.ask(asking("openai"))
    assert (told.status, told.headers["retry-after"]) == (status, "9")
    assert pauses == []
    world.assert_settled()


async def test_the_upstream_may_forbid_it(pauses: list[float]) -> None:
    """For the same target: another one is another matter."""
    no = limited((b"x-should-retry", b"false"), status=500)
    world = World({"openai": [no]}, route=ONCE_MORE)
    assert (await world.ask(asking("openai"))).status == 500
    world = World({"openai": [no], "spare": [whole("openai")]}, route=ONCE_MORE)
    assert (await world.ask(asking("openai"))).headers["tenfold-provider"] == "spare"
    assert pauses == []


async def test_the_upstream_may_ask_for_it(pauses: list[float]) -> None:
    world = World({"openai": [limited((b"x-should-retry", b"true"), status=409), whole("openai")]}, route=ONCE_MORE)
    assert (await world.ask(asking("openai"))).status == 200
    assert len(pauses) == 1


async def test_the_client_is_told_what_the_upstream_says_of_it() -> None:
    for said in (b"true", b"false"):
        world = World({"openai": [limited((b"x-should-retry", said), status=409)]})
        assert (await world.ask(asking("openai"))).headers["x-should-retry"] == said.decode()


# -- how often, how long, for what money ------------------------------------------------------


async def test_retries_have_a_budget_of_their_own(pauses: list[float]) -> None:
    world = World({"openai": [FAILED, whole("openai"), FAILED]}, route=ONCE_MORE)
    budget = world.router.find("m").retry_budget
    for _ in range(9):
        assert budget.may_retry()
    assert (await world.ask(asking("openai"))).status == 200
    assert (await world.ask(asking("openai"))).status == 500, "that was the tenth in ten seconds"
    assert len(pauses) == 1
    assert (budget.taken, budget.refused) == (10, 1)
    world.assert_settled()


async def test_many_calls_earn_more_retries(pauses: list[float]) -> None:
    world = World({"openai": [FAILED, whole("openai")]}, route=ONCE_MORE)
    budget = world.router.find("m").retry_budget
    for _ in range(109):
        budget.request()
    for _ in range(10):
        assert budget.may_retry()
    assert (await world.ask(asking("openai"))).status == 200


@pytest.mark.parametrize(("deadline_ms", "attempts"), [(900, 1), (60_000, 2)])
async def test_a_deadline_that_the_pause_would_pass_ends_the_rounds(
    pauses: list[float], deadline_ms: int, attempts: int
) -> None:
    world = World({"openai": [limited((b"retry-after", b"1")), whole("openai")]}, route=ONCE_MORE)
    told = await world.ask(asking("openai"), options=CallOptions(deadline_ms=deadline_ms))
    assert told.status == (429 if attempts == 1 else 200)
    assert world.outcomes.only.attempts == attempts
    assert len(pauses) == attempts - 1
    world.assert_settled()


async def test_an_attempt_that_may_be_billed_is_paid_beside_the_one_that_answers(pauses: list[float]) -> None:
    world = World({"openai": [LOST, whole("openai")]}, route=ONCE_MORE)
    assert (await world.ask(asking("openai", max_tokens=10))).status == 200
    call = world.outcomes.only
    assert call.estimated
    assert call.cost_nano == call.lost_nano + ANSWER_NANO
    assert call.lost_nano > 0
    world.assert_settled()


async def test_where_there_is_no_room_for_another_the_first_error_is_told(pauses: list[float]) -> None:
    world = World({"openai": [LOST]}, route=ONCE_MORE)
    world.admission.budgets.room_for = 1
    told = await world.ask(asking("openai"))
    assert (told.status, told.json["error"]["code"]) == (502, "upstream_unavailable")
    assert world.outcomes.only.cost_nano
    world.assert_settled()


async def test_a_client_may_leave_in_the_pause() -> None:
    world = World({"openai": [limited((b"retry-after", b"60"))]}, route=Policy(retries=1, max_backoff_s=100))
    task = asyncio.create_task(world.ask(asking("openai")))
    while not world.router.find("m").retry_budget.taken:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    call = world.outcomes.only
    assert (call.status, call.cost_nano, call.attempts) == ("cancelled", None, 1)
    world.assert_settled()


# -- whatever happens ------------------------------------------------------------------------

_WHOLE = whole("openai")
_OUTCOMES = [_WHOLE, FAILED, LOST, limited(), limited((b"retry-after", b"0")), whole("openai", stop_at=20)]
_OUTCOMES += [FakeReply(error=UpstreamUnavailable("Nobody there")), FakeReply(status=400, headers=JSON, body=b"{}")]


@settings(deadline=None)
@given(
    script=st.lists(st.sampled_from(_OUTCOMES), min_size=12, max_size=12),
    targets=st.integers(1, 3),
    retries=st.integers(0, 3),
)
async def test_however_attempts_end_the_call_has_one_reply_and_is_settled_once(
    script: list[FakeReply], targets: int, retries: int
) -> None:
    replies = iter(script)
    names = ["a", "b", "c"][:targets]
    world = World(dict.fromkeys(names, lambda _request: next(replies)), route=Policy(retries=retries, max_backoff_s=0))
    told: Client = await world.ask(asking("openai"))
    call = world.outcomes.only
    used = script[: len(world.sent)]
    assert call.attempts == len(world.sent) <= targets * (1 + retries)
    assert (told.status == 200) == (used[-1] is _WHOLE) == (call.status == "ok")
    assert _WHOLE not in used[:-1]
    assert all(reply.status != 400 for reply in used[:-1])
    may_be_billed = sum(reply is LOST or reply.stop_at is not None for reply in used)
    assert call.estimated == (may_be_billed > 0)
    assert bool(call.cost_nano) == (may_be_billed > 0 or told.status == 200)
    world.assert_settled()
