"""Tokens and prices of real usage objects: every extractor that can read a body gives the expected figures, and the
lean readers of the hot path agree with the rules."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from tenfold.core.money import from_usd
from tenfold.core.usage_wire import anthropic_usage, gemini_usage, openai_usage
from tenfold.ledger.prices import PriceBook
from tenfold.ledger.usage import Extractor
from tests.support.shared_data import json_lines, shared_data

# The vectors say prices without their date; this one lies in every price's span.
AT = datetime(2026, 8, 15, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def vectors() -> list[Any]:
    return list(json_lines(shared_data("usage_payloads") / "usages.jsonl.gz"))


@pytest.fixture(scope="module")
def extractors(book: PriceBook) -> dict[tuple[str, str], Extractor]:
    return {(extractor.provider_id, extractor.api_flavor): extractor for extractor in book.extractors()}


def test_every_vector_gives_its_tokens(vectors: list[Any], extractors: dict[tuple[str, str], Extractor]) -> None:
    checked = 0
    for row in vectors:
        for expected in row["extracted"]:
            for name in expected["extractors"]:
                got = extractors[name["provider_id"], name["api_flavor"]].read(row["body"])
                assert got is not None, (row["id"], name)
                assert (got.counts, got.model) == (expected["usage"], row["model"]), (row["id"], name)
                checked += 1
    assert checked > 10_000


def test_no_rule_reads_a_body_it_should_not(vectors: list[Any], extractors: dict[tuple[str, str], Extractor]) -> None:
    for row in vectors:
        fitting = {(name["provider_id"], name["api_flavor"]) for e in row["extracted"] for name in e["extractors"]}
        assert {key for key, extractor in extractors.items() if extractor.read(row["body"])} == fitting, row["id"]


def test_every_vector_gives_its_price(
    vectors: list[Any], extractors: dict[tuple[str, str], Extractor], book: PriceBook
) -> None:
    checked = 0
    for row in vectors:
        for expected in row["extracted"]:
            for name in expected["extractors"]:
                if "input_price" not in name:
                    continue
                got = extractors[name["provider_id"], name["api_flavor"]].read(row["body"])
                quote = book.quote(name["provider_id"], row["model"], AT)
                assert got is not None and quote is not None, (row["id"], name)
                cost = quote.cost(got.usage)
                expected_nano = from_usd(name["input_price"]), from_usd(name["output_price"])
                assert (cost.input_nano, cost.output_nano) == expected_nano, (row["id"], name)
                assert cost.total_nano == sum(expected_nano)
                checked += 1
    assert checked > 2_000


def test_no_model_without_a_price_in_the_primary_source_gets_one_from_it(vectors: list[Any], book: PriceBook) -> None:
    for row in vectors:
        for expected in row["extracted"]:
            for name in expected["extractors"]:
                if "input_price" not in name and row["model"]:
                    quote = book.quote(name["provider_id"], row["model"], AT)
                    assert quote is None or quote.source == "litellm", (row["id"], name)


LEAN = {
    ("openai", "chat"): ("usage", openai_usage),
    ("openai", "responses"): ("usage", openai_usage),
    ("openai", "embeddings"): ("usage", openai_usage),
    ("x-ai", "chat"): ("usage", openai_usage),
    ("anthropic", "default"): ("usage", anthropic_usage),
    ("google", "default"): ("usageMetadata", gemini_usage),
}


def test_the_lean_readers_agree_with_the_rules_over_every_vector(
    vectors: list[Any], extractors: dict[tuple[str, str], Extractor]
) -> None:
    checked = set()
    for row in vectors:
        for expected in row["extracted"]:
            for name in expected["extractors"]:
                key = name["provider_id"], name["api_flavor"]
                if key not in LEAN or not _is_native(key, row["body"]):
                    continue
                field, lean = LEAN[key]
                got = extractors[key].read(row["body"])
                assert got is not None
                for raw in (msgspec.json.encode(row["body"][field]), row["body"][field]):
                    assert lean(raw) == got.usage, (row["id"], key)
                checked.add(key)
    assert checked >= LEAN.keys() - {("x-ai", "chat")}


def _is_native(key: tuple[str, str], body: dict[str, Any]) -> bool:
    """Rules read one another's bodies where field names agree; the lean readers are for their own dialect."""
    usage = body.get("usage") or {}
    if key == ("anthropic", "default"):
        return "cache_read_input_tokens" in usage
    if key == ("openai", "responses"):
        return "input_tokens_details" in usage
    if key == ("openai", "embeddings"):
        return "completion_tokens" not in usage
    if key == ("x-ai", "chat"):  # the total says that reasoning stands beside the completion
        details = usage.get("completion_tokens_details") or {}
        parts = usage["prompt_tokens"] + usage["completion_tokens"] + (details.get("reasoning_tokens") or 0)
        return bool(details.get("reasoning_tokens")) and usage.get("total_tokens") == parts
    if key == ("openai", "chat"):
        parts = usage["prompt_tokens"] + usage["completion_tokens"]
        return "cached_tokens" not in usage and usage.get("total_tokens", parts) == parts  # else see test_usage_wire
    return True


RECORDED = {
    "openai/chat": ("openai", "chat"),
    "openai/responses": ("openai", "responses"),
    "openai/embeddings": ("openai", "embeddings"),
    "openrouter/chat": ("openrouter", "chat"),
    "groq/chat": ("groq", "default"),
    "mistral/chat": ("mistral", "default"),
    "anthropic/messages": ("anthropic", "default"),
    "gemini/generate": ("google", "default"),
    "gemini/embeddings": ("google", "default"),
}


def test_the_lean_readers_agree_with_the_rules_over_recorded_replies(
    extractors: dict[tuple[str, str], Extractor],
) -> None:
    checked = dict.fromkeys(RECORDED, 0)
    for row in json_lines(shared_data("wire_recorded") / "interactions.jsonl.gz"):
        name, body = f"{row['provider']}/{row['endpoint']}", row["response_json"]
        if name not in RECORDED or row["streaming"] or row["status"] != 200 or not isinstance(body, dict):
            continue
        key = RECORDED[name]
        field = "usageMetadata" if key[0] == "google" else "usage"
        lean = {"google": gemini_usage, "anthropic": anthropic_usage}.get(key[0], openai_usage)
        got = extractors[key].read(body)
        assert lean(body.get(field)) == (got.usage if got else None), row["id"]
        checked[name] += got is not None
    assert all(checked.values()), checked


def test_the_last_usage_of_a_recorded_anthropic_stream_is_that_of_the_whole_message(
    extractors: dict[tuple[str, str], Extractor],
) -> None:
    streams = 0
    for row in json_lines(shared_data("wire_recorded") / "interactions.jsonl.gz"):
        if row["provider"] != "anthropic" or not row["streaming"]:
            continue
        usage, states = None, []
        for line in row["response_text"].splitlines():
            if not line.startswith("data:"):
                continue
            event = msgspec.json.decode(line[5:])
            if event["type"] == "message_start":
                usage = anthropic_usage(event["message"]["usage"])
            elif event["type"] == "message_delta":
                usage = anthropic_usage(event["usage"], usage)
                states.append(event["usage"])
        whole = extractors["anthropic", "default"].read({"usage": states[-1]})
        assert whole is not None and usage is not None
        assert (usage.input_tokens, usage.output_tokens) == (whole.usage.input_tokens, whole.usage.output_tokens)
        assert usage.cache_read_tokens == whole.usage.cache_read_tokens
        streams += 1
    assert streams
