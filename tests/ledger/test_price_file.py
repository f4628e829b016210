"""The price file that ships, and the tool that makes it."""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tools import refresh_prices

from tenfold.ledger.data import PRICE_FILE, ModelPrices, PriceData, Rates, Tiered, decode, read_price_file
from tests.support.shared_data import shared_data

ROOT = Path(__file__).resolve().parents[2]
UNIT = 10**9


def make(monkeypatch: pytest.MonkeyPatch, out: Path, genai: Path, litellm: Path, *more: str) -> None:
    monkeypatch.setattr(sys, "argv", ["refresh_prices.py", str(genai), str(litellm), "--out", str(out), *more])
    refresh_prices.main()


@pytest.fixture
def sources(tmp_path: Path) -> tuple[Path, Path]:
    """Two small tables; floats as the real ones have them."""
    genai = [
        {
            "id": provider,
            "name": provider.title(),
            "api_pattern": "https://x",
            "models": models,
        }
        for provider, models in (
            ("acme", [genai_model("big-1", {"input_mtok": 1.1, "output_mtok": 30, "requests_kcount": 12})]),
            ("anthropic", [genai_model("claude-x", {"input_mtok": 4, "cache_write_mtok": 5, "output_mtok": 9})]),
        )
    ]
    litellm = [
        litellm_model("acme/big-1", input=1.1e-06, output=2.5e-06, output_cost_per_image_token=3e-05),
        litellm_model("acme/big-1-5", input=2e-06, output=4e-06),
        litellm_model("acme/small", input=1e-07, output=2e-07, input_cost_per_token_above_128k_tokens=2e-07),
        litellm_model("acme/free", input=0, output=0),
        litellm_model("acme/slip", input=0.0032, output=0.0097),
        {"model": "acme/drawn", "litellm_provider": "acme", "output_cost_per_image": 0.04},
    ]
    paths = tmp_path / "data.json.gz", tmp_path / "prices.jsonl.gz"
    paths[0].write_bytes(gzip.compress(json.dumps(genai).encode()))
    paths[1].write_bytes(gzip.compress("\n".join(map(json.dumps, litellm)).encode()))
    (tmp_path / "README.md").write_text("# Data\n\n- Source: somewhere@abc\n- Licence: MIT\n")
    return paths


def batches(input_price: float, output_price: float) -> dict[str, float]:
    return {"input_cost_per_token_batches": input_price, "output_cost_per_token_batches": output_price}


def genai_model(name: str, prices: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "match": {"starts_with": name}, "prices": prices}


def litellm_model(name: str, *, input: float, output: float, **more: float) -> dict[str, Any]:  # noqa: A002
    return {
        "model": name,
        "litellm_provider": name.split("/")[0],
        "input_cost_per_token": input,
        "output_cost_per_token": output,
        **more,
    }


@pytest.fixture
def merged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sources: tuple[Path, Path]) -> PriceData:
    (tmp_path / "supplement.json").write_text('{"mappings": [], "providers": []}')
    monkeypatch.setattr(refresh_prices, "SUPPLEMENT", tmp_path / "supplement.json")
    make(monkeypatch, tmp_path / "out.json.gz", *sources)
    return decode((tmp_path / "out.json.gz").read_bytes())


def models_of(prices: PriceData, provider_id: str) -> dict[str, ModelPrices]:
    return {model.id: model for provider in prices.providers if provider.id == provider_id for model in provider.models}


def test_the_first_source_wins_and_the_second_fills(merged: PriceData) -> None:
    models = models_of(merged, "acme")
    assert models["big-1"].source == "genai-prices"
    assert models["big-1"].prices[0].rates.input == 1_100_000_000  # 1.1, exactly
    assert models["big-1"].prices[0].rates.request == 12_000_000
    assert models["small"].source == "litellm"
    assert models["small"].prices[0].rates == Rates(
        input=Tiered(base=100_000_000, tiers=[(128_000, 200_000_000)]), output=200_000_000
    )


def test_a_later_version_is_not_taken_for_the_one_whose_rule_it_fits(merged: PriceData) -> None:
    models = models_of(merged, "acme")
    assert list(models) == ["big-1-5", "big-1", "small"]  # before the rule that would take it
    assert models["big-1-5"].prices[0].rates.input == 2 * UNIT


def test_a_price_of_nothing_or_a_slip_of_units_is_no_price(merged: PriceData) -> None:
    assert not {"free", "drawn", "slip"} & models_of(merged, "acme").keys()


def test_the_price_of_images_is_not_that_of_text(merged: PriceData) -> None:
    rates = models_of(merged, "acme")["big-1"].prices[0].rates
    assert (rates.output, rates.output_image) == (2_500_000_000, 30 * UNIT)


def test_an_hour_in_anthropics_cache_costs_twice_the_input(merged: PriceData) -> None:
    assert models_of(merged, "anthropic")["claude-x"].prices[0].rates.cache_write_1h == 8 * UNIT


def test_of_the_sizes_of_a_model_the_largest_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sources: tuple[Path, Path]
) -> None:
    (tmp_path / "supplement.json").write_text('{"mappings": [], "providers": []}')
    monkeypatch.setattr(refresh_prices, "SUPPLEMENT", tmp_path / "supplement.json")
    genai = [{"id": "acme", "name": "Acme", "models": [{**genai_model("big-1", {}), "context_window": 900}]}]
    sources[0].write_bytes(gzip.compress(json.dumps(genai).encode()))
    rows: list[dict[str, Any]] = [
        {**litellm_model("acme/big-1", input=1e-06, output=1e-06), "max_input_tokens": 500, "max_output_tokens": 70},
        {
            **litellm_model("acme/big-1-old", input=1e-06, output=1e-06),
            "max_input_tokens": 100,
            "max_output_tokens": 80,
        },
        {**litellm_model("acme/small", input=1e-06, output=1e-06), "max_input_tokens": 0, "max_output_tokens": 1 << 40},
        {**litellm_model("acme/other", input=1e-06, output=1e-06), "max_input_tokens": 7, "mode": "image_generation"},
        {"model": "acme/nobody's", "max_input_tokens": 7},
    ]
    sources[1].write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    make(monkeypatch, tmp_path / "out.json.gz", *sources)
    models = models_of(decode((tmp_path / "out.json.gz").read_bytes()), "acme")
    assert (models["big-1"].max_input_tokens, models["big-1"].max_output_tokens) == (900, 80)
    for name in ("small", "other"):
        assert (models[name].max_input_tokens, models[name].max_output_tokens) == (None, None), "nonsense, or unsized"


