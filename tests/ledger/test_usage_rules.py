"""The general reader: what a rule takes from a body, and when it does not fit."""

from typing import Any

import msgspec
import pytest

from tenfold.core.usage import Usage
from tenfold.ledger.data import ExtractorRule
from tenfold.ledger.prices import PriceBook
from tenfold.ledger.usage import Extractor

RULE: dict[str, Any] = {
    "api_flavor": "default",
    "root": ["meta", "usage"],
    "model_path": ["meta", "model"],
    "mappings": [
        {"path": "in", "dest": "input_tokens", "required": True},
        {"path": "extra", "dest": "input_tokens"},
        {
            "path": ["list", {"type": "array-match", "field": "kind", "match": {"equals": "AUDIO"}}, "count"],
            "dest": "input_audio_tokens",
        },
    ],
}


def read(usage: object, **meta: object) -> dict[str, int] | None:
    extractor = Extractor("any", msgspec.convert(RULE, ExtractorRule))
    extracted = extractor.read({"meta": {"usage": usage, **meta}})
    return None if extracted is None else extracted.counts


def test_counts_of_one_destination_are_added() -> None:
    assert read({"in": 3, "extra": 4}) == {"input_tokens": 7}


def test_zero_is_not_told() -> None:
    assert read({"in": 0, "extra": 0}) == {}


def test_the_first_entry_of_a_list_that_matches_is_taken() -> None:
    entries = [{"kind": "TEXT", "count": 1}, {"kind": "audio", "count": 2}, {"kind": "AUDIO", "count": 5}]
    assert read({"in": 1, "list": entries}) == {"input_tokens": 1, "input_audio_tokens": 2}


@pytest.mark.parametrize(
    "odd", [None, 5, "x", {}, [], [None, 3], [{"kind": "AUDIO"}], [{"kind": "AUDIO", "count": "2"}], [{"kind": 3}]]
)
def test_an_odd_part_is_left_out(odd: object) -> None:
    assert read({"in": 1, "list": odd}) == {"input_tokens": 1}


@pytest.mark.parametrize("usage", [None, [], {}, {"extra": 4}, {"in": "3"}, {"in": -3}, {"in": True}, {"in": 3.5}])
def test_a_body_without_the_required_counts_does_not_fit(usage: object) -> None:
    assert read(usage) is None


def test_the_model_is_told_where_the_body_names_one() -> None:
    extractor = Extractor("any", msgspec.convert(RULE, ExtractorRule))
    named = extractor.read({"meta": {"usage": {"in": 1}, "model": "m"}})
    unnamed = extractor.read({"meta": {"usage": {"in": 1}, "model": 5}})
    assert named is not None and named.model == "m"
    assert unnamed is not None and unnamed.model is None


def test_bodies_that_are_not_objects_do_not_fit() -> None:
    extractor = Extractor("any", msgspec.convert(RULE, ExtractorRule))
    bodies: list[object] = [None, 3, "x", [], {"meta": []}]
    assert [extractor.read(body) for body in bodies] == [None] * 5


def test_counts_become_usage(book: PriceBook) -> None:
    extractor = book.extractor("anthropic", "default")
    assert extractor is not None
    body: dict[str, object] = {
        "model": "claude-sonnet-4-5",
        "usage": {
            "input_tokens": 10,
            "output_tokens": 7,
            "cache_creation_input_tokens": 30,
            "cache_read_input_tokens": 5,
            "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
            "output_tokens_details": {"thinking_tokens": 4},
            "server_tool_use": {"web_search_requests": 2},
        },
    }
    extracted = extractor.read(body)
    assert extracted is not None
    assert extracted.counts == {
        "input_tokens": 45,
        "output_tokens": 7,
        "cache_write_tokens": 30,
        "cache_write_5m_tokens": 20,
        "cache_write_1h_tokens": 10,
        "cache_read_tokens": 5,
        "output_reasoning_tokens": 4,
        "web_searches": 2,
    }
    assert extracted.usage == Usage(
        input_tokens=45,
        output_tokens=7,
        cache_read_tokens=5,
        cache_write_tokens=30,
        cache_write_1h_tokens=10,
        reasoning_tokens=4,
    )


def test_an_unknown_extractor_is_none(book: PriceBook) -> None:
    assert book.extractor("openai", "no-such-flavor") is None
    assert book.extractor("no-such-provider", "chat") is None
