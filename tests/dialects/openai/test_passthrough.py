"""Bytes that pass: what is not asked to change does not change, and what changes is what was asked."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.json import Decoder

from tenfold.core.errors import InvalidRequest
from tenfold.providers.openai import OpenAIWire, upstream_facts
from tests.dialects.openai.vectors import chunks, requests, streams

WIRE = OpenAIWire()
_MEMBERS = Decoder(dict[str, Raw])

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["model", "stream_options", "a"]) | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def passed(body: bytes, *, model: str | None = None, ask: bool = False, wire: OpenAIWire = WIRE) -> bytes:
    out = wire.pass_chat(body, model or "unused", rename=model is not None, stream=True, ask_usage=ask)
    assert out.path == "/chat/completions"
    assert out.ignored == ()
    return out.body


def members(body: bytes) -> dict[str, bytes]:
    """The bytes of each top-level value, in order."""
    return {name: bytes(value) for name, value in _MEMBERS.decode(body).items()}


def test_without_a_wish_the_bytes_are_the_clients() -> None:
    for body in requests().values():
        assert passed(body) is body


def test_usage_is_asked_for_in_streams_only_and_where_it_is_known() -> None:
    body = b'{"model":"m"}'
    assert WIRE.pass_chat(body, "m", rename=False, stream=False, ask_usage=True).body is body
    mistral = OpenAIWire(upstream_facts("https://api.mistral.ai/v1"))
    assert passed(body, ask=True, wire=mistral) is body


def test_only_the_name_of_the_model_changes() -> None:
    for name, body in requests().items():
        before, after = members(body), members(passed(body, model="other/é"))
        assert json.loads(after["model"]) == "other/é", name
        assert list(before) == list(after), name
        assert {**before, "model": b""} == {**after, "model": b""}, name


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"m","n":1.50}', b'{"model":"x","n":1.50,"stream_options":{"include_usage":true}}'),
        (b'{"stream_options":null,"model":"m"}', b'{"stream_options":{"include_usage":true},"model":"x"}'),
        (
            b'{"stream_options":{"include_obfuscation":false,"own":1E2},"model":"m"}',
            b'{"stream_options":{"include_obfuscation":false,"own":1E2,"include_usage":true},"model":"x"}',
        ),
        (
            b'{"stream_options":{"include_usage":false},"model":"m"}',
            b'{"stream_options":{"include_usage":true},"model":"x"}',
        ),
        (
            b'{ "messages" : [{"model":"m", "stream_options":1}] ,\n"mod\\u0065l" : "m"}',
            b'{"messages":[{"model":"m", "stream_options":1}],"model":"x","stream_options":{"include_usage":true}}',
        ),
        (
            b'{"messages":"\\"model\\":\\"m\\"","model":"\\u006d"}',
            b'{"messages":"\\"model\\":\\"m\\"","model":"x","stream_options":{"include_usage":true}}',
        ),
    ],
)
def test_name_and_wish_stand_where_they_should(body: bytes, expected: bytes) -> None:
    assert passed(body, model="x", ask=True) == expected


@given(
    value=st.dictionaries(
        st.sampled_from(["messages", "metadata", "model", "n"]) | st.text(max_size=4), JSON, max_size=5
    ),
    options=st.none() | st.dictionaries(st.sampled_from(["include_usage", "own"]), JSON),
    style=st.sampled_from([None, 1]),
)
def test_every_other_value_keeps_its_bytes(
    value: dict[str, Any], options: dict[str, Any] | None, style: int | None
) -> None:
    value = value | {"model": "m"} | ({"stream_options": options} if options is not None else {})
    body = json.dumps(value, indent=style).encode()
    before, after = members(body), members(passed(body, model="x", ask=True))
    assert after.pop("model") == b'"x"'
    before.pop("model")
    before.pop("stream_options", None)
    assert json.loads(after.pop("stream_options")) == (options or {}) | {"include_usage": True}
    assert {name: text for name, text in before.items() if "\\u" not in repr(name)} == {
        name: text for name, text in after.items() if "\\u" not in repr(name)
    }


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"stream_options":5}', b'{"model":"\xff","stream_options":[]}'])
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        passed(body, model="x", ask=True)


# -- the usage frame -------------------------------------------------------------------------

USAGE = b'data: {"id":"i","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
FILTER = b'data: {"choices":[],"id":"","model":"","prompt_filter_results":[{"prompt_index":0}]}\n\n'
TEXT = b'data: {"id":"i","choices":[{"index":0,"delta":{"content":"a"}}],"usage":null}\n\n'
NOTHING = b'data: {"choices":[],"usage":null}\n\n'
FAILING = b'data: {"choices":[],"error":{"message":"x"},"usage":{}}\n\n'
QUOTING = TEXT.replace(b'"a"', b'"\\"choices\\":[],\\"usage\\":{}"')
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("frames", "kept"),
    [
        (USAGE, b""),
        (USAGE + DONE, DONE),
        (FILTER + TEXT + USAGE + DONE, FILTER + TEXT + DONE),
        (TEXT + DONE, TEXT + DONE),
        (b": ping\n\n" + USAGE.replace(b":[]", b": []"), b": ping\n\n"),
        (TEXT + USAGE.replace(b"\n", b"\r\n") + DONE, TEXT + DONE),
        (NOTHING, NOTHING),
        (FAILING, FAILING),
        (QUOTING, QUOTING),
        (USAGE[:40], USAGE[:40]),  # not a whole frame: left alone, as it cannot be read
    ],
)
def test_the_usage_frame_alone_is_left_out(frames: bytes, kept: bytes) -> None:
    assert WIRE.without_usage_frame(frames) == kept


def test_recorded_streams_lose_their_usage_frame_and_nothing_else() -> None:
    for name, stream in streams().items():
        kept = b"".join(WIRE.without_usage_frame(frame + b"\n\n") for frame in stream.split(b"\n\n") if frame)
        expected = [chunk for chunk in chunks(stream) if chunk["choices"] or not chunk.get("usage")]
        assert chunks(kept) == expected, name
        assert chunks(WIRE.without_usage_frame(stream)) == expected, name
        assert kept.rstrip().endswith(b"data: [DONE]"), name


def test_azures_first_frame_stays() -> None:
    stream = streams()["vercel_openai_chat/azure-model-router.1.chunks.txt"]
    first = chunks(WIRE.without_usage_frame(stream))[0]
    assert first["choices"] == []
    assert "prompt_filter_results" in first


def test_the_usual_end_of_a_stream_is_read_as_any_other_is() -> None:
    for name, stream in streams().items():
        told = WIRE.stream_facts(stream, stream)
        frame_by_frame = WIRE.stream_facts(stream, stream.replace(b"\n", b"\r\n"))
        assert (told.complete, told.usage, told.failed) == (
            frame_by_frame.complete,
            frame_by_frame.usage,
            frame_by_frame.failed,
        ), name


@pytest.mark.parametrize(
    ("end", "complete", "failed"),
    [
        ("", True, False),
        (',"error":{"message":"x"}', False, True),
    ],
)
def test_an_error_beside_the_usage_is_not_a_good_end(end: str, complete: bool, failed: bool) -> None:
    tail = (
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
        + b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}%b}\n\ndata: [DONE]\n\n' % end.encode()
    )
    facts = WIRE.stream_facts(tail, tail)
    assert (facts.complete, facts.failed) == (complete, failed)
    assert facts.usage is not None
    broken = tail.replace(b'"finish_reason":"stop"', b'"finish_reason":"error"')
    assert WIRE.stream_facts(broken, broken).failed
