"""Whole replies: every fixture and recording, and what no fixture shows."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.chat import ChatReply, OpaquePart, Part, RefusalPart, TextPart, ThinkingPart, ToolCallPart
from tenfold.core.errors import UpstreamError
from tenfold.core.usage import Usage
from tenfold.providers.gemini.wire import GeminiWire
from tests.dialects.gemini.vectors import body_of, recorded, unary_fixtures

WIRE = GeminiWire()


def decode(value: dict[str, Any]) -> ChatReply:
    return WIRE.decode_chat(json.dumps(value).encode())


def candidate(*parts: dict[str, Any], finish: str | None = "STOP", **more: Any) -> dict[str, Any]:
    said = {"content": {"role": "model", "parts": list(parts)}, **more}
    return {"candidates": [said | ({"finishReason": finish} if finish else {})]}


def texts(parts: list[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, TextPart))


def calls(parts: list[Part]) -> list[ToolCallPart]:
    return [part for part in parts if isinstance(part, ToolCallPart)]


def expected_text(reply: dict[str, Any]) -> str:
    parts = reply["candidates"][0].get("content", {}).get("parts", [])
    return "".join(part.get("text", "") for part in parts if not part.get("thought"))


def test_every_fixture_is_a_reply_or_an_upstream_error() -> None:
    answered = 0
    for name, body in unary_fixtures().items():
        wire_reply = json.loads(body)
        try:
            reply = WIRE.decode_chat(body)
        except UpstreamError as error:
            assert error.message, name
            assert "failure" in name or "candidates" not in wire_reply, name
            continue
        answered += 1
        assert reply.id, name
        assert reply.choices[0].finish_reason is not None, name
        assert reply.usage == WIRE.usage_of_reply(body), name
        if wire_reply.get("candidates"):
            assert texts(reply.choices[0].parts) == expected_text(wire_reply), name
        else:
            assert reply.choices[0].finish_reason == "content_filter", name
    assert answered > 30


def test_every_recorded_reply_keeps_its_text_calls_and_usage() -> None:
    for row in recorded("generate"):
        wire_reply = row["response_json"]
        if row["status"] != 200:
            continue
        try:
            reply = WIRE.decode_chat(body_of(row))
        except UpstreamError as error:
            assert not wire_reply["candidates"][0]["content"].get("parts"), row["id"]
            assert error.status == 502
            continue
        choice = reply.choices[0]
        parts = wire_reply["candidates"][0]["content"].get("parts", [])
        wire_calls = [part["functionCall"] for part in parts if "functionCall" in part]
        assert texts(choice.parts) == expected_text(wire_reply)
        assert [(call.name, json.loads(call.arguments)) for call in calls(choice.parts)] == [
            (call["name"], call["args"]) for call in wire_calls
        ]
        assert (choice.finish_reason == "tool_calls") == bool(wire_calls)
        assert reply.model == wire_reply["modelVersion"]
        assert reply.usage is not None
        assert reply.usage.input_tokens + reply.usage.output_tokens == wire_reply["usageMetadata"]["totalTokenCount"]


def test_an_error_object_in_place_of_a_reply_keeps_its_status() -> None:
    with pytest.raises(UpstreamError) as caught:
        WIRE.decode_chat(unary_fixtures()["gemini_googleai/unary-failure-api-key.json"])
    assert (caught.value.status, caught.value.kind) == (400, "INVALID_ARGUMENT")
    assert caught.value.upstream_code == "API_KEY_INVALID"


@pytest.mark.parametrize(
    ("reason", "parts", "finish"),
    [
        ("STOP", [{"text": "a"}], "stop"),
        ("STOP", [{"text": ""}], "stop"),
        ("STOP", [{"text": "a"}, {"functionCall": {"name": "f"}}], "tool_calls"),
        ("MAX_TOKENS", [], "length"),
        ("MAX_TOKENS", [{"functionCall": {"name": "f"}}], "length"),
        ("SAFETY", [], "content_filter"),
        ("RECITATION", [{"text": "a"}], "content_filter"),
        ("BLOCKLIST", [], "content_filter"),
        ("PROHIBITED_CONTENT", [], "content_filter"),
        ("SPII", [], "content_filter"),
        ("IMAGE_SAFETY", [], "content_filter"),
        ("OTHER", [{"text": "a"}], "content_filter"),
        ("A_REASON_OF_TOMORROW", [{"text": "a"}], "content_filter"),
        (None, [{"text": "a"}], None),
    ],
)
def test_finish_reasons(reason: str | None, parts: list[dict[str, Any]], finish: str | None) -> None:
    assert decode(candidate(*parts, finish=reason)).choices[0].finish_reason == finish


@pytest.mark.parametrize(
    ("reason", "parts"),
    [
        ("MALFORMED_FUNCTION_CALL", []),
        ("MALFORMED_FUNCTION_CALL", [{"text": "half"}]),
        ("UNEXPECTED_TOOL_CALL", []),
        ("OTHER", []),
        ("A_REASON_OF_TOMORROW", []),
        (None, []),
    ],
)
def test_a_candidate_that_failed_is_an_error_worth_a_retry(reason: str | None, parts: list[dict[str, Any]]) -> None:
    with pytest.raises(UpstreamError) as caught:
        decode(candidate(*parts, finish=reason, finishMessage="why"))
    assert (caught.value.status, caught.value.retryable, caught.value.message) == (502, True, "why")


def test_a_blocked_prompt_is_a_content_filter_finish() -> None:
    feedback = {"blockReason": "SAFETY", "blockReasonMessage": "Reasons"}
    choice = decode({"promptFeedback": feedback}).choices[0]
    assert (choice.parts, choice.finish_reason) == ([RefusalPart(text="Reasons")], "content_filter")


@pytest.mark.parametrize(
    "value", [{}, {"candidates": []}, {"promptFeedback": {"safetyRatings": []}}, {"totalTokens": 3}]
)
def test_a_reply_without_candidates_is_malformed(value: dict[str, Any]) -> None:
    with pytest.raises(UpstreamError) as caught:
        decode(value)
    assert caught.value.kind == "malformed_reply"


def test_thoughts_signatures_and_native_parts_are_kept_apart() -> None:
    reply = decode(
        candidate(
            {"text": "hm", "thought": True},
            {"executableCode": {"code": "1", "language": "PYTHON"}, "thoughtSignature": "c2ln"},
            {"text": "one", "thoughtSignature": "c2ln"},
            {"functionCall": {"name": "f", "args": {"a": [1, None, "é"]}, "id": "x"}, "thoughtSignature": "c2ln"},
            groundingMetadata={"webSearchQueries": ["q"]},
            citationMetadata={},
        )
    )
    assert reply.choices[0].parts == [
        ThinkingPart(text="hm"),
        OpaquePart(
            dialect="gemini",
            value={"executableCode": {"code": "1", "language": "PYTHON"}, "thoughtSignature": "c2ln"},
        ),
        TextPart(text="one"),
        OpaquePart(dialect="gemini", value={"text": "", "thoughtSignature": "c2ln"}),
        ToolCallPart(id="x", name="f", arguments='{"a":[1,null,"é"]}', signature="c2ln"),
        OpaquePart(dialect="gemini", value={"groundingMetadata": {"webSearchQueries": ["q"]}}),
    ]


def test_made_call_ids_are_unique_and_the_same_each_time() -> None:
    twice = {"functionCall": {"name": "f", "args": {}}}
    value = candidate(twice, twice)
    ids = [call.id for call in calls(decode(value).choices[0].parts)]
    assert len(set(ids)) == 2
    assert ids == [call.id for call in calls(decode(value).choices[0].parts)]
    other = [call.id for call in calls(decode(value | {"responseId": "another"}).choices[0].parts)]
    assert not set(ids) & set(other)


def test_several_candidates_keep_their_index() -> None:
    value = {
        "candidates": [
            {"content": {"parts": [{"text": str(index)}]}, "finishReason": "STOP", "index": index} for index in range(3)
        ]
    }
    assert [(choice.index, texts(choice.parts)) for choice in decode(value).choices] == [(0, "0"), (1, "1"), (2, "2")]


def test_logprobs_take_the_shape_of_openai() -> None:
    value = candidate(
        {"text": "é!"},
        logprobsResult={
            "chosenCandidates": [
                {"token": "é", "tokenId": 1, "logProbability": -0.5},
                {"token": "!", "tokenId": 2},
            ],
            "topCandidates": [{"candidates": [{"token": "é", "logProbability": -0.5}]}],
        },
    )
    assert decode(value).choices[0].logprobs == {
        "content": [
            {
                "token": "é",
                "logprob": -0.5,
                "bytes": [195, 169],
                "top_logprobs": [{"token": "é", "logprob": -0.5, "bytes": [195, 169]}],
            },
            {"token": "!", "logprob": 0.0, "bytes": [33], "top_logprobs": []},
        ],
        "refusal": None,
    }


def test_usage_counts_thoughts_cache_and_tool_prompts() -> None:
    body = json.dumps(
        {
            "usageMetadata": {
                "promptTokenCount": 100,
                "cachedContentTokenCount": 60,
                "toolUsePromptTokenCount": 7,
                "candidatesTokenCount": 10,
                "thoughtsTokenCount": 5,
            }
        }
    ).encode()
    assert WIRE.usage_of_reply(body) == Usage(
        input_tokens=107, output_tokens=15, cache_read_tokens=60, reasoning_tokens=5
    )


def test_a_tier_and_a_time_are_read() -> None:
    value = candidate({"text": "a"}) | {
        "createTime": "2025-07-28T16:02:47.774462Z",
        "usageMetadata": {"serviceTier": "flex", "promptTokenCount": 1},
    }
    assert (decode(value).created_s, decode(value).service_tier) == (1753718567, "flex")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
reply_like = st.fixed_dictionaries(
    {},
    optional={
        "candidates": json_values
        | st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "content": st.fixed_dictionaries({"parts": st.lists(json_values, max_size=3)}),
                    "finishReason": json_values,
                    "index": json_values,
                    "logprobsResult": json_values,
                },
            ),
            max_size=3,
        ),
        "promptFeedback": json_values,
        "usageMetadata": json_values,
        "responseId": json_values,
        "error": json_values,
    },
)


@given(st.binary(max_size=200) | reply_like.map(msgspec.json.encode))
@settings(deadline=None)
def test_nothing_but_an_upstream_error_comes_of_arbitrary_bytes(body: bytes) -> None:
    try:
        WIRE.decode_chat(body)
    except UpstreamError as error:
        assert error.message
    WIRE.usage_of_reply(body)


def test_deep_nesting_is_malformed_not_a_crash() -> None:
    with pytest.raises(UpstreamError):
        WIRE.decode_chat(b'{"candidates":[{"groundingMetadata":' + b"[" * 100_000)
