"""The lean readers: what they read, and that nothing a server sends can make them raise."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.usage import Usage
from tenfold.core.usage_wire import MAX_COUNT, anthropic_usage, gemini_usage, openai_reply_usage, openai_usage

READERS = [openai_usage, anthropic_usage, gemini_usage]


def test_openai_chat() -> None:
    raw = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": 5, "cache_write_tokens": 10},
        "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 2},
    }
    assert openai_usage(raw) == Usage(
        input_tokens=100,
        output_tokens=50,
        cache_read_tokens=40,
        cache_write_tokens=10,
        input_audio_tokens=5,
        output_audio_tokens=2,
        reasoning_tokens=30,
    )


def test_openai_responses_and_embeddings() -> None:
    responses = {
        "input_tokens": 9,
        "output_tokens": 8,
        "input_tokens_details": {"cached_tokens": 7},
        "output_tokens_details": {"reasoning_tokens": 6},
    }
    assert openai_usage(responses) == Usage(input_tokens=9, output_tokens=8, cache_read_tokens=7, reasoning_tokens=6)
    assert openai_usage({"prompt_tokens": 5, "total_tokens": 5}) == Usage(input_tokens=5)


def test_reasoning_beside_the_completion_is_output_when_the_total_says_so() -> None:
    details = {"completion_tokens_details": {"reasoning_tokens": 30}}
    beside = openai_usage({"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 60, **details})
    inside = openai_usage({"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30, **details})
    assert beside == Usage(input_tokens=10, output_tokens=50, reasoning_tokens=30)
    assert inside == Usage(input_tokens=10, output_tokens=20, reasoning_tokens=20)


def test_what_only_the_total_tells_is_output() -> None:
    """Real figures of Gemini behind OpenAI's dialect, whose thoughts stand in the total alone."""
    usage = {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}
    assert openai_usage(usage) == Usage(input_tokens=35, output_tokens=74, reasoning_tokens=62)
    assert openai_reply_usage(msgspec.json.encode({"usage": usage})) == openai_usage(usage)
    less = openai_usage(usage | {"total_tokens": 40})
    assert less == Usage(input_tokens=35, output_tokens=12)


def test_anthropic_counts_are_added_up_to_totals() -> None:
    raw = {
        "input_tokens": 3,
        "output_tokens": 44,
        "cache_creation_input_tokens": 1956,
        "cache_read_input_tokens": 9511,
        "cache_creation": {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 956},
        "output_tokens_details": {"thinking_tokens": 12},
    }
    assert anthropic_usage(raw) == Usage(
        input_tokens=11_470,
        output_tokens=44,
        cache_read_tokens=9511,
        cache_write_tokens=1956,
        cache_write_1h_tokens=956,
        reasoning_tokens=12,
    )


def test_anthropic_lifetimes_stand_for_a_missing_sum() -> None:
    raw = {"input_tokens": 1, "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3}}
    assert anthropic_usage(raw) == Usage(input_tokens=6, cache_write_tokens=5, cache_write_1h_tokens=3)


def test_a_message_delta_completes_what_message_start_said() -> None:
    start = anthropic_usage({"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 1})
    whole = Usage(input_tokens=100, output_tokens=57, cache_read_tokens=90)
    assert anthropic_usage({"output_tokens": 57}, start) == whole
    assert anthropic_usage({"output_tokens": 57, "input_tokens": None}, start) == whole
    repeated = {"output_tokens": 57, "input_tokens": 10, "cache_read_input_tokens": 90}
    assert anthropic_usage(repeated, start) == whole
    grown = anthropic_usage({"output_tokens": 57, "input_tokens": 30}, start)  # a server-side tool read more
    assert grown == Usage(input_tokens=120, output_tokens=57, cache_read_tokens=90)
    assert anthropic_usage(b"not json", start) == start


def test_gemini_thoughts_are_output_and_tool_prompts_are_input() -> None:
    raw = {
        "promptTokenCount": 249,
        "candidatesTokenCount": 240,
        "thoughtsTokenCount": 301,
        "toolUsePromptTokenCount": 319,
        "cachedContentTokenCount": 30,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 49}, {"modality": "AUDIO", "tokenCount": 200}],
        "toolUsePromptTokensDetails": [{"modality": "AUDIO", "tokenCount": 19}],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 20}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 200}, {"modality": "AUDIO"}],
    }
    assert gemini_usage(raw) == Usage(
        input_tokens=568,
        output_tokens=541,
        cache_read_tokens=30,
        input_audio_tokens=219,
        cache_audio_read_tokens=20,
        output_image_tokens=200,
        reasoning_tokens=301,
    )


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("raw", [None, [], 7, "x", {}, b"", b"{", b"[]", b"null", b"\xff", b'{"a":' + b"[" * 100_000])
def test_what_states_no_usage_is_none(reader: Any, raw: object) -> None:
    assert reader(raw) is None


@pytest.mark.parametrize("wrong", ["12", -1, 1.5, True, [], {}, MAX_COUNT + 1, float("nan")])
def test_a_malformed_total_makes_no_bill_and_a_malformed_part_is_left_out(wrong: object) -> None:
    assert openai_usage({"prompt_tokens": wrong, "completion_tokens": 1}) is None
    assert openai_usage({"prompt_tokens": 1, "completion_tokens": wrong}) is None
    assert anthropic_usage({"input_tokens": wrong, "output_tokens": 1}) is None
    assert gemini_usage({"promptTokenCount": 1, "candidatesTokenCount": wrong}) is None
    part = openai_usage({"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": wrong}})
    assert part == Usage(input_tokens=1)
    assert openai_usage({"prompt_tokens": 1, "prompt_tokens_details": wrong}) == Usage(input_tokens=1)


def test_whole_numbers_written_as_floats_are_counts() -> None:
    assert openai_usage(b'{"prompt_tokens":12.0,"completion_tokens":3}') == Usage(input_tokens=12, output_tokens=3)


_names = st.sampled_from(
    [
        *("prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"),
        *("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation"),
        *("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "promptTokensDetails", "cached_tokens"),
        *("reasoning_tokens", "modality", "tokenCount", "ephemeral_1h_input_tokens", "toolUsePromptTokenCount"),
    ]
)
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.integers(0, 5000) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(_names, _values | st.integers(0, 5000), max_size=8))
def test_no_object_makes_a_reader_raise_and_parts_stay_within_totals(raw: dict[str, Any]) -> None:
    for reader in READERS:
        usage = reader(raw)
        if usage is not None:
            assert all(type(getattr(usage, name)) is int for name in Usage.__struct_fields__)
            assert 0 <= usage.cache_read_tokens <= usage.input_tokens
            assert 0 <= usage.cache_write_1h_tokens <= usage.cache_write_tokens <= usage.input_tokens
            assert 0 <= usage.reasoning_tokens <= usage.output_tokens
            assert 0 <= usage.cache_audio_read_tokens <= usage.cache_read_tokens


@given(st.binary(max_size=60))
def test_no_bytes_make_a_reader_raise(raw: bytes) -> None:
    for reader in READERS:
        reader(raw)
        reader(msgspec.Raw(raw))
