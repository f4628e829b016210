"""The rest of the wire: headers, errors, embeddings, token counts, and a body passed through."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.chat import EmbeddingsRequest
from tenfold.core.errors import UnsupportedParameter, UpstreamError
from tenfold.providers.gemini.wire import GeminiWire
from tenfold.providers.ports import Wire
from tests.dialects.gemini.vectors import body_of, recorded, unary_fixtures

WIRE: Wire = GeminiWire()


def error_of(status: int, error: dict[str, Any], *headers: tuple[bytes, bytes]) -> UpstreamError:
    return WIRE.decode_error(status, list(headers), json.dumps({"error": error}).encode())


def test_the_key_travels_in_a_header() -> None:
    assert WIRE.request_headers("k") == [(b"x-goog-api-key", b"k")]
    assert WIRE.request_headers(None) == []


def test_a_body_of_this_dialect_is_passed_as_it_is() -> None:
    passed = WIRE.pass_chat(b'{"contents":[]}', "gemini-2.5-flash", rename=True, stream=True, ask_usage=True)
    assert passed.body == b'{"contents":[]}'
    assert passed.path == "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"


def test_no_frame_is_taken_away() -> None:
    frames = b'data: {"usageMetadata":{"promptTokenCount":1}}\r\n\r\n'
    assert WIRE.without_usage_frame(frames) == frames


def test_every_error_fixture_keeps_status_and_message() -> None:
    seen = 0
    for name, body in unary_fixtures().items():
        wire_error = json.loads(body).get("error")
        if wire_error is None:
            continue
        seen += 1
        error = WIRE.decode_error(wire_error["code"], [], body)
        assert (error.status, error.kind) == (wire_error["code"], wire_error["status"]), name
        assert error.message.endswith(wire_error["message"]), name
    assert seen >= 8


def test_a_limit_says_when_to_come_back() -> None:
    details = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": []},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.074824224s"},
    ]
    error = error_of(429, {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED", "details": details})
    assert (error.retry_after_s, error.retryable, error.kind) == (34.074824224, True, "RESOURCE_EXHAUSTED")
    assert error_of(503, {"message": "m"}, (b"retry-after", b"7")).retry_after_s == 7


def test_a_violated_field_and_ids_are_told() -> None:
    details = [
        {
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{"field": "generation_config.top_k", "description": "d"}],
        }
    ]
    error = error_of(400, {"message": "m", "details": details}, (b"x-goog-request-id", b"r"), (b"server", b"s"))
    assert error.param == "generation_config.top_k"
    assert error.headers == (("x-goog-request-id", "r"),)


def test_a_refused_key_is_said_to_be_ours_not_the_clients() -> None:
    error = WIRE.decode_error(400, [], unary_fixtures()["gemini_googleai/unary-failure-api-key.json"])
    assert error.message.startswith("The upstream (Gemini) refused the key configured for it: API key not valid.")


def test_a_key_in_a_message_is_blotted_out() -> None:
    key = "AIzaSyA0000000000000000000000000000000"
    error = error_of(403, {"message": f"Consumer 'api_key:{key}' has been suspended."})
    assert error.message == "Consumer 'api_key:[redacted]' has been suspended."


@pytest.mark.parametrize("body", [b"", b"<html>Bad Gateway</html>", b"[]", b"[1]", b'{"error": "no"}', b"\xff"])
def test_a_body_that_is_no_error_object_still_makes_an_error(body: bytes) -> None:
    error = WIRE.decode_error(502, [], body)
    assert (error.status, error.retryable) == (502, True)
    assert error.message


def test_an_error_in_an_array_is_read() -> None:
    body = b'[{"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}]'
    assert WIRE.decode_error(400, [], body).kind == "INVALID_ARGUMENT"


members = st.sampled_from(["code", "message", "status", "details", "@type"])
error_values = st.recursive(
    st.none() | st.text() | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(members, inner, max_size=3),
    max_leaves=6,
)


@given(st.binary(max_size=100) | error_values.map(lambda value: json.dumps({"error": value}).encode()))
@settings(deadline=None)
def test_no_error_body_breaks_the_reader(body: bytes) -> None:
    assert WIRE.decode_error(500, [(b"retry-after", body[:5])], body).status == 500


def test_recorded_embedding_calls_come_out_as_they_were() -> None:
    for row in recorded("embeddings"):
        requests = row["request"]["requests"]
        options = {name: value for name, value in requests[0].items() if name == "taskType"}
        request = EmbeddingsRequest(
            model="m",
            inputs=[one["content"]["parts"][0]["text"] for one in requests],
            dimensions=requests[0].get("outputDimensionality"),
            extra=options,
        )
        encoded = WIRE.encode_embeddings(request, requests[0]["model"])
        assert encoded.path == row["path"]
        assert json.loads(encoded.body) == row["request"]


def test_recorded_embeddings_are_read() -> None:
    for row in recorded("embeddings"):
        wire_reply = row["response_json"]
        if row["status"] != 200:
            error = WIRE.decode_error(row["status"], [], body_of(row))
            assert (error.status, error.kind) == (404, "NOT_FOUND")
            continue
        reply = WIRE.decode_embeddings(body_of(row))
        assert reply.vectors == [one["values"] for one in wire_reply["embeddings"]]
        told = wire_reply.get("usageMetadata", {}).get("promptTokenCount")
        assert (reply.usage.input_tokens if reply.usage else None) == told


def test_a_batch_of_texts_is_one_call_and_a_single_embedding_is_read() -> None:
    request = EmbeddingsRequest(model="m", inputs=["a", "b"], user="u", extra={"task_type": "CLUSTERING"})
    encoded = WIRE.encode_embeddings(request, "gemini-embedding-001")
    assert [(one["content"]["parts"][0]["text"], one["taskType"]) for one in json.loads(encoded.body)["requests"]] == [
        ("a", "CLUSTERING"),
        ("b", "CLUSTERING"),
    ]
    assert encoded.ignored == ("user",)
    assert WIRE.decode_embeddings(b'{"embedding": {"values": [1, 0.5]}}').vectors == [[1.0, 0.5]]


def test_token_ids_are_refused() -> None:
    with pytest.raises(UnsupportedParameter):
        WIRE.encode_embeddings(EmbeddingsRequest(model="m", inputs=[[1, 2]]), "gemini-embedding-001")


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"embeddings": [{"values": ["a"]}]}', b"\xff"])
def test_malformed_embeddings_are_an_upstream_error(body: bytes) -> None:
    with pytest.raises(UpstreamError) as caught:
        WIRE.decode_embeddings(body)
    assert caught.value.kind == "malformed_reply"


def test_token_counts_are_read() -> None:
    counts = {name: body for name, body in unary_fixtures().items() if "token" in name and b"totalTokens" in body}
    assert [WIRE.decode_count_tokens(body) for _, body in sorted(counts.items())] == [1837, 6]
    with pytest.raises(UpstreamError):
        WIRE.decode_count_tokens(b"{}")
