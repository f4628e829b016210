"""Which targets have a batch tier of their provider's."""

from typing import Any

import pytest

from tenfold.app.batch_tiers import seats_of
from tenfold.app.settings import Settings
from tenfold.app.upstreams import build_providers, build_routes
from tenfold.core.clock import FakeClock
from tenfold.core.usage import Usage
from tenfold.ledger.prices import PriceBook
from tenfold.providers.anthropic.batches import AnthropicBatches
from tenfold.providers.openai.batches import OpenAIBatches
from tests.app.test_upstreams import OFFLINE

OPENAI = {"kind": "openai", "base_url": "https://api.openai.com/v1"}
ANTHROPIC = {"kind": "anthropic", "base_url": "https://api.anthropic.com"}
OTHER = {"kind": "openai", "base_url": "http://127.0.0.1:1/v1"}
BOOK = PriceBook.load()


async def seated(provider: dict[str, Any], model: str = "gpt-4o-mini", **more: Any) -> dict[str, Any]:
    settings = Settings.model_validate({"providers": {"p": provider}, "models": {model: {"provider": "p"} | more}})
    seats = build_providers(settings, {}, OFFLINE)
    found = seats_of(settings, build_routes(settings, seats, {}, BOOK), BOOK, FakeClock())
    for seat in seats["p"]:
        await seat.provider.aclose()
    return found


async def test_the_vendors_have_one_at_half_the_price() -> None:
    for provider, model, tier in (
        (OPENAI, "gpt-4o-mini", OpenAIBatches),
        (ANTHROPIC, "claude-sonnet-5", AnthropicBatches),
    ):
        (seat,) = (await seated(provider, model)).values()
        assert isinstance(seat.tier, tier)
        at = FakeClock().now()
        usual = BOOK.quote("openai" if tier is OpenAIBatches else "anthropic", model, at)
        quote = seat.target.quote(at.timestamp())
        assert usual is not None
        assert quote is not None
        usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
        assert 2 * quote.cost(usage).total_nano == usual.cost(usage).total_nano


@pytest.mark.parametrize(
    ("provider", "more"),
    [
        (OTHER, {}),
        (OPENAI | {"batch_tier": False}, {}),
        (OPENAI | {"usage_lookup": "/usage/{request_id}"}, {}),
        (OPENAI, {"price": {"input": "1"}}),
        (OPENAI, {"upstream": "a-model-nobody-knows", "max_output_tokens": 10}),
        ({"kind": "gemini", "base_url": "http://127.0.0.1:1", "batch_tier": True}, {}),
    ],
)
async def test_others_have_none(provider: dict[str, Any], more: dict[str, Any]) -> None:
    assert await seated(provider, **more) == {}


async def test_another_server_has_one_where_the_settings_say_so() -> None:
    found = await seated(OTHER | {"batch_tier": True}, micro_batch_ms=5)
    assert list(found) == ["gpt-4o-mini@p"]
