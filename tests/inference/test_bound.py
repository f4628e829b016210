"""The bound of a call holds for every recorded call there is, and for what requests may reach beside their own text."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from tenfold.core.call import Call, Operation
from tenfold.core.errors import InvalidRequest, PriceUnknown
from tenfold.core.sse import SseDecoder
from tenfold.core.usage import Usage
from tenfold.core.usage_wire import anthropic_usage, gemini_usage, openai_usage
from tenfold.inference.bound import Bound, bound_of
from tenfold.inference.route import Quote, Target
from tenfold.ledger.prices import PriceBook
from tenfold.ledger.prices import Quote as ListQuote
from tenfold.providers.http import HttpProvider
from tenfold.providers.openai import OpenAIWire
from tenfold.providers.transport.fake import FakeTransport
from tests.support.pipeline import DIALECTS, asking, principal
from tests.support.shared_data import json_lines, shared_data

BOOK = PriceBook.load()
ONE = ListQuote.from_usd_per_million(input=1, output=1)
PROVIDER = HttpProvider("p", OpenAIWire(), FakeTransport([]), None, "/models")
SELLERS = {"gemini": "google", "openrouter": "openrouter"}
PICTURE = "data:image/png;base64," + "iVBORw0KGgo" * 100
WINDOW = 100_000


class Listed:
    def __init__(self, provider: str, model: str) -> None:
        self._provider, self._model = provider, model

    def quote(self, at: datetime) -> Quote | None:
        return BOOK.quote(self._provider, self._model, at) or ONE


class Price:
    def __init__(self, quote: ListQuote | None = ONE) -> None:
        self._quote = quote

    def quote(self, at: datetime) -> Quote | None:
        return self._quote


def listed(provider: str, model: str) -> Target:
    limits = BOOK.limits(provider, model)
    return Target(
        provider=PROVIDER,
        upstream_model=model,
        prices=Listed(provider, model),
        max_input_tokens=limits.max_input_tokens,
        max_output_tokens=limits.max_output_tokens,
    )


def target(
    quote: ListQuote | None = ONE, *, model: str = "m", window: int | None = WINDOW, output: int = 9000
) -> Target:
    return Target(
        provider=PROVIDER,
        upstream_model=model,
        prices=Price(quote),
        max_input_tokens=window,
        max_output_tokens=output,
    )


def bound(body: bytes, *targets: Target, client: str = "openai", operation: Operation = "chat") -> Bound:
    call = Call(principal=principal(), operation=operation, dialect=client, body=body)
    call.peek = DIALECTS[client].peek(operation, body)
    return bound_of(call, targets or (target(),))


# -- recorded calls --------------------------------------------------------------------------


@cache
def recorded() -> list[Any]:
    rows = json_lines(shared_data("wire_recorded") / "interactions.jsonl.gz")
    return [row for row in rows if row["status"] == 200 and isinstance(row["request"], dict)]


def told(row: Any) -> Usage | None:
    """The usage that was billed."""
    usage = None
    for body in replies(row):
        if row["provider"] == "anthropic":
            stated = (body.get("message") or body).get("usage")
            usage = anthropic_usage(stated, usage) if stated else usage
        elif row["provider"] == "gemini":
            usage = gemini_usage(body["usageMetadata"]) if "usageMetadata" in body else usage
        elif row["provider"] == "cohere":
            tokens = (body.get("usage") or {}).get("tokens")
            usage = Usage(**tokens) if tokens and tokens.keys() <= {"input_tokens", "output_tokens"} else usage
        else:
            stated = body.get("usage") or (body.get("x_groq") or {}).get("usage")
            usage = openai_usage(stated) if stated else usage
    return usage


def replies(row: Any) -> Iterator[Any]:
    if not row["streaming"]:
        if isinstance(row["response_json"], dict):
            yield row["response_json"]
        return
    text = (row["response_text"] or "").encode()
    decoder = SseDecoder(limit=len(text) + 2)
    for event in [*decoder.feed(text), *decoder.flush()]:
        if event.data != b"[DONE]":
            yield json.decode(event.data)


def test_no_recorded_call_used_or_cost_more_than_its_bound() -> None:
    """Both client dialects, tools of all kinds, pictures, documents, web search, streams."""
    checked: Counter[str] = Counter()
    beyond = []
    for row in recorded():
        client = "anthropic" if row["endpoint"] == "messages" else "openai"
        usage = told(row)
        if row["endpoint"] not in ("chat", "messages") or usage is None:
            continue
        body = json.encode({"max_tokens": 4096, **row["request"]} if client == "anthropic" else row["request"])
        where = listed(SELLERS.get(row["provider"], row["provider"]), row["request"]["model"])
        try:
            most = bound(body, where, client=client)
        except InvalidRequest:  # words of a dialect that clients of Tenfold do not speak
            continue
        quote = where.quote(0)
        assert quote is not None
        fits = usage.input_tokens <= most.input_tokens and usage.output_tokens <= most.output_tokens
        if not fits or quote.cost(usage).total_nano > most.nano:
            beyond.append((row["id"], row["request"]["model"], usage, most))
        checked[row["provider"]] += 1
    assert not beyond
    assert checked.total() > 350
    assert checked.keys() == {"anthropic", "openai", "groq", "openrouter", "mistral", "cohere"}


def test_no_recorded_embedding_cost_more_than_its_bound() -> None:
    rows = [row for row in recorded() if (row["provider"], row["endpoint"]) == ("openai", "embeddings")]
    for row in rows:
        usage = told(row)
        assert usage is not None
        most = bound(json.encode(row["request"]), operation="embeddings")
        assert usage.input_tokens <= most.input_tokens
        assert most.output_tokens == 0
    assert rows


def test_no_model_wrote_or_read_more_than_the_data_says_it_can() -> None:
    """946 real usages: what the bound assumes where a request names no max_tokens."""
    checked = 0
    for row in json_lines(shared_data("usage_payloads") / "usages.jsonl.gz"):
        for expected in row["extracted"]:
            usage = expected["usage"]
            hosted = usage.keys() & {"web_searches", "tool_use_input_tokens"} or "server_tool_use" in str(row["body"])
            for name in expected["extractors"]:
                if not row["model"] or "input_price" not in name:
                    continue
                where = listed(name["provider_id"], row["model"])
                rounds = 10 if hosted or where.searches else 1
                assert usage.get("output_tokens", 0) <= where.most_output * rounds, (row["id"], name)
                assert usage.get("input_tokens", 0) <= where.window * rounds, (row["id"], name)
                checked += 1
    assert checked > 2_000


# -- what requests reach ---------------------------------------------------------------------


def user(*parts: Any) -> list[Any]:
    return [{"role": "user", "content": list(parts)}]


def openai_image(url: str) -> Any:
    return {"type": "image_url", "image_url": {"url": url}}


def test_a_plain_call_is_bound_by_its_bytes_and_its_max_tokens() -> None:
    body = asking("openai", max_tokens=50, n=3)
    most = bound(body)
    assert most.input_tokens == len(body) + 1024
    assert most.output_tokens == 150
    assert most.nano == (len(body) + 1024 + 150) * 1000
    assert (most.input_nano, most.output_nano) == ((len(body) + 1024) * 1000, 150_000)


def test_the_larger_of_two_limits_counts() -> None:
    assert bound(asking("openai", max_tokens=50, max_completion_tokens=70)).output_tokens == 70


def test_without_a_limit_the_model_writes_all_it_can() -> None:
    assert bound(asking("openai", n=2)).output_tokens == 18_000
    assert bound(asking("openai"), target(output=16)).output_tokens == 4096, "a default, not a limit"
    unknown = Target(provider=PROVIDER, upstream_model="m", prices=Price())
    assert bound(asking("openai"), unknown).output_tokens == 131_072


def test_a_limit_beyond_all_models_is_none() -> None:
    assert bound(asking("openai", max_tokens=10**15)).output_tokens == 2_097_152
    assert bound(asking("anthropic", max_tokens=0), client="anthropic").output_tokens == 0


def test_no_model_reads_more_than_its_window() -> None:
    body = asking("openai", messages=user({"type": "text", "text": "x" * (2 * WINDOW)}))
    assert bound(body).input_tokens == WINDOW
    assert bound(body, target(window=None)).input_tokens > 2 * WINDOW


def test_the_window_holds_for_each_text_of_an_embedding() -> None:
    body = json.encode({"model": "m", "input": ["x" * WINDOW] * 3})
    assert bound(body, operation="embeddings").input_tokens == len(body)


@pytest.mark.parametrize("client", ["openai", "anthropic"])
def test_the_text_of_a_picture_is_no_text(client: str) -> None:
    data = "iVBORw0KGgo=" * 5000
    part = openai_image(f"data:image/png;base64,{data}")
    if client == "anthropic":
        part = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    body = asking(client, messages=user(part, part), max_tokens=5)
    most = bound(body, client=client).input_tokens
    assert 2 * 16_384 < most < 2 * 16_384 + 2000


def test_a_small_picture_may_be_many_tokens() -> None:
    body = asking("openai", messages=user(openai_image("https://a/b.png?sig=1")))
    assert bound(body).input_tokens > 16_384
    assert bound(body, target(model="gpt-4o-mini")).input_tokens > 48_169


@pytest.mark.parametrize(
    "part",
    [
        openai_image("https://youtu.be/dQw4w9WgXcQ"),
        openai_image("data:application/pdf;base64,JVBERi0="),
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0="}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "video_url", "video_url": {"url": "https://a/b.mp4"}},
    ],
)
def test_what_is_longer_than_it_looks_may_fill_the_window(part: Any) -> None:
    assert bound(asking("openai", messages=user(part))).input_tokens == WINDOW


@pytest.mark.parametrize(
    "block",
    [
        {"type": "document", "source": {"type": "url", "url": "https://a/b.pdf"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}},
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "container_upload", "file_id": "file_1"},
    ],
)
def test_documents_may_fill_the_window(block: Any) -> None:
    inside = {"type": "tool_result", "tool_use_id": "t", "content": [block]}
    for content in (user(block), user(inside)):
        assert bound(asking("anthropic", messages=content), client="anthropic").input_tokens == WINDOW


@pytest.mark.parametrize(
    ("client", "more"),
    [
        ("openai", {"web_search_options": {"search_context_size": "low"}}),
        ("openai", {"tools": [{"type": "openrouter:web_search"}]}),
        ("openai", {"plugins": [{"id": "web"}]}),
        ("openai", {"search_parameters": {"mode": "on"}}),
        ("anthropic", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
        ("anthropic", {"mcp_servers": [{"type": "url", "url": "https://a", "name": "a"}]}),
        ("anthropic", {"container": "container_1"}),
    ],
)
def test_hosted_tools_go_round_ten_times(client: str, more: Any) -> None:
    most = bound(asking(client, **{"max_tokens": 100, **more}), client=client)
    assert (most.input_tokens, most.output_tokens) == (10 * WINDOW, 1000)


@pytest.mark.parametrize("model", ["groq/compound", "gpt-4o-search-preview", "sonar-pro", "openai/gpt-4o:online"])
def test_models_that_search_by_themselves_go_round_too(model: str) -> None:
    assert bound(asking("openai"), target(model=model)).input_tokens == 10 * WINDOW


@pytest.mark.parametrize(
    ("client", "more"),
    [
        ("openai", {"min_p": 0.1, "guided_json": {}}),
        ("openai", {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        ("anthropic", {"tools": [{"name": "f", "input_schema": {}}]}),
        ("anthropic", {"tools": [{"type": "bash_20250124", "name": "bash"}]}),
        ("anthropic", {"output_format": {"type": "json_schema", "schema": {}}}),
    ],
)
def test_what_reaches_nothing_costs_its_bytes(client: str, more: Any) -> None:
    body = asking(client, **more)
    assert bound(body, client=client).input_tokens <= len(body) + 4096


def test_a_prediction_may_be_charged_as_output() -> None:
    body = asking("openai", max_tokens=10, prediction={"type": "content", "content": "x" * 500})
    assert bound(body).output_tokens == 10 + len(body)


def test_the_bound_is_that_of_the_dearest_target() -> None:
    dear = ListQuote.from_usd_per_million(input=7, output=9)
    body = asking("openai", max_tokens=5)
    both = bound(body, target(output=100), target(dear, window=50))
    assert both.nano == max(bound(body).nano, bound(body, target(dear, window=50)).nano)
    assert both.input_tokens == len(body) + 1024


def test_without_a_price_nothing_is_begun_and_the_way_out_is_told() -> None:
    with pytest.raises(PriceUnknown) as caught:
        bound(asking("openai"), target(), target(None))
    assert 'models."m"] price' in caught.value.message
    assert "default_price" in caught.value.message


@given(st.text(max_size=200), st.integers(1, 500), st.integers(1, 8))
def test_it_grows_with_all_that_may_be_asked(text: str, tokens: int, n: int) -> None:
    smaller = bound(asking("openai", messages=user({"type": "text", "text": text}), max_tokens=tokens, n=n))
    larger = bound(asking("openai", messages=user({"type": "text", "text": text + "x"}), max_tokens=tokens + 1, n=n))
    assert smaller.input_tokens >= len(text.encode())
    assert smaller.nano < larger.nano