def test_a_file_of_another_format_is_made_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sources: tuple[Path, Path]
) -> None:
    out = tmp_path / "out.json.gz"
    other = msgspec.structs.replace(read_price_file(), format=1)
    out.write_bytes(gzip.compress(msgspec.json.encode(other)))
    (tmp_path / "supplement.json").write_text('{"mappings": [], "providers": []}')
    monkeypatch.setattr(refresh_prices, "SUPPLEMENT", tmp_path / "supplement.json")
    make(monkeypatch, out, *sources)
    assert decode(out.read_bytes()).providers


def test_provenance_is_kept(merged: PriceData) -> None:
    assert [(source.name, source.revision) for source in merged.sources] == [
        ("genai-prices", "somewhere@abc"),
        ("litellm", "somewhere@abc"),
        ("supplement", "this repository"),
    ]


def test_the_summary_tells_what_changed(
    merged: PriceData,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    sources: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert merged.sources  # made before
    changed = [litellm_model("acme/small", input=3e-07, output=2e-07), litellm_model("acme/new", input=1e-06, output=0)]
    sources[1].write_bytes(gzip.compress("\n".join(map(json.dumps, changed)).encode()))
    capsys.readouterr()
    make(monkeypatch, tmp_path / "out.json.gz", *sources)
    told = capsys.readouterr().out.splitlines()
    assert told[-7:] == [
        "added: 1", "  acme new",
        "changed: 2", "  acme big-1", "  acme small",
        "removed: 1", "  acme big-1-5",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "model",
    [
        genai_model("m", {"surprise_mtok": 1}),
        {**genai_model("m", {}), "prices": [{"constraint": {"moon": 1}, "prices": {}}]},
    ],
)
def test_what_the_tool_does_not_know_stops_it(model: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match="unknown"):
        list(refresh_prices.genai_dated(model))


def test_a_file_of_another_format_is_refused() -> None:
    other = msgspec.structs.replace(read_price_file(), format=99)
    with pytest.raises(ValueError, match="format 99"):
        decode(gzip.compress(msgspec.json.encode(other)))


def test_the_file_that_ships_is_what_the_tool_makes_of_the_sources(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    genai = shared_data("prices_genai") / "data.json.gz"
    litellm = shared_data("prices_litellm") / "model_prices.jsonl.gz"
    shipped = ROOT / "src" / "tenfold" / "ledger" / PRICE_FILE
    out = tmp_path / PRICE_FILE
    make(monkeypatch, out, genai, litellm, "--date", str(read_price_file().generated))
    assert gzip.decompress(out.read_bytes()) == gzip.decompress(shipped.read_bytes())
    first = out.read_bytes()
    make(monkeypatch, out, genai, litellm)
    assert out.read_bytes() == first  # nothing new: the same bytes, whatever the day


def test_every_price_that_ships_is_sane() -> None:
    prices = read_price_file()
    assert len(prices.sources) == 3
    assert {"openai", "anthropic", "google"} <= {provider.id for provider in prices.providers}
    for provider in prices.providers:
        for model in provider.models:
            for dated in model.prices:
                for field in Rates.__struct_fields__:
                    price = getattr(dated.rates, field)
                    amounts = [price.base, *(p for _, p in price.tiers)] if isinstance(price, Tiered) else [price]
                    starts = [start for start, _ in price.tiers] if isinstance(price, Tiered) else []
                    assert all(amount is None or 0 <= amount <= refresh_prices.DEAREST for amount in amounts), (
                        provider.id,
                        model,
                    )
                    assert starts == sorted(set(starts)) and all(start > 0 for start in starts), (provider.id, model)
                assert (dated.from_time is None) == (dated.to_time is None)


def test_what_a_batch_tier_takes_is_that_of_the_dearest_price(sources: tuple[Path, Path]) -> None:
    rows = [
        litellm_model("acme/tier", input=3e-06, output=6e-06, **batches(1.5e-06, 3.03e-06)),
        litellm_model("acme/no-tier", input=3e-06, output=6e-06, **batches(1.5e-06, 6e-06)),
        litellm_model("acme/big-1-20260101", input=4e-06, output=8e-06, **batches(2e-06, 4e-06)),
    ]
    litellm = [refresh_prices.parse(json.dumps(row).encode()) for row in rows]
    genai = refresh_prices.parse(gzip.decompress(sources[0].read_bytes()))
    found, _ = refresh_prices.merge(genai, litellm, {"mappings": [], "providers": []})
    percents = {model.id: model.batch_percent for provider in found for model in provider.models}
    assert percents == {"tier": 51, "no-tier": None, "big-1": 50, "claude-x": None}


def test_the_tiers_of_the_file_that_ships() -> None:
    prices = read_price_file()
    assert models_of(prices, "openai")["gpt-4o-mini"].batch_percent == 50
    percents = [model.batch_percent for model in models_of(prices, "anthropic").values() if model.batch_percent]
    assert percents
    assert set(percents) == {50}
