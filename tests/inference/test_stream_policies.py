"""Streams that fail: unseen before the first token, told after it, and what a route may want otherwise."""

import asyncio
from typing import Any

import pytest
from msgspec import json

from tenfold.core.call import CallOptions
from tenfold.core.errors import UpstreamTimeout
from tenfold.core.sse import SseDecoder, SseEvent
from tenfold.inference.policy import Policy
from tenfold.providers.transport.fake import FakeReply
from tests.support.pipeline import (
    EVENT_STREAM,
    FAILURES,
    FRAMES,
    INPUT_NANO,
    OUTPUT_NANO,
    UNTIL_TOKEN,
    USAGE_FRAME,
    Client,
    World,
    asking,
    streamed,
)

PAIRS = [(client, upstream) for client in ("openai", "anthropic") for upstream in ("openai", "anthropic", "gemini")]
ANSWER_NANO = 12 * INPUT_NANO + 3 * OUTPUT_NANO
OPENAI = b"".join(FRAMES["openai"]).replace(USAGE_FRAME, b"")
RESTART = Policy(on_break="restart")
COMMENTS = b": still here\n\n"
PINGS = b'event: ping\ndata: {"type":"ping"}\n\n'


def until_token(upstream: str, *, less: int = 0) -> bytes:
    return b"".join(FRAMES[upstream][: UNTIL_TOKEN[upstream] - less])


def sending(body: bytes, **how: Any) -> FakeReply:
    """These bytes, a block for each event, and then a close as if all had been said."""
    cuts = tuple(n for n in range(1, len(body)) if body[:n].endswith((b"\n\n", b"\r\n\r\n")))
    return FakeReply(**({"headers": EVENT_STREAM, "body": body, "cuts": cuts} | how))


def silent_after(body: bytes) -> FakeReply:
    return sending(body + b"\n", stop_at=len(body), then="hang")


def events(client: Client) -> list[SseEvent]:
    return SseDecoder().feed(client.body)


def text_of(body: bytes) -> str:
    """What a client reads in it."""
    text = ""
    for event in SseDecoder().feed(body):
        if event.data.strip() == b"[DONE]" or not event.data:
            continue
        said = json.decode(event.data)
        for choice in said.get("choices", ()):
            text += choice["delta"].get("content") or ""
        if said.get("type") == "content_block_delta":
            text += said["delta"]["text"]
    return text


def assert_ends_well(client: Client, dialect: str) -> None:
    assert client.is_stream
    assert b'"error"' not in client.body
    last = events(client)[-1]
    assert last.data.strip() == b"[DONE]" if dialect == "openai" else last.event == "message_stop"


def error_in(client: Client) -> Any:
    assert client.is_stream
    return json.decode(events(client)[-1].data)["error"]


# -- before the first token ------------------------------------------------------------------


def unseen(upstream: str) -> dict[str, FakeReply]:
    head, frames, failure = until_token(upstream, less=1), until_token(upstream), FAILURES[upstream]
    return {
        "lost at once": sending(frames, stop_at=0),
        "lost in its head": sending(frames, stop_at=len(head) + 5),
        "closed at once": sending(b""),
        "closed after its head": sending(head),
        "an error first": sending(failure),
        "an error after its head": sending(head + failure),
        "an error and its head in one block": sending(head + failure, cuts=()),
        "an error first, and no end": silent_after(failure),
        "an error after its head, and no end": silent_after(head + failure),
        "an error page": FakeReply(headers=[(b"content-type", b"text/html")], body=b"<h1>Hello</h1>"),
        "an error object": FakeReply(headers=[(b"content-type", b"application/json")], body=b'{"error":{"a":1}}'),
    }


def may_be_billed(how: str, upstream: str) -> bool:
    """All but a refusal: what the upstream has told of before anything else."""
    return not how.startswith("an error") or ("its head" in how and upstream != "gemini")


