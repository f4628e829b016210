"""Receipts state what a call cost, by the price list, whatever became of it."""

import json
import uuid

import pytest

from tests.e2e.calls import ask, every_dialect, every_vendor, receipts, whole_and_streamed
from tests.support.tenfold_process import TenfoldProcess
from tests.support.upstream_server import UpstreamServer

PRICES = {  # 10^-9 USD a token: input, output (price lists of November 2026)
    "gpt-4o-mini": (150, 600),
    "claude-haiku-4-5": (1_000, 5_000),
    "gemini-2.5-flash": (300, 2_500),
    "offline-extractive": (0, 0),
}
every_model = pytest.mark.parametrize("model", list(PRICES))


def usd(nano: int) -> float:
    return nano / 1_000_000_000


@every_model
@every_dialect
@whole_and_streamed
async def test_a_receipt_states_the_price(tenfold: TenfoldProcess, dialect: str, model: str, stream: bool) -> None:
    mark = uuid.uuid4().hex
    headers = {"Tenfold-Feature": mark, "Tenfold-Task": "t-1", "Tenfold-User": "u-1"}
    reply = ask(tenfold, model, "Count to 9.", dialect=dialect, headers=headers, stream=stream)
    assert reply.status_code == 200
    [receipt] = await receipts(tenfold, mark)
    price_in, price_out = PRICES[model]
    assert receipt["input_tokens"] > 0
    assert receipt["output_tokens"] > 0
    assert receipt["input_nano"] == receipt["input_tokens"] * price_in
    assert receipt["output_nano"] == receipt["output_tokens"] * price_out
    assert receipt["total_nano"] == receipt["input_nano"] + receipt["output_nano"]
    assert f"req_{receipt['id'].hex}" == reply.headers["x-request-id"]
    if not stream:
        assert float(reply.headers["tenfold-cost-usd"]) == pytest.approx(usd(receipt["total_nano"]), rel=1e-9)
    facts = ("status", "http_status", "stream", "client_dialect", "model_asked", "model_used", "task", "end_user")
    assert [receipt[name] for name in facts] == ["ok", 200, stream, dialect, model, model, "t-1", "u-1"]
    assert receipt["estimated"] is False
    assert 0 <= receipt["first_byte_ms"] <= receipt["latency_ms"]


async def test_cached_and_reasoning_tokens_have_their_price(tenfold: TenfoldProcess) -> None:
    mark = uuid.uuid4().hex
    system = [{"type": "text", "text": f"{mark} stays. " * 600, "cache_control": {"type": "ephemeral"}}]
    for _ in range(2):
        ask(
            tenfold,
            "claude-haiku-4-5",
            "hello",
            dialect="anthropic",
            headers={"Tenfold-Feature": mark},
            system=system,
            max_tokens=3000,
            thinking={"type": "enabled", "budget_tokens": 1024},
        )
    written, read = await receipts(tenfold, mark, 2)
    assert written["cache_write_tokens"] > 1024
    assert read["cache_read_tokens"] > 1024
    for receipt in (written, read):
        cached = receipt["cache_write_tokens"] + receipt["cache_read_tokens"]
        plain = receipt["input_tokens"] - cached
        expected = plain * 1_000 + receipt["cache_write_tokens"] * 1_250 + receipt["cache_read_tokens"] * 100
        assert receipt["input_nano"] == expected
        assert receipt["output_nano"] == receipt["output_tokens"] * 5_000


@pytest.mark.parametrize(
    ("text", "status", "http_status", "code", "costs"),
    [
        ("[[status 429 7]]", "error", 429, "upstream_error", False),
        ("[[status 500]]", "error", 500, "upstream_error", False),
        ("[[reset]]", "error", 502, "upstream_unavailable", True),
        ("[[html]]", "error", 502, "upstream_error", False),
    ],
)
@every_vendor
async def test_failures_are_receipted_and_free_where_nothing_can_have_been_billed(
    tenfold: TenfoldProcess, model: str, text: str, status: str, http_status: int, code: str, costs: bool
) -> None:
    mark = uuid.uuid4().hex
    reply = ask(tenfold, model, text, headers={"Tenfold-Feature": mark})
    assert reply.status_code == http_status
    [receipt] = await receipts(tenfold, mark)
    assert (receipt["status"], receipt["http_status"], receipt["error_code"]) == (status, http_status, code)
    assert bool(receipt["total_nano"]) is costs


@every_dialect
@every_vendor
@pytest.mark.parametrize("fault", ["cut 12", "end 12", "error-event 12"])
async def test_a_stream_cut_upstream_is_told_and_receipted(
    tenfold: TenfoldProcess, dialect: str, model: str, fault: str
) -> None:
    mark = uuid.uuid4().hex
    headers = {"Tenfold-Feature": mark}
    reply = ask(tenfold, model, f"Count to 40. [[{fault}]]", dialect=dialect, headers=headers, stream=True)
    assert reply.status_code == 200
    frames = [frame for frame in reply.text.split("\n\n") if frame]
    last = json.loads(frames[-1].rpartition("data: ")[2])
    assert last["error"]["message"]
    assert "[DONE]" not in reply.text
    assert "message_stop" not in reply.text
    [receipt] = await receipts(tenfold, mark)
    assert receipt["status"] == "cut"
    assert receipt["output_tokens"] > 0
    assert receipt["total_nano"] > 0


@every_dialect
async def test_a_model_without_a_known_price(tenfold: TenfoldProcess, upstream: UpstreamServer, dialect: str) -> None:
    """Unknown is not free: nobody is asked."""
    mark = uuid.uuid4().hex
    with upstream.recording() as seen:
        reply = ask(tenfold, "unpriced", "hello", dialect=dialect, headers={"Tenfold-Feature": mark})
    assert reply.status_code == 402
    assert '[models."unpriced"] price' in reply.json()["error"]["message"]
    assert not seen
    [receipt] = await receipts(tenfold, mark)
    assert (receipt["error_code"], receipt["total_nano"]) == ("price_unknown", None)


async def test_an_own_price_and_an_own_name(tenfold: TenfoldProcess, upstream: UpstreamServer) -> None:
    mark = uuid.uuid4().hex
    with upstream.recording() as seen:
        reply = ask(tenfold, "house-model", "hello", headers={"Tenfold-Feature": mark})
    assert seen[0].json["model"] == "gpt-4o-mini"
    assert reply.headers["tenfold-model"] == "gpt-4o-mini"
    [receipt] = await receipts(tenfold, mark)
    assert (receipt["model_asked"], receipt["model_used"]) == ("house-model", "gpt-4o-mini")
    assert receipt["total_nano"] == receipt["input_tokens"] * 7_000 + receipt["output_tokens"] * 11_000


async def test_the_second_target_answers_when_the_first_cannot(
    tenfold: TenfoldProcess, upstream: UpstreamServer
) -> None:
    mark = uuid.uuid4().hex
    with upstream.recording() as seen:
        reply = ask(tenfold, "two-targets", "hello", headers={"Tenfold-Feature": mark})
    assert reply.status_code == 200
    assert [request.vendor for request in seen] == ["gemini"]
    assert reply.headers["tenfold-provider"] == "gemini"
    [receipt] = await receipts(tenfold, mark)
    assert (receipt["status"], receipt["provider"], receipt["model_used"]) == ("ok", "gemini", "gemini-2.5-flash")
