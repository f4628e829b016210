"""`Idempotency-Key` on the path: one provider call, one charge, one result, however often it is asked."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.call import CallOptions
from tenfold.core.chat import ChatRequest, Message, TextPart
from tenfold.core.clock import FakeClock
from tenfold.core.errors import BudgetExceeded, UpstreamTimeout
from tenfold.inference.canonical import InsideCaller
from tenfold.ledger.idempotency.fake import FakeIdempotencyRows
from tenfold.ledger.idempotency.handlers import settle_keys_of
from tenfold.ledger.idempotency.queries import PostgresIdempotencyRows
from tenfold.ledger.idempotency.types import Claim, StoredReply
from tenfold.providers.transport.fake import FakeReply
from tenfold.store import Store
from tests.ledger.samples import add_tenant
from tests.support.pipeline import FRAMES, KEEP_S, UNTIL_TOKEN, Client, World, asking, principal, streamed, whole

REQUEST = ChatRequest(model="m", messages=[Message(role="user", parts=[TextPart(text="Hi")])])
KEY = CallOptions(idempotency_key="order-17")
PAIRS = [("openai", "openai"), ("anthropic", "anthropic"), ("anthropic", "openai"), ("openai", "gemini")]


def good(upstream: str, stream: bool) -> FakeReply:
    return streamed(upstream) if stream else whole(upstream)


def hanging(upstream: str = "openai") -> FakeReply:
    return streamed(upstream, stop_at=sum(map(len, FRAMES[upstream][:-1])), then="hang")


def assert_refused(told: Client, status: int, code: str, **headers: str) -> None:
    assert (told.status, told.json["error"]["code"]) == (status, code)
    assert {name: told.headers.get(name) for name in headers} == headers


async def steps(count: int = 30) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def begun(world: World, body: bytes, responder: Client | None = None) -> "asyncio.Task[Client]":
    """A call with the key, its upstream asked."""
    task = asyncio.create_task(world.ask(body, options=KEY, responder=responder))
    asked = len(world.sent)
    while len(world.sent) == asked:
        await asyncio.sleep(0)
    return task


# -- replay ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_the_same_key_gets_the_same_reply_again(client: str, upstream: str, stream: bool) -> None:
    world = World({upstream: [good(upstream, stream)]})
    body = asking(client, stream=stream)
    first, *more = [await world.ask(body, client, options=KEY) for _ in range(3)]
    assert len(world.sent) == 1
    assert "idempotency-replayed" not in first.headers
    for again in more:
        assert (again.status, again.is_stream, again.body) == (200, stream, first.body)
        assert again.headers["idempotency-replayed"] == "true"
        assert again.headers["tenfold-cache"] == "bypass"
        assert again.headers["tenfold-provider"] == upstream
        assert again.headers["content-type"] == first.headers["content-type"]
        assert again.headers["x-request-id"] != first.headers["x-request-id"]
    paid, *free = world.outcomes.calls
    assert (paid.status, paid.cost_nano) == ("ok", 18_000)
    assert {(call.status, call.http_status, call.cost_nano, call.cache_state) for call in free} == {
        ("ok", 200, 0, "bypass")
    }
    assert world.admission.budgets.reservations == 1
    world.assert_settled()


async def test_a_replay_tells_what_the_first_told() -> None:
    reply = whole("anthropic", headers=[(b"content-type", b"application/json"), (b"request-id", b"req_up")])
    world = World({"anthropic": [reply]}, upstream_model="claude")
    body = asking("openai", seed=1)
    first, again = [await world.ask(body, options=KEY) for _ in range(2)]
    assert again.headers["tenfold-model"] == "claude"
    for name in ("tenfold-upstream-request-id", "tenfold-ignored-params"):
        assert again.headers[name] == first.headers[name]
    assert (first.headers["tenfold-cost-usd"], again.headers["tenfold-cost-usd"]) == ("0.000018", "0")


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_a_broken_stream_is_charged_and_replayed_as_it_was(client: str, upstream: str) -> None:
    cut = sum(map(len, FRAMES[upstream][: UNTIL_TOKEN[upstream]]))
    world = World({upstream: [streamed(upstream, stop_at=cut)]})
    body = asking(client, stream=True)
    first, again = [await world.ask(body, client, options=KEY) for _ in range(2)]
    assert b'"error"' in first.body
    assert again.body == first.body
    assert [call.status for call in world.outcomes.calls] == ["cut", "cut"]
    assert [bool(call.cost_nano) for call in world.outcomes.calls] == [True, False]
    world.assert_settled()


async def test_an_error_that_is_charged_is_replayed_and_not_to_be_tried_again() -> None:
    """Whatever the provider did in the time it had is billed: the key does not ask it again."""
    world = World({"openai": [FakeReply(error=UpstreamTimeout("too slow", unanswered=True))]})
    first, again = [await world.ask(asking("openai"), options=KEY) for _ in range(2)]
    assert (first.status, again.status) == (504, 504)
    assert again.body == first.body
    assert (again.headers["idempotency-replayed"], again.headers["x-should-retry"]) == ("true", "false")
    assert [bool(call.cost_nano) for call in world.outcomes.calls] == [True, False]
    assert [call.status for call in world.outcomes.calls] == ["error", "error"]
    world.assert_settled()


async def test_an_answer_from_memory_is_stored_too() -> None:
    world = World({"openai": [whole("openai")]})
    body = asking("openai", temperature=0)
    first = await world.ask(body)
    told = [await world.ask(body, options=KEY) for _ in range(2)]
    assert [one.body for one in told] == [first.body] * 2
    assert told[0].headers["tenfold-cache"].startswith("hit; layer=memory")
    assert told[1].headers["idempotency-replayed"] == "true"


async def test_a_call_from_inside_is_made_once_too() -> None:
    world = World({"openai": [streamed("openai")]})
    caller = InsideCaller(world.pipeline)
    heard = []
    for _ in range(2):
        async with caller.stream(world.principal, REQUEST, KEY) as reply:
            heard.append([event async for event in reply])
    assert heard[0] == heard[1]
    assert len(world.sent) == 1


# -- whose key, and which request ------------------------------------------------------------


@pytest.mark.parametrize(
    "other", [asking("openai", seed=1), asking("openai", stream=True), b" " + asking("openai"), b"{", b""]
)
async def test_another_body_under_the_key_is_refused(other: bytes) -> None:
    world = World({"openai": [whole("openai")]})
    await world.ask(asking("openai"), options=KEY)
    assert_refused(await world.ask(other, options=KEY), 422, "idempotency_mismatch")
    assert (await world.ask(asking("openai"), options=KEY)).status == 200
    world.assert_settled()


async def test_the_same_bytes_in_another_dialect_are_another_request() -> None:
    world = World({"openai": [whole("openai")]})
    body = asking("anthropic")
    assert (await world.ask(body, "openai", options=KEY)).status == 200
    assert (await world.ask(body, "anthropic", options=KEY)).status == 422


async def test_a_beta_of_the_vendor_makes_another_request() -> None:
    world = World({"anthropic": [whole("anthropic")]})
    beta = CallOptions(idempotency_key="order-17", upstream_headers=((b"anthropic-beta", b"b1"),))
    assert (await world.ask(asking("anthropic"), "anthropic", options=KEY)).status == 200
    assert (await world.ask(asking("anthropic"), "anthropic", options=beta)).status == 422


async def test_a_key_of_another_tenant_is_another_key() -> None:
    world = World({"openai": lambda _request: whole("openai")})
    for who in (world.principal, principal("other")):
        told = await world.ask(asking("openai"), options=KEY, principal=who)
        assert "idempotency-replayed" not in told.headers
    assert len(world.sent) == 2


async def test_a_key_is_forgotten_in_time() -> None:
    world = World({"openai": lambda _request: whole("openai")})
    for passed_s, calls in ((0, 1), (KEEP_S - 1, 1), (2, 2)):
        world.clock.advance(passed_s)
        await world.ask(asking("openai"), options=KEY)
        assert len(world.sent) == calls


# -- in flight -------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_of_many_at_once_one_is_made_and_the_others_are_told_to_come_again(stream: bool) -> None:
    world = World({"openai": [good("openai", stream)]})
    told = await asyncio.gather(*(world.ask(asking("openai", stream=stream), options=KEY) for _ in range(20)))
    assert sorted(one.status for one in told) == [200] + [409] * 19
    for one in told:
        if one.status == 409:
            assert_refused(one, 409, "idempotency_in_flight", **{"retry-after": "1"})
            assert "x-should-retry" not in one.headers
    assert len(world.sent) == 1
    assert sum(call.cost_nano or 0 for call in world.outcomes.calls) == 18_000
    world.assert_settled()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("how", ["cancelled", "gone"])
async def test_the_call_goes_on_when_its_client_leaves_and_a_retry_finds_the_result(stream: bool, how: str) -> None:
    world = World({"openai": [good("openai", stream)]})
    body = asking("openai", stream=stream)
    task = await begun(world, body, Client(leaves_after=0) if how == "gone" else None)
    if how == "cancelled":
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await steps()
    assert world.outcomes.only.status == "ok"
    again = await world.ask(body, options=KEY)
    assert again.headers["idempotency-replayed"] == "true"
    assert b"Hel" in again.body
    assert len(world.sent) == 1
    world.assert_settled()


async def test_who_leaves_before_the_key_is_claimed_leaves_nothing() -> None:
    """Nothing has been promised yet: the call waits for its turn."""
    world = World({"openai": []})
    turn = asyncio.Event()

    async def wait_for_a_turn(_tenant_id: object) -> None:
        await turn.wait()

    world.gate.enter = wait_for_a_turn  # type: ignore[method-assign, assignment]
    task = asyncio.create_task(world.ask(asking("openai"), options=KEY))
    await steps(3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(world.pipeline.flights) == 0
    assert len(world.keys) == 0
    assert world.outcomes.only.status == "cancelled"


async def test_a_slow_upstream_is_in_flight_for_the_retry() -> None:
    world = World({"openai": [hanging()]})
    body = asking("openai", stream=True)
    task = await begun(world, body)
    assert_refused(await world.ask(body, options=KEY), 409, "idempotency_in_flight")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert_refused(await world.ask(body, options=KEY), 409, "idempotency_in_flight")
    await world.pipeline.aclose(0)
    world.assert_settled()


# -- what is not kept ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (FakeReply(status=429, body=b"{}"), 429),
        (FakeReply(status=500, body=b"{}"), 500),
        (FakeReply(error=UpstreamTimeout("no connection")), 504),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_cost_nothing_frees_the_key(bad: FakeReply, status: int, stream: bool) -> None:
    world = World({"openai": [bad, good("openai", stream)]})
    body = asking("openai", stream=stream)
    first, second = [await world.ask(body, options=KEY) for _ in range(2)]
    assert (first.status, second.status) == (status, 200)
    assert "idempotency-replayed" not in second.headers
    assert len(world.sent) == 2
    world.assert_settled()


@pytest.mark.parametrize("body", [asking("openai", model="other"), asking("openai", temperature=9), b"{"])
async def test_a_request_that_cannot_be_meant_frees_the_key(body: bytes) -> None:
    world = World({"openai": [whole("openai")]})
    assert (await world.ask(body, options=KEY)).status in (400, 404)
    assert (await world.ask(asking("openai"), options=KEY)).status == 200
    world.assert_settled()


async def test_a_call_the_budget_refuses_frees_the_key() -> None:
    world = World({"openai": [whole("openai")]})
    world.admission.limits.refuse_at_reserve = BudgetExceeded("no room")
    assert (await world.ask(asking("openai"), options=KEY)).status == 402
    world.admission.limits.refuse_at_reserve = None
    assert (await world.ask(asking("openai"), options=KEY)).status == 200


async def test_a_call_that_is_not_admitted_claims_nothing() -> None:
    world = World({"openai": []}, max_in_flight=0)
    assert (await world.ask(asking("openai"), options=KEY)).status == 503
    assert len(world.keys) == 0
    world.assert_settled()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_too_large_to_keep_is_sent_and_not_asked_for_again(stream: bool) -> None:
    world = World({"openai": [good("openai", stream)]}, max_reply_bytes=100)
    body = asking("openai", stream=stream)
    first, again = [await world.ask(body, options=KEY) for _ in range(2)]
    assert (first.status, first.is_stream) == (200, stream)
    assert b"lo" in first.body
    assert_refused(again, 409, "idempotency_interrupted", **{"x-should-retry": "false"})
    assert "too large" in again.json["error"]["message"]
    assert len(world.sent) == 1
    world.assert_settled()


async def test_a_process_that_stops_interrupts_the_calls_it_had_begun() -> None:
    world = World({"openai": [hanging()]})
    body = asking("openai", stream=True)
    task = await begun(world, body)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await world.pipeline.aclose(0)
    call = world.outcomes.only
    assert call.status == "cancelled"
    assert call.cost_nano
    assert world.keys.states == ["interrupted"]
    world.assert_settled()
    told = await World({}, keys=world.keys).ask(body, options=KEY, principal=world.principal)
    assert_refused(told, 409, "idempotency_interrupted", **{"x-should-retry": "false"})


async def test_a_process_that_stops_waits_for_calls_that_are_about_to_end() -> None:
    world = World({"openai": [whole("openai")]})
    task = await begun(world, asking("openai"))
    task.cancel()
    await world.pipeline.aclose(10)
    await asyncio.gather(task, return_exceptions=True)
    assert world.keys.states == ["done"]
    told = await world.ask(asking("openai"), options=KEY)
    assert (told.status, told.json["error"]["code"]) == (503, "overloaded")
    world.assert_settled()


async def test_a_bug_leaves_the_key_interrupted() -> None:
    def fail(_request: object) -> FakeReply:
        raise RuntimeError("a bug")

    world = World({"openai": fail})
    with pytest.raises(RuntimeError, match="a bug"):
        await world.ask(asking("openai"), options=KEY)
    assert world.keys.states == ["interrupted"]
    world.assert_settled()


async def test_the_keys_of_a_process_that_died() -> None:
    """Its call may have been made: never again under this key. One that never began is free."""
    world = World({"openai": [hanging()]})
    body = asking("openai", stream=True)
    task = await begun(world, body, client := Client())
    assert client.call is not None
    world.keys.receipts.add(client.call.id)
    [holder] = world.keys.holders
    assert await settle_keys_of(world.keys, holder) == (1, 0)
    assert_refused(await world.ask(body, options=KEY), 409, "idempotency_interrupted")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await world.pipeline.aclose(0)


# -- the database ----------------------------------------------------------------------------


async def test_without_the_database_a_call_with_a_key_does_not_begin() -> None:
    world = World({"openai": [whole("openai")]})
    world.keys.away = True
    assert_refused(await world.ask(asking("openai"), options=KEY), 503, "store_unavailable")
    assert world.sent == []
    world.keys.away = False
    await steps()
    assert (await world.ask(asking("openai"), options=KEY)).status == 200
    world.assert_settled()


async def test_a_claim_whose_answer_was_lost_is_given_back() -> None:
    world = World({"openai": [whole("openai")]})
    world.keys.lose_answer = True
    assert_refused(await world.ask(asking("openai"), options=KEY), 503, "store_unavailable")
    world.keys.lose_answer = False
    await steps()
    assert len(world.keys) == 0
    assert (await world.ask(asking("openai"), options=KEY)).status == 200
    world.assert_settled()


@pytest.mark.parametrize("stream", [False, True])
async def test_a_database_that_goes_away_does_not_keep_the_reply_back_and_gets_it_later(stream: bool) -> None:
    world = World({"openai": [good("openai", stream)]})
    body = asking("openai", stream=stream)
    task = await begun(world, body)
    world.keys.away = True
    told = await task
    assert (told.status, told.is_stream) == (200, stream)
    assert world.keys.states == ["in_flight"]
    world.keys.away = False
    await steps()
    assert world.keys.states == ["done"]
    again = await world.ask(body, options=KEY)
    assert again.body == told.body
    world.assert_settled()


class Watched(FakeIdempotencyRows):
    """Notes what the client had seen when its result was stored."""

    client = Client()
    seen: Sequence[bytes] | None = None

    async def finish(self, claim: Claim, reply: StoredReply) -> None:
        await steps()
        self.seen = list(self.client.pieces)
        await steps()
        assert list(self.client.pieces) == self.seen
        await super().finish(claim, reply)


@pytest.mark.parametrize("end", ["whole", "stream", "broken"])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_the_result_is_stored_before_the_end_goes_out(client: str, upstream: str, end: str) -> None:
    reply = good(upstream, stream=end != "whole")
    if end == "broken":
        reply = streamed(upstream, stop_at=sum(map(len, FRAMES[upstream][:-1])))
    keys = Watched(FakeClock())
    world = World({upstream: [reply]}, keys=keys)
    keys.client = Client()
    told = await world.ask(asking(client, stream=end != "whole"), client, options=KEY, responder=keys.client)
    assert keys.seen is not None
    assert told.status == 200
    seen = b"".join(keys.seen)
    if end == "whole":
        assert seen == b""
    else:
        ends = (b"[DONE]", b"message_stop", b'"error"')
        assert b"Hel" in seen
        assert not any(mark in seen for mark in ends)
        assert any(mark in told.body for mark in ends)
    world.assert_settled()


async def test_a_bug_while_the_database_is_away_is_told_at_once() -> None:
    def fail(_request: object) -> FakeReply:
        world.keys.away = True
        raise RuntimeError("a bug")

    world = World({"openai": fail})
    assert (await world.ask(asking("openai"), options=KEY)).status == 500
    assert world.keys.states == ["in_flight"]
    world.keys.away = False
    await steps()
    assert world.keys.states == ["interrupted"]
    world.assert_settled()


@pytest.mark.parametrize("text", ["[DONE]", "message_stop", 'an \\"error\\"'])
async def test_a_text_that_looks_like_an_end_is_only_late(text: str) -> None:
    frames = list(FRAMES["openai"])
    frames[1] = frames[1].replace(b"Hel", text.encode())
    edges = tuple(sum(map(len, frames[:count])) for count in range(1, len(frames)))
    world = World({"openai": [streamed("openai", body=b"".join(frames), cuts=edges)]})
    told = await world.ask(asking("openai", stream=True), options=KEY)
    assert told.body == b"".join(frames[:4] + frames[5:])
    world.assert_settled()


# -- two processes on one database -----------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
async def test_two_processes_and_one_key_are_one_provider_call(store: Store, database: str, stream: bool) -> None:
    other = await Store.open(database, max_size=5)
    try:
        who = principal()
        await add_tenant(store, who.tenant_id)
        worlds = [
            World({"openai": lambda _request: good("openai", stream)}, keys=PostgresIdempotencyRows(of))
            for of in (store, other)
        ]
        body = asking("openai", stream=stream)
        for number in range(5):
            key = CallOptions(idempotency_key=f"order-{number}")
            asked = [world.ask(body, options=key, principal=who) for world in worlds * 3]
            told = await asyncio.gather(*asked)
            [first] = [one for one in told if one.status == 200 and "idempotency-replayed" not in one.headers]
            assert {one.status for one in told} <= {200, 409}
            assert sum(len(world.sent) for world in worlds) == number + 1
            for world in worlds:
                again = await world.ask(body, options=key, principal=who)
                assert (again.body, again.headers["idempotency-replayed"]) == (first.body, "true")
        for world in worlds:
            world.assert_settled()
        spent = sum(world.admission.budgets.spent for world in worlds)
        assert spent == 5 * 18_000
    finally:
        await other.aclose()


@settings(deadline=None, max_examples=100)
@given(
    leaves=st.lists(st.integers(0, 60) | st.none(), min_size=1, max_size=6),
    stream=st.booleans(),
    cuts=st.lists(st.integers(0, 900), max_size=5),
)
async def test_however_often_clients_leave_and_ask_again_one_call_is_made(
    leaves: list[int | None], stream: bool, cuts: list[int]
) -> None:
    world = World({"openai": [streamed("openai", cuts=tuple(cuts)) if stream else whole("openai")]})
    body = asking("openai", stream=stream)
    for after in leaves:
        task = asyncio.create_task(world.ask(body, options=KEY))
        await asyncio.sleep(0)
        if after is not None:
            await steps(after)
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await steps(60)
    told = await world.ask(body, options=KEY)
    assert told.status == 200
    assert len(world.sent) == 1
    assert world.admission.budgets.spent == 18_000
    world.assert_settled()