@pytest.mark.parametrize("how", unseen("openai"))
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_what_fails_before_the_first_token_is_made_up_for_unseen(client: str, upstream: str, how: str) -> None:
    world = World({upstream: [unseen(upstream)[how]], "spare": [streamed("openai")]})
    told = await world.ask(asking(client, stream=True), client)
    assert_ends_well(told, client)
    assert text_of(told.body) == "Hello"
    assert told.headers["tenfold-degraded"] == "fallback"
    assert told.headers["tenfold-provider"] == "spare"
    call = world.outcomes.only
    assert (call.status, call.error, call.attempts, call.degraded) == ("ok", None, 2, ("fallback",))
    assert call.usage is not None
    assert call.estimated == may_be_billed(how, upstream)
    assert (call.cost_nano == ANSWER_NANO) == (not may_be_billed(how, upstream))
    world.assert_settled()


@pytest.mark.parametrize("how", unseen("openai"))
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_when_nobody_else_is_there_the_failure_is_a_status(client: str, upstream: str, how: str) -> None:
    world = World({upstream: [unseen(upstream)[how]]})
    told = await world.ask(asking(client, stream=True), client)
    assert told.status >= 500
    assert not told.is_stream
    assert told.headers["content-type"] == "application/json"
    assert told.json["error"]["message"]
    assert ("Full" in told.json["error"]["message"]) == (FAILURES[upstream] in unseen(upstream)[how].body)
    call = world.outcomes.only
    assert (call.status, call.http_status, call.attempts) == ("error", told.status, 1)
    assert bool(call.cost_nano) == call.estimated == may_be_billed(how, upstream)
    world.assert_settled()


async def test_a_usage_told_before_the_failure_is_not_the_next_ones() -> None:
    """Anthropic tells its input first; what another provider is charged for does not stand on it."""
    head = until_token("anthropic", less=1).replace(b'"input_tokens":12', b'"input_tokens":999')
    cut = streamed("openai", stop_at=len(until_token("openai")))
    world = World({"anthropic": [sending(head)], "spare": [cut]})
    await world.ask(asking("anthropic", stream=True), "anthropic")
    call = world.outcomes.only
    assert call.status == "cut"
    assert call.begun_usage is None or call.begun_usage.input_tokens != 999
    assert call.stream_bytes == len(until_token("openai"))
    world.assert_settled()


# -- after it --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["lost", "closed", "told"])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_after_the_first_token_nobody_else_is_asked(client: str, upstream: str, how: str) -> None:
    begun = until_token(upstream)
    reply = {
        "lost": sending(begun + b"\n", stop_at=len(begun)),
        "closed": sending(begun),
        "told": sending(begun + FAILURES[upstream]),
    }[how]
    world = World({upstream: [reply], "spare": []})
    told = await world.ask(asking(client, stream=True), client)
    assert told.status == 200
    assert text_of(told.body) == "Hel"
    message = error_in(told)["message"]
    assert message == "Full" if how == "told" else message
    assert told.body.count(b'"error"') <= 2, "told once: Anthropic's event has the word twice"
    call = world.outcomes.only
    assert (call.status, call.http_status, call.attempts, call.degraded) == ("cut", 200, 1, ())
    assert call.error is not None
    assert call.cost_nano
    world.assert_settled()


# -- held back -------------------------------------------------------------------------------


@pytest.mark.parametrize(("client", "upstream"), [pair for pair in PAIRS if pair[1] != "gemini"])
@pytest.mark.parametrize("how", ["lost", "told"])
async def test_held_tokens_hide_a_failure_among_them(client: str, upstream: str, how: str) -> None:
    begun = until_token(upstream)
    reply = sending(begun + b"\n", stop_at=len(begun)) if how == "lost" else sending(begun + FAILURES[upstream])
    world = World({upstream: [reply], "spare": [streamed("openai")]}, route=Policy(hold_tokens=2))
    told = await world.ask(asking(client, stream=True), client)
    assert_ends_well(told, client)
    assert text_of(told.body) == "Hello"
    call = world.outcomes.only
    assert (call.status, call.degraded, call.attempts) == ("ok", ("fallback",), 2)
    assert call.estimated, "the tokens that nobody saw may be billed"
    world.assert_settled()


