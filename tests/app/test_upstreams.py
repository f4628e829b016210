"""Settings to providers, routes and prices."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tenfold.app.settings import Settings, SettingsError, load
from tenfold.app.upstreams import build_providers, build_routes, refuse_unusable, unpriced
from tenfold.core.usage import Usage
from tenfold.inference.route import UNKNOWN_WINDOW, Route
from tenfold.ledger.prices import PriceBook
from tenfold.providers.http import HttpProvider
from tenfold.providers.openai import OpenAIWire
from tenfold.providers.ports import Provider
from tenfold.providers.transport.fake import FakeTransport

NOW_S = 1_767_225_600.0
ONE_EACH = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
BOOK = PriceBook.load()


def stand_in(name: str) -> Provider:
    return HttpProvider(name, OpenAIWire(), FakeTransport([]), None, "/models")


OFFLINE, LOCAL = stand_in("offline"), stand_in("local")


def settings(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "tenfold.toml"
    file.write_text(text)
    return load(file, tmp_path, {})


def provider_table(name: str, kind: str = "openai", more: str = "") -> str:
    url = "https://api.openai.com/v1" if kind == "openai" else "https://api.example.com"
    return f'[providers.{name}]\nkind = "{kind}"\nbase_url = "{url}"\n{more}\n'


async def routes(tmp_path: Path, text: str) -> dict[str, Route]:
    read = settings(tmp_path, text)
    providers = build_providers(read, {"KEY": "sk-1"}, OFFLINE)
    built_in = {"offline-extractive": OFFLINE, "small": LOCAL}
    try:
        return {route.model: route for route in build_routes(read, providers, built_in, BOOK)}
    finally:
        for seat in (seat for seats in providers.values() for seat in seats):
            if seat.provider is not OFFLINE:
                await seat.provider.aclose()


def price(route: Route, target: int = 0) -> int | None:
    quote = route.targets[target].quote(NOW_S)
    return None if quote is None else quote.cost(ONE_EACH).total_nano


async def test_the_built_in_models_are_always_there_and_free(tmp_path: Path) -> None:
    found = await routes(tmp_path, "")
    assert found.keys() == {"offline-extractive", "small"}
    assert found["offline-extractive"].targets[0].provider is OFFLINE
    assert found["small"].targets[0].provider is LOCAL
    assert [price(route) for route in found.values()] == [0, 0]


async def test_providers_that_bear_their_names_do_not_take_their_place(tmp_path: Path) -> None:
    found = await routes(tmp_path, provider_table("offline") + provider_table("local"))
    assert found["offline-extractive"].targets[0].provider is OFFLINE
    assert found["small"].targets[0].provider is LOCAL


async def test_a_model_of_that_name_does(tmp_path: Path) -> None:
    found = await routes(tmp_path, provider_table("main") + '[models.small]\nprovider = "main"\n')
    assert found["small"].targets[0].provider.name == "main"


async def test_a_model_goes_where_it_is_sent(tmp_path: Path) -> None:
    text = (
        provider_table("main")
        + provider_table("spare", "anthropic", "stream_usage = false")
        + '[[models.best.targets]]\nprovider = "main"\nupstream = "gpt-4o-mini"\n'
        + '[[models.best.targets]]\nprovider = "spare"\n'
    )
    targets = (await routes(tmp_path, text))["best"].targets
    assert [(target.provider.name, target.upstream_model) for target in targets] == [
        ("main", "gpt-4o-mini"),
        ("spare", "best"),
    ]
    assert [target.provider.wire.dialect for target in targets] == ["openai", "anthropic"]
    assert [target.ask_usage for target in targets] == [True, False]


async def test_prices_are_ones_own_the_lists_or_unknown(tmp_path: Path) -> None:
    text = (
        provider_table("main")
        + '[providers.here]\nkind = "offline"\n'
        + '[models.own]\nprovider = "main"\nprice = { input = "1", output = "2" }\n'
        + '[models.listed]\nprovider = "main"\nupstream = "gpt-4o-mini"\n'
        + '[models.unheard-of]\nprovider = "main"\n'
        + '[models.free]\nprovider = "here"\nupstream = "offline-extractive"\n'
    )
    found = await routes(tmp_path, text)
    assert price(found["own"]) == 3_000_000_000
    assert price(found["listed"]) == 750_000_000  # 0.15 and 0.60 USD
    assert price(found["unheard-of"]) is None
    assert price(found["free"]) == 0


async def test_a_default_price_is_for_models_without_one_only(tmp_path: Path) -> None:
    text = (
        '[budgets]\ndefault_price = { input = "10", output = "20" }\n'
        + provider_table("main")
        + '[models.own]\nprovider = "main"\nprice = { input = "1", output = "2" }\n'
        + '[models.gpt-4o-mini]\nprovider = "main"\n'
        + '[models.unheard-of]\nprovider = "main"\n'
    )
    found = await routes(tmp_path, text)
    assert price(found["own"]) == 3_000_000_000
    assert price(found["gpt-4o-mini"]) == 750_000_000
    assert price(found["unheard-of"]) == 30_000_000_000
    assert price(found["small"]) == 0


async def test_the_price_of_a_model_holds_for_targets_without_their_own(tmp_path: Path) -> None:
    text = (
        provider_table("main")
        + '[models.m]\nprice = { input = "1" }\n'
        + '[[models.m.targets]]\nprovider = "main"\n'
        + '[[models.m.targets]]\nprovider = "main"\nprice = { input = "5" }\n'
    )
    found = await routes(tmp_path, text)
    assert [price(found["m"], number) for number in (0, 1)] == [1_000_000_000, 5_000_000_000]


async def test_sizes_are_the_settings_the_datas_or_unknown(tmp_path: Path) -> None:
    text = (
        '[budgets]\nbroken_streams = "received"\n'
        + provider_table("main")
        + '[models.listed]\nprovider = "main"\nupstream = "gpt-4o-mini"\n'
        + '[models.smaller]\nprovider = "main"\nupstream = "gpt-4o-mini"\nmax_input_tokens = 9\n'
        + '[models.unheard-of]\nprovider = "main"\nmax_output_tokens = 70000\n'
    )
    found = {name: route.targets[0] for name, route in (await routes(tmp_path, text)).items()}
    assert (found["listed"].window, found["listed"].most_output) == (128_000, 16_384)
    assert (found["smaller"].window, found["smaller"].most_output) == (9, 16_384)
    assert (found["unheard-of"].window, found["unheard-of"].most_output) == (UNKNOWN_WINDOW, 70_000)
    assert found["listed"].broken_streams == "received"


def test_models_without_a_price_are_named(tmp_path: Path) -> None:
    text = (
        provider_table("main")
        + '[models.free]\nprovider = "main"\nprice = { input = "0" }\n'
        + '[models.gpt-4o-mini]\nprovider = "main"\n'
        + '[models.unheard-of]\nprovider = "main"\n'
    )
    at = datetime.fromtimestamp(NOW_S, UTC)
    assert list(unpriced(settings(tmp_path, text), BOOK, at)) == [("unheard-of", "main")]
    default = '[budgets]\ndefault_price = { input = "1" }\n'
    assert list(unpriced(settings(tmp_path, default + text), BOOK, at)) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (provider_table("main", more='api_key = "env:NOTHING"'), "NOTHING, which is not set"),
        (provider_table("main", more='proxy = "socks5://p"'), "providers.main"),
        (provider_table("main", more='ca_file = "/nonexistent.pem"'), "providers.main"),
        ('[telemetry]\notlp_endpoint = "localhost:4318"\n', "telemetry.otlp_endpoint"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        refuse_unusable(settings(tmp_path, text), {})


def test_what_can_be_used_is_not_refused(tmp_path: Path) -> None:
    text = provider_table("main", more='api_key = "env:KEY"') + '[telemetry]\notlp_endpoint = "http://localhost:4318"\n'
    refuse_unusable(settings(tmp_path, text), {"KEY": "sk-1"})
