"""Models to targets, and the price a target keeps at hand."""

from datetime import UTC, datetime, timedelta

import pytest

from tenfold.core.errors import ModelNotFound
from tenfold.core.usage import Usage
from tenfold.inference.route import Quote, Route, Router, Target
from tenfold.ledger.prices import Quote as ListQuote
from tenfold.providers.http import HttpProvider
from tenfold.providers.openai import OpenAIWire
from tenfold.providers.transport.fake import FakeTransport

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Prices:
    """One that doubles at each change; `until` is when."""

    def __init__(self, until: datetime | None = None) -> None:
        self.until = until
        self.asked: list[datetime] = []

    def quote(self, at: datetime) -> Quote | None:
        self.asked.append(at)
        quote = ListQuote.from_usd_per_million(input=2 ** len(self.asked), output=0)
        quote.valid_until = self.until
        return quote


def target(prices: Prices) -> Target:
    provider = HttpProvider("openai", OpenAIWire(), FakeTransport([]), None, "/models")
    return Target(provider=provider, upstream_model="m", prices=prices)


def cost(quote: Quote | None) -> int:
    assert quote is not None
    return quote.cost(Usage(input_tokens=1)).total_nano


def test_a_quote_is_asked_for_once_an_hour() -> None:
    prices = Prices()
    one = target(prices)
    start = NOW.timestamp()
    assert {cost(one.quote(start + seconds)) for seconds in range(0, 3600, 100)} == {2_000}
    assert cost(one.quote(start + 3600)) == 4_000
    assert len(prices.asked) == 2


def test_a_quote_does_not_outlive_its_price() -> None:
    prices = Prices(until=NOW + timedelta(minutes=5))
    one = target(prices)
    assert cost(one.quote(NOW.timestamp() + 299)) == 2_000
    prices.until = None
    assert cost(one.quote(NOW.timestamp() + 300)) == 4_000


def test_models_are_listed_by_name_and_found() -> None:
    routes = [Route(model=name, targets=(target(Prices()),)) for name in ("gpt-b", "gpt-a")]
    router = Router(routes)
    assert router.models == ["gpt-a", "gpt-b"]
    assert router.find("gpt-a") is routes[1]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("gpt-4o-minj", "The model `gpt-4o-minj` does not exist here. Did you mean `gpt-4o-mini`?"),
        ("x", "The model `x` does not exist here. GET /v1/models lists what there is."),
        ("y" * 5000, f"The model `{'y' * 100}...` does not exist here. GET /v1/models lists what there is."),
    ],
)
def test_an_unknown_model_is_told_with_the_nearest_name(asked: str, told: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        Router([Route(model="gpt-4o-mini", targets=(target(Prices()),))]).find(asked)
    assert (caught.value.message, caught.value.param) == (told, "model")