@pytest.mark.parametrize("hold", [1, 2, 100])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_what_was_held_back_comes_in_one_piece(client: str, upstream: str, hold: int) -> None:
    world = World({upstream: [streamed(upstream)]}, route=Policy(hold_tokens=hold))
    told = await world.ask(asking(client, stream=True), client)
    assert_ends_well(told, client)
    assert text_of(told.body) == "Hello"
    assert text_of(told.pieces[0]) == "Hello"
    assert len(told.pieces) == 1 or hold < 100
    assert world.outcomes.only.cost_nano == ANSWER_NANO
    world.assert_settled()


async def test_a_failure_after_the_held_tokens_is_told() -> None:
    begun = b"".join(FRAMES["openai"][:3])
    world = World({"openai": [sending(begun)], "spare": []}, route=Policy(hold_tokens=1))
    told = await world.ask(asking("openai", stream=True))
    assert error_in(told)["code"] == "stream_interrupted"
    assert text_of(told.body) == "Hello"


# -- begun anew ------------------------------------------------------------------------------


def is_restart(event: SseEvent) -> bool:
    return event.event == "tenfold_restart" or b'"tenfold":{"restart"' in event.data


@pytest.mark.parametrize("how", ["lost", "closed", "told"])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_a_route_may_let_a_broken_stream_begin_anew(client: str, upstream: str, how: str) -> None:
    begun = until_token(upstream)
    reply = {
        "lost": sending(begun + b"\n", stop_at=len(begun)),
        "closed": sending(begun),
        "told": sending(begun + FAILURES[upstream]),
    }[how]
    world = World({upstream: [reply], "spare": [streamed("openai")]}, route=RESTART, policy="always")
    told = await world.ask(asking(client, stream=True), client)
    assert_ends_well(told, client)
    [place] = [number for number, event in enumerate(events(told)) if is_restart(event)]
    frame = events(told)[place]
    if client == "anthropic":
        assert json.decode(frame.data) == {"type": "tenfold_restart", "provider": "spare", "model": "m"}
    else:
        chunk = json.decode(frame.data)
        assert chunk["choices"] == []
        assert chunk["tenfold"] == {"restart": {"provider": "spare", "model": "m"}}
    before, _, after = told.body.partition(frame.data)
    assert text_of(before.rpartition(b"\n\n")[0] + b"\n\n") == "Hel"
    assert text_of(after.partition(b"\n\n")[2]) == "Hello", "the whole of it again"
    call = world.outcomes.only
    assert (call.status, call.error, call.attempts) == ("ok", None, 2)
    assert "restart" in call.degraded
    assert call.provider == "spare"
    assert call.estimated
    assert call.cost_nano is not None
    assert call.cost_nano > ANSWER_NANO
    assert len(world.cache) == 0, "two halves are no answer to give again"
    world.assert_settled()


async def test_the_restarted_stream_of_the_same_dialect_is_its_bytes() -> None:
    cut = streamed("openai", stop_at=len(until_token("openai")))
    world = World({"openai": [cut], "spare": [streamed("openai")]}, route=RESTART)
    told = await world.ask(asking("openai", stream=True))
    assert told.pieces[0] == until_token("openai")
    assert b'"tenfold":{"restart"' in told.pieces[1]
    assert b"".join(told.pieces[2:]) == OPENAI


async def test_a_stream_is_begun_anew_as_often_as_there_is_somebody() -> None:
    cut = streamed("openai", stop_at=len(until_token("openai")))
    refuses = FakeReply(status=503, body=b"{}")
    world = World({"openai": [cut], "second": [cut], "third": [refuses], "fourth": [streamed("openai")]}, route=RESTART)
    told = await world.ask(asking("openai", stream=True))
    assert_ends_well(told, "openai")
    assert sum(map(is_restart, events(told))) == 2, "none for the one that only refused"
    call = world.outcomes.only
    assert (call.status, call.attempts, call.provider) == ("ok", 4, "fourth")
    assert call.degraded.count("restart") == 2
    world.assert_settled()


