"""The wire's edges: headers and paths, a renamed model, errors, counts, and what this API does not have."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.chat import EmbeddingsRequest, JsonObject
from tenfold.core.errors import InvalidRequest, UnsupportedParameter, UpstreamError
from tenfold.edge.dialects.anthropic import AnthropicDialect
from tenfold.inference.ports import ClientDialect
from tenfold.providers.anthropic import AnthropicWire
from tenfold.providers.anthropic.models import FACTS, model_facts
from tenfold.providers.anthropic.schemas import supported_schema
from tenfold.providers.ports import Wire
from tests.dialects.anthropic.vectors import recorded, sdk_recorded

WIRE = AnthropicWire()


def renamed(body: bytes, model: str = 'new "model"') -> JsonObject:
    request = WIRE.pass_chat(body, model, rename=True, stream=False, ask_usage=True)
    assert request.path == "/v1/messages"
    value: JsonObject = json.loads(request.body)
    return value


def test_the_protocols_are_kept() -> None:
    wire: Wire = WIRE
    dialect: ClientDialect = AnthropicDialect()
    assert wire.dialect == dialect.name == "anthropic"


def test_headers() -> None:
    assert WIRE.request_headers("k") == [(b"x-api-key", b"k"), (b"anthropic-version", b"2023-06-01")]
    assert WIRE.request_headers(None) == [(b"anthropic-version", b"2023-06-01")]


def test_a_body_passes_as_it_is() -> None:
    body = b'{ "model" : "m", "max_tokens": 1e0 }'
    assert WIRE.pass_chat(body, "other", rename=False, stream=True, ask_usage=True).body is body


def test_renaming_touches_only_the_name() -> None:
    body = b'{"max_tokens":1.0,\n "model" :\t"old","x":"\\u00e9"}'
    sent = WIRE.pass_chat(body, "new", rename=True, stream=False, ask_usage=False).body
    assert sent == body.replace(b'"old"', b'"new"')


@pytest.mark.parametrize(
    "body",
    [
        '{"model":"old","tools":[{"model":"inner"}],"t":"\\"model\\": \\"x\\""}',
        '{"tools":[{"type":"advisor","model":"inner"}],"model":"old"}',
        '{"t":"a\\"model","model":"old"}',
        '{"t":"say \\"model\\":\\"x\\"","\\u006dodel":"old"}',
        '{"tools":[{"model":"inner"}],"mod\\u0065l":"old"}',
        '{"t":["model"],"model":"old"}',
        '{"model":"o\\u006cd"}',
    ],
)
def test_renaming_hits_the_name_at_the_top(body: str) -> None:
    expected = {**json.loads(body), "model": 'new "model"'}
    assert renamed(body.encode()) == expected


_TEXT = st.sampled_from(["model", '"model"', '"model":"x"', "\\", "é", "a"])
_VALUE = st.recursive(
    _TEXT | st.integers(0, 3), lambda v: st.lists(v, max_size=2) | st.dictionaries(_TEXT, v), max_leaves=6
)


@given(st.dictionaries(_TEXT, _VALUE), st.booleans(), st.sampled_from([None, 1]), st.booleans())
def test_renaming_is_right_for_any_body(members: JsonObject, ascii_only: bool, indent: int | None, first: bool) -> None:
    body = {"model": "old", **members, "model": "old"} if first else {**members, "model": "old"}  # noqa: F601
    text = json.dumps(body, ensure_ascii=ascii_only, indent=indent)
    assert renamed(text.encode()) == {**body, "model": 'new "model"'}
    escaped = text.replace("odel", "\\u006fdel")  # the same body to any parser
    assert renamed(escaped.encode()) == {**body, "model": 'new "model"'}


def test_renaming_real_requests() -> None:
    for vector in recorded():
        body = json.dumps(vector.request).encode()
        assert renamed(body) == {**vector.request, "model": 'new "model"'}, vector.name


def test_what_is_no_object_cannot_be_renamed() -> None:
    with pytest.raises(InvalidRequest):
        renamed(b'["model"]')


# -- errors ------------------------------------------------------------------------------------


def test_real_errors_keep_their_words() -> None:
    vectors = [vector for vector in [*recorded(), *sdk_recorded()] if vector.status != 200]
    assert len(vectors) >= 4
    for vector in vectors:
        error = WIRE.decode_error(vector.status, [], msgspec.json.encode(vector.reply))
        assert (error.status, error.kind) == (vector.status, vector.reply["error"]["type"])
        assert error.message == vector.reply["error"]["message"]
        assert dict(error.headers).get("request-id") == vector.reply.get("request_id")
        assert error.retryable == (vector.status == 429)


def test_an_error_carries_what_helps_to_come_back() -> None:
    headers = [
        (b"retry-after", b"7"),
        (b"request-id", b"req_head"),
        (b"x-should-retry", b"true"),
        (b"set-cookie", b"secret"),
    ]
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_body"}'
    error = WIRE.decode_error(529, headers, body)
    assert (error.status, error.kind, error.message) == (529, "overloaded_error", "Overloaded")
    assert (error.retryable, error.retry_after_s) == (True, 7.0)
    assert dict(error.headers) == {"retry-after": "7", "request-id": "req_head", "x-should-retry": "true"}


@pytest.mark.parametrize(
    "headers", [[(b"retry-after", b"Wed, 21 Oct 2026 07:28:00 GMT")], [(b"retry-after", b"-1")], []]
)
def test_a_retry_after_that_is_no_count_of_seconds_is_left_out(headers: list[tuple[bytes, bytes]]) -> None:
    assert WIRE.decode_error(429, headers, b"{}").retry_after_s is None


def test_milliseconds_are_the_finer_word() -> None:
    headers = [(b"retry-after", b"2"), (b"Retry-After-Ms", b"1500")]
    assert WIRE.decode_error(429, headers, b"{}").retry_after_s == 1.5


@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b"[]", b'{"error":"x"}', b"\xff", b"[" * 9999])
def test_an_error_that_cannot_be_read_is_told_by_its_status(body: bytes) -> None:
    error = WIRE.decode_error(503, [], body)
    assert (error.status, error.message) == (503, "The provider answered with status 503.")


def test_details_name_the_code() -> None:
    body = b'{"error":{"type":"invalid_request_error","message":"m","details":{"error_code":"too_many_pages"}}}'
    assert WIRE.decode_error(400, [], body).upstream_code == "too_many_pages"


# -- counts, and what is not there ---------------------------------------------------------------


def test_counts_of_tokens() -> None:
    assert WIRE.decode_count_tokens(b'{"input_tokens": 12}') == 12
    for body in (b"{}", b'{"input_tokens": "12"}', b'{"input_tokens": true}', b'{"input_tokens": -1}', b"x"):
        with pytest.raises(UpstreamError):
            WIRE.decode_count_tokens(body)


def test_there_are_no_embeddings() -> None:
    with pytest.raises(UnsupportedParameter):
        WIRE.encode_embeddings(EmbeddingsRequest(model="m", inputs=["x"]), "m")
    with pytest.raises(UpstreamError):
        WIRE.decode_embeddings(b"{}")


def test_frames_pass_untouched() -> None:
    assert WIRE.without_usage_frame(b"event: x\n\n") == b"event: x\n\n"


# -- facts about models and schemas --------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "key"),
    [
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4-2"),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", "claude-opus-4-1"),
        ("anthropic/claude-3-5-sonnet", "claude-3-5-"),
        ("claude-fable-5", "claude-fable-5"),
        ("claude-fable-5-1", "claude-fable-5-"),
        ("claude-opus-5-5", "claude-opus-5-5"),
    ],
)
def test_the_longest_name_counts(model: str, key: str) -> None:
    assert model_facts(model) is FACTS[key]


def test_an_unknown_model_gets_what_every_current_one_takes() -> None:
    facts = model_facts("my-claude")
    assert facts.structured
    assert facts.sampling
    assert not facts.system_turns


def test_bounds_move_into_the_description() -> None:
    schema = {
        "type": "object",
        "description": "d",
        "properties": {
            "minimum": {"type": "integer", "minimum": 1, "maximum": 9},
            "list": {"type": "array", "items": {"type": "string", "maxLength": 3}, "minItems": 2},
            "one": {"type": "array", "minItems": 1},
            "either": {"oneOf": [{"type": "object", "properties": {}}, {"type": "null"}]},
            "date": {"type": "string", "format": "date"},
            "odd": {"type": "string", "format": "phone"},
        },
        "$defs": {"D": {"type": ["object", "null"], "uniqueItems": True}},
        "additionalProperties": True,
    }
    assert supported_schema(schema) == {
        "type": "object",
        "description": "d",
        "properties": {
            "minimum": {"type": "integer", "description": "{minimum: 1, maximum: 9}"},
            "list": {
                "type": "array",
                "items": {"type": "string", "description": "{maxLength: 3}"},
                "description": "{minItems: 2}",
            },
            "one": {"type": "array", "minItems": 1},
            "either": {
                "anyOf": [{"type": "object", "properties": {}, "additionalProperties": False}, {"type": "null"}]
            },
            "date": {"type": "string", "format": "date"},
            "odd": {"type": "string", "description": "{format: phone}"},
        },
        "$defs": {
            "D": {"type": ["object", "null"], "additionalProperties": False, "description": "{uniqueItems: True}"}
        },
        "additionalProperties": False,
    }


def test_a_schema_that_fits_stays_as_it_is() -> None:
    found = 0
    for vector in [*recorded(), *sdk_recorded()]:
        form = ((vector.request or {}).get("output_config") or {}).get("format")
        if form:
            found += 1
            assert supported_schema(form["schema"]) == form["schema"], vector.name
    assert found > 3
