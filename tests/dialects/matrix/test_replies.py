"""Every upstream to every client: real answers, as the official SDKs hold them after translation."""

import json
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest
from msgspec.structs import replace

from tests.dialects.matrix.asks import ask
from tests.dialects.matrix.calls import calling
from tests.dialects.matrix.gateway import CLIENTS, UPSTREAMS, Gateway, check_told
from tests.dialects.matrix.replies import hello, streams, whole_replies
from tests.dialects.matrix.said import REPLIES, STREAMS, Said, from_anthropic, from_openai, sse_events

pytestmark = [pytest.mark.parametrize("client", CLIENTS), pytest.mark.parametrize("upstream", UPSTREAMS)]

_ERRORS = (openai.APIError, anthropic.APIError)


def held(client: str, reply: Any) -> Said:
    return from_openai(reply) if client == "openai" else from_anthropic(reply)


def streamed(gateway: Gateway) -> Said:
    """The final object of the SDK's own accumulation. Raises the SDK's error."""
    messages: Any = [{"role": "user", "content": "hi"}]
    if gateway.client == "openai":
        options: Any = {"include_usage": True}
        with gateway.openai().chat.completions.stream(
            model="m", messages=messages, stream_options=options
        ) as completion:
            for _ in completion:  # get_final_completion would raise for a reply cut by length or filter
                pass
            return from_openai(completion.current_completion_snapshot)
    with gateway.anthropic().messages.stream(model="m", messages=messages, max_tokens=9) as message:
        return from_anthropic(message.get_final_message())


def assert_same(found: Said, expected: Said, name: str) -> None:
    """Reasons that only one side knows (a paused turn) are not compared."""
    assert found == replace(expected, finish=expected.finish or found.finish), name


def test_whole_replies(client: str, upstream: str) -> None:
    seen = 0
    for name, body in whole_replies(upstream):
        expected = REPLIES[upstream](json.loads(body))
        gateway = Gateway(client, upstream, body)
        try:
            reply = ask(gateway)
        except _ERRORS:
            assert not expected.text, name
            assert not expected.calls, name
            continue
        seen += 1
        check_told(gateway)
        assert_same(held(client, reply), expected, name)
    assert seen > 40


def test_streams(client: str, upstream: str) -> None:
    seen = 0
    for name, body in streams(upstream):
        events = list(sse_events(body))
        if b"partialArgs" in body or b"willContinue" in body:
            continue  # their arguments are held together in the wire's own tests
        gateway = Gateway(client, upstream, body)
        try:
            found = streamed(gateway)
        except _ERRORS:
            assert b'"error"' in body or _unfinished(upstream, events), name
            continue
        seen += 1
        check_told(gateway)
        assert_same(found, STREAMS[upstream](events), name)
    assert seen >= 8


def _unfinished(upstream: str, events: list[Any]) -> bool:
    done: dict[str, Callable[[Any], bool]] = {
        "openai": lambda event: any(choice.get("finish_reason") for choice in event.get("choices", [])),
        "anthropic": lambda event: event["type"] == "message_stop",
        "gemini": lambda event: any("finishReason" in candidate for candidate in event.get("candidates", [])),
    }
    return not any(done[upstream](event) for event in events)


def test_a_stream_cut_between_any_two_frames_raises_in_the_sdk(client: str, upstream: str) -> None:
    """The last frame of each of these is the protocol's own end."""
    frames = calling(upstream, stream=True).split(b"\n\n")[:-1]
    for count in range(len(frames)):
        with pytest.raises(_ERRORS):
            streamed(Gateway(client, upstream, b"".join(frame + b"\n\n" for frame in frames[:count])))
            pytest.fail(f"{count} of {len(frames)} frames passed as complete")
    streamed(Gateway(client, upstream, b"".join(frame + b"\n\n" for frame in frames)))


def test_a_recorded_stream_cut_anywhere_raises_in_the_sdk(client: str, upstream: str) -> None:
    name, body = max(streams(upstream), key=lambda stream: len(stream[1]))
    for part in range(1, 8):
        with pytest.raises(_ERRORS):
            streamed(Gateway(client, upstream, body[: len(body) * part // 8]))
            pytest.fail(f"{part}/8 of {name} passed as complete")


def test_hello(client: str, upstream: str) -> None:
    expected = Said(text="hello", finish="stop", input_tokens=3, output_tokens=1)
    assert held(client, ask(Gateway(client, upstream, hello(upstream)))) == expected