async def test_when_nobody_is_left_to_begin_anew_the_stream_ends_with_the_error() -> None:
    cut = streamed("openai", stop_at=len(until_token("openai")))
    world = World(
        {"openai": [cut], "spare": [FakeReply(status=503, body=b'{"error":{"message":"Away"}}')]}, route=RESTART
    )
    told = await world.ask(asking("openai", stream=True))
    assert error_in(told)["message"] == "Away"
    assert not any(map(is_restart, events(told)))
    call = world.outcomes.only
    assert (call.status, call.http_status, call.attempts) == ("cut", 200, 2)
    assert call.cost_nano
    world.assert_settled()


async def test_a_restart_needs_room_for_another_attempt() -> None:
    cut = streamed("openai", stop_at=len(until_token("openai")))
    world = World({"openai": [cut], "spare": []}, route=RESTART)
    world.admission.budgets.room_for = 1
    told = await world.ask(asking("openai", stream=True))
    assert error_in(told)["code"] == "stream_interrupted"
    assert world.outcomes.only.status == "cut"
    world.assert_settled()


async def test_a_restarted_stream_says_nothing_odd_of_how_fast_a_target_is() -> None:
    cut = streamed("openai", stop_at=len(until_token("openai")))
    world = World({"openai": [cut], "spare": [streamed("openai")]}, route=RESTART)
    await world.ask(asking("openai", stream=True))
    health = world.targets["spare"].health
    assert 0 <= health.latency_s <= health.duration_s
    assert health.duration_s > 0


async def test_a_key_keeps_a_stream_that_began_anew_as_it_was_sent() -> None:
    cut = streamed("openai", stop_at=len(until_token("openai")))
    world = World({"openai": [cut], "spare": [streamed("openai")]}, route=RESTART)
    key = CallOptions(idempotency_key="k")
    first, again = [await world.ask(asking("openai", stream=True), options=key) for _ in range(2)]
    assert again.body == first.body
    assert again.headers["idempotency-replayed"] == "true"
    assert len(world.sent) == 2


# -- stalls ----------------------------------------------------------------------------------

STALLED = {
    "no head": FakeReply(silent=True),
    "nothing": silent_after(b""),
    "its head": silent_after(until_token("openai", less=1)),
    "comments": silent_after(until_token("openai", less=1) + COMMENTS * 20),
    "pings": silent_after(until_token("anthropic", less=1) + PINGS * 20),
}


@pytest.mark.parametrize("how", STALLED)
@pytest.mark.parametrize("client", ["openai", "anthropic"])
async def test_a_stream_without_a_first_token_in_time_is_made_up_for_unseen(client: str, how: str) -> None:
    upstream = "anthropic" if how == "pings" else "openai"
    world = World({upstream: [STALLED[how]], "spare": [streamed("openai")]}, route=Policy(first_token_s=0.02))
    told = await world.ask(asking(client, stream=True), client)
    assert_ends_well(told, client)
    assert text_of(told.body) == "Hello"
    call = world.outcomes.only
    assert (call.status, call.degraded, call.attempts) == ("ok", ("fallback",), 2)
    assert call.estimated, "what stalls may be billed"
    world.assert_settled()


@pytest.mark.parametrize("how", STALLED)
async def test_when_all_stall_it_is_a_timeout(how: str) -> None:
    upstream = "anthropic" if how == "pings" else "openai"
    world = World({upstream: [STALLED[how]]}, route=Policy(first_token_s=0.01))
    told = await world.ask(asking("openai", stream=True))
    assert (told.status, told.json["error"]["code"]) == (504, "upstream_timeout")
    call = world.outcomes.only
    assert (call.status, call.estimated) == ("error", True)
    assert world.targets[upstream].health.view(0).failures == 1
    world.assert_settled()


