"""Requests for embeddings joined and split: whatever was asked, each gets its own vectors, and the tokens add up."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from tenfold.core.chat import EmbeddingsRequest
from tenfold.core.errors import UpstreamError
from tenfold.core.usage import Usage
from tenfold.ledger.prices import Quote
from tenfold.providers.gemini import GeminiMerge, GeminiWire
from tenfold.providers.merging import Merge, Texts, shares
from tenfold.providers.openai import OpenAIMerge, OpenAIWire
from tenfold.providers.ports import Wire, WireRequest

DIALECTS: dict[str, tuple[Wire, Merge]] = {
    "openai": (OpenAIWire(), OpenAIMerge()),
    "gemini": (GeminiWire(), GeminiMerge()),
}

texts = st.lists(st.text(st.characters(codec="utf-8"), min_size=0, max_size=40), min_size=1, max_size=5)
callers = st.lists(texts, min_size=1, max_size=8)


def vector_of(text: str) -> list[float]:
    return [float(len(text)), float(sum(map(ord, text)) % 977), 0.1]


def answer(dialect: str, request: WireRequest, tokens: int | None) -> bytes:
    """What an upstream says to a joined request, whoever made it up. OpenAI's comes in any order."""
    body = json.decode(request.body)
    if dialect == "gemini":
        asked = [one["content"]["parts"][0]["text"] for one in body["requests"]]
        said: dict[str, Any] = {"embeddings": [{"values": vector_of(text)} for text in asked]}
        return json.encode(said | ({} if tokens is None else {"usageMetadata": {"promptTokenCount": tokens}}))
    items = [
        {"object": "embedding", "index": index, "embedding": vector_of(text)}
        for index, text in enumerate(body["input"])
    ]
    usage = {} if tokens is None else {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    return json.encode({"object": "list", "data": items[::-1], "model": body["model"]} | usage)


def taken(merge: Merge, request: WireRequest) -> Texts:
    texts = merge.take(request)
    assert texts is not None
    return texts


def asking(wire: Wire, inputs: Any, **more: Any) -> WireRequest:
    return wire.encode_embeddings(EmbeddingsRequest(model="m", inputs=inputs, **more), "m")


@pytest.mark.parametrize("dialect", DIALECTS)
@given(asked=callers, tokens=st.none() | st.integers(0, 1 << 20))
def test_each_gets_its_own_and_the_tokens_add_up(dialect: str, asked: list[list[str]], tokens: int | None) -> None:
    wire, merge = DIALECTS[dialect]
    parts = [taken(merge, asking(wire, inputs)) for inputs in asked]
    replies = [wire.decode_embeddings(body) for body in merge.split(answer(dialect, merge.join(parts), tokens), parts)]
    assert [reply.vectors for reply in replies] == [[vector_of(text) for text in inputs] for inputs in asked]
    if tokens is None:
        assert all(reply.usage is None for reply in replies)
    else:
        usages = [reply.usage for reply in replies if reply.usage is not None]
        assert sum((usage.input_tokens for usage in usages), 0) == tokens
        assert len(usages) == len(asked)


@given(asked=callers, total=st.integers(0, 1 << 30))
def test_shares_are_fair_and_exact(asked: list[list[str]], total: int) -> None:
    wire, merge = DIALECTS["openai"]
    parts = [taken(merge, asking(wire, inputs)) for inputs in asked]
    split = shares(total, parts)
    assert sum(split) == total
    assert min(split) >= (total >= len(parts)), "nobody's share is nothing where there is a token for each"
    inputs, weight = sum(len(part.inputs) for part in parts), sum(part.weight for part in parts)
    if total >= inputs:
        for part, share in zip(parts, split, strict=True):
            exact = len(part.inputs) + (total - inputs) * part.weight / weight
            assert abs(share - exact) < 1 + 1e-6 * total


@given(asked=callers, total=st.integers(1, 1 << 20), rate=st.integers(0, 100_000_000))
def test_the_costs_add_up_to_the_rounding_of_each(asked: list[list[str]], total: int, rate: int) -> None:
    """`rate`: 10^-9 USD per million tokens. Each receipt is whole 10^-9 USD, rounded once."""
    wire, merge = DIALECTS["openai"]
    split = shares(total, [taken(merge, asking(wire, inputs)) for inputs in asked])
    quote = Quote.from_usd_per_million(input=f"{rate // 10**9}.{rate % 10**9:09}", output=0)
    whole = quote.cost(Usage(input_tokens=total)).total_nano
    parts = sum(quote.cost(Usage(input_tokens=share)).total_nano for share in split)
    assert abs(parts - whole) <= (len(split) + 1) / 2
    if rate % 1_000_000 == 0:
        assert parts == whole


def test_what_is_alike() -> None:
    wire, merge = DIALECTS["openai"]
    plain = taken(merge, asking(wire, ["a"]))
    assert taken(merge, asking(wire, ["b", "c"], user="u")).alike == plain.alike
    for other in (
        asking(wire, ["a"], dimensions=8),
        asking(wire, ["a"], encoding_format="base64"),
        asking(wire, [[1, 2]]),
        asking(wire, ["a"], extra={"input_type": "query"}),
    ):
        assert taken(merge, other).alike != plain.alike


def test_the_end_user_goes_along_where_all_are_the_same() -> None:
    wire, merge = DIALECTS["openai"]
    anna, ben, nobody = (taken(merge, asking(wire, ["a"], user=user)) for user in ("anna", "ben", None))
    assert json.decode(merge.join([anna, anna]).body)["user"] == "anna"
    assert "user" not in json.decode(merge.join([anna, ben]).body)
    assert "user" not in json.decode(merge.join([anna, nobody]).body)
    assert "user" not in json.decode(merge.join([nobody, anna]).body)


def test_token_ids_are_counted() -> None:
    wire, merge = DIALECTS["openai"]
    assert taken(merge, asking(wire, [[1, 2, 3], [4]])).weight == 4


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_is_no_request_for_embeddings_is_not_taken(dialect: str) -> None:
    _, merge = DIALECTS[dialect]
    path = "/embeddings" if dialect == "openai" else "/v1beta/models/m:batchEmbedContents"
    for request in (
        WireRequest(path="/chat/completions", body=b'{"model":"m","input":["a"],"requests":[]}'),
        WireRequest(path=path, body=b"[]"),
        WireRequest(path=path, body=b"{"),
        WireRequest(path=path, body=b'{"model":"m","input":"a","requests":"a"}'),
        WireRequest(path=path, body=b'{"model":"m","input":[],"requests":[]}'),
        WireRequest(path=path, body=b'{"input":["a"],"requests":[{}]}'),
    ):
        assert merge.take(request) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"data":[]}',
        b'{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}',
        b'{"data":[{"index":0,"embedding":[1]},{"embedding":[1]}]}',
        b'{"data":[{"index":"0","embedding":[1]},{"index":1,"embedding":[1]}]}',
        b'{"embeddings":[{"values":[1]}]}',
        b'{"embeddings":{}}',
    ],
)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_reply_that_is_not_of_these_inputs_is_nobodys(dialect: str, body: bytes) -> None:
    wire, merge = DIALECTS[dialect]
    parts = [taken(merge, asking(wire, [text])) for text in "ab"]
    with pytest.raises(UpstreamError) as raised:
        merge.split(body, parts)
    assert raised.value.kind == "malformed_reply"


def test_vectors_pass_byte_for_byte() -> None:
    wire, merge = DIALECTS["openai"]
    parts = [taken(merge, asking(wire, [text])) for text in "ab"]
    first, second = merge.split(
        b'{"data":[{"embedding":[1.50,-0e0]},{"embedding":"AAAA","odd":1}],"model":"x","id":7}', parts
    )
    assert b"[1.50,-0e0]" in first
    assert json.decode(second) == {"data": [{"embedding": "AAAA", "odd": 1}], "model": "x", "id": 7}