@pytest.mark.parametrize("more", [b"", COMMENTS * 20])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
async def test_a_stream_that_stalls_later_ends_with_the_typed_error(client: str, upstream: str, more: bytes) -> None:
    more = more and (PINGS * 20 if upstream == "anthropic" else more)
    world = World({upstream: [silent_after(until_token(upstream) + more)]}, route=Policy(between_tokens_s=0.02))
    told = await world.ask(asking(client, stream=True), client)
    assert text_of(told.body) == "Hel"
    assert "longer than" in error_in(told)["message"]
    call = world.outcomes.only
    assert call.status == "cut"
    assert isinstance(call.error, UpstreamTimeout)
    assert call.cost_nano
    world.assert_settled()


async def test_a_stream_that_stalls_later_may_begin_anew() -> None:
    world = World(
        {"openai": [silent_after(until_token("openai"))], "spare": [streamed("openai")]},
        route=Policy(on_break="restart", between_tokens_s=0.02),
    )
    told = await world.ask(asking("openai", stream=True))
    assert_ends_well(told, "openai")
    assert sum(map(is_restart, events(told))) == 1
    world.assert_settled()


async def test_a_restarted_stream_has_to_come_to_its_first_token_too() -> None:
    world = World(
        {
            "openai": [silent_after(until_token("openai"))],
            "second": [STALLED["comments"]],
            "third": [streamed("openai")],
        },
        route=Policy(on_break="restart", first_token_s=0.02, between_tokens_s=0.02),
    )
    told = await world.ask(asking("openai", stream=True))
    assert_ends_well(told, "openai")
    assert world.outcomes.only.attempts == 3
    world.assert_settled()


async def test_held_tokens_are_not_late_for_being_held() -> None:
    """The first token was in time; that it goes out later is the policy's doing."""
    world = World(
        {"openai": [silent_after(until_token("openai"))], "spare": [streamed("openai")]},
        route=Policy(hold_tokens=5, first_token_s=10, between_tokens_s=0.02),
    )
    told = await world.ask(asking("openai", stream=True))
    assert_ends_well(told, "openai")
    assert world.outcomes.only.degraded == ("fallback",)
    world.assert_settled()


class SlowReader(Client):
    """Takes its time for each piece."""

    async def send_bytes(self, data: bytes) -> None:
        await asyncio.sleep(0.015)
        await super().send_bytes(data)


@pytest.mark.parametrize("policy", [Policy(between_tokens_s=0.01), Policy(first_token_s=0.01)])
async def test_a_client_that_reads_slowly_is_not_the_providers_fault(policy: Policy) -> None:
    world = World({"openai": [streamed("openai")], "spare": []}, route=policy)
    told = await world.ask(asking("openai", stream=True), responder=SlowReader())
    assert told.body == OPENAI
    assert world.outcomes.only.status == "ok"
    world.assert_settled()


async def test_a_stream_in_time_is_let_alone() -> None:
    policy = Policy(first_token_s=5, between_tokens_s=5, on_break="restart", hold_tokens=1)
    world = World({"openai": [streamed("openai")], "spare": []}, route=policy)
    told = await world.ask(asking("openai", stream=True))
    assert told.body == OPENAI
    call = world.outcomes.only
    assert (call.status, call.cost_nano, call.degraded) == ("ok", ANSWER_NANO, ())
    world.assert_settled()


async def test_a_client_that_leaves_while_tokens_are_held_has_left() -> None:
    world = World({"openai": [silent_after(until_token("openai"))]}, route=Policy(hold_tokens=5))
    task = asyncio.create_task(world.ask(asking("openai", stream=True)))
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    call = world.outcomes.only
    assert (call.status, call.http_status, call.estimated) == ("cancelled", 499, True)
    world.assert_settled()
