"""Merges the two public price tables and our supplement into the one price file the package ships.

    python tools/refresh_prices.py GENAI_DATA_JSON_GZ LITELLM_JSONL_GZ [--date YYYY-MM-DD] [--out FILE]

genai-prices wins wherever it names a model. LiteLLM adds models it lacks, and kinds of price its format
cannot say. Of a model's sizes the larger one counts, since bounds stand on it. The same input gives the same bytes.
Prints what was added, changed and removed.
"""

import argparse
import gzip
import hashlib
import json
import re
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import ROUND_HALF_EVEN, Decimal
from math import ceil
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import asdict, replace

from tenfold.core.money import format_usd
from tenfold.ledger.data import (
    FORMAT,
    PRICE_FILE,
    Clause,
    DatedRates,
    ExtractorRule,
    Mapping,
    ModelPrices,
    Price,
    PriceData,
    ProviderPrices,
    Rates,
    Source,
    Tiered,
    decode,
)
from tenfold.ledger.prices import find_model

ROOT = Path(__file__).resolve().parents[1]
SUPPLEMENT = ROOT / "tools" / "price_supplement.json"
SHOWN = 15  # of each kind in the summary
NANO = Decimal(10**9)
LARGEST = 1 << 24  # tokens; the largest real window is 10 million
SIZED_MODES = frozenset({"chat", "responses", "completion", "embedding"})
DEAREST = 1000 * 10**9  # USD per million tokens; the dearest real price is 600, what is above is a slip of units

GENAI_FIELDS = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "input_audio",
    "cache_audio_read_mtok": "cache_audio_read",
    "output_audio_mtok": "output_audio",
    "output_image_mtok": "output_image",
    "output_reasoning_mtok": "reasoning",
}

LITELLM_FIELDS = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "input_cost_per_audio_token": "input_audio",
    "cache_read_input_audio_token_cost": "cache_audio_read",
    "output_cost_per_audio_token": "output_audio",
    "output_cost_per_image_token": "output_image",
    "output_cost_per_reasoning_token": "reasoning",
}
COMPARED = ("input", "output", "cache_read", "cache_write")
LITELLM_STARTS = (32, 100, 128, 200, 256, 272, 512)  # the k of its "_above_{k}k_tokens" fields

# LiteLLM's name of a provider -> genai-prices' name; others keep theirs.
LITELLM_PROVIDERS = {
    "azure_ai": "azure",
    "azure_text": "azure",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "bedrock_mantle": "aws",
    "cohere_chat": "cohere",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "moonshot": "moonshotai",
    "text-completion-openai": "openai",
    "together_ai": "together",
    "voyage": "voyageai",
    "xai": "x-ai",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("genai", type=Path)
    parser.add_argument("litellm", type=Path)
    parser.add_argument("--date", type=date.fromisoformat, default=None, help="day of the refresh; default: today")
    parser.add_argument("--out", type=Path, default=ROOT / "src" / "tenfold" / "ledger" / PRICE_FILE)
    options = parser.parse_args()

    providers, notes = merge(
        genai=parse(gzip.decompress(options.genai.read_bytes())),
        litellm=[parse(line) for line in gzip.decompress(options.litellm.read_bytes()).splitlines()],
        supplement=parse(SUPPLEMENT.read_bytes()),
    )
    sources = [
        source("genai-prices", options.genai),
        source("litellm", options.litellm),
        Source(name="supplement", revision="this repository", sha256=sha256(SUPPLEMENT), licence="Apache-2.0"),
    ]
    old = previous(options.out)
    new = PriceData(
        format=FORMAT,
        generated=options.date or datetime.now().astimezone().date(),
        sources=sources,
        providers=providers,
    )
    if old is not None and old.sources == sources and old.providers == providers and options.date is None:
        new = replace(new, generated=old.generated)  # nothing new: the same bytes
    options.out.write_bytes(gzip.compress(msgspec.json.encode(new), mtime=0))
    for line in [*notes, *summary(old, new)]:
        print(line)


def previous(path: Path) -> PriceData | None:
    """What is there already; None also for a file of another format."""
    try:
        return decode(path.read_bytes()) if path.exists() else None
    except ValueError:
        return None


def parse(text: bytes) -> Any:
    """JSON with exact decimals."""
    return json.loads(text, parse_float=Decimal)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def source(name: str, path: Path) -> Source:
    """Revision and licence stand in the README beside the data."""
    readme = path.parent / "README.md"
    facts = dict(
        line.removeprefix("- ").split(": ", 1)
        for line in (readme.read_text("utf-8").splitlines() if readme.exists() else [])
        if line.startswith("- ") and ": " in line
    )
    return Source(
        name=name,
        revision=facts.get("Source", "unknown"),
        sha256=sha256(path),
        licence=facts.get("Licence", "unknown"),
    )


# -- merging ---------------------------------------------------------------------------------


def merge(genai: Any, litellm: list[Any], supplement: Any) -> tuple[list[ProviderPrices], list[str]]:
    """The providers, by id, and what the merge met on the way."""
    providers = {entry["id"]: with_hour_writes(genai_provider(entry)) for entry in genai}
    for entry in supplement["providers"]:
        providers[entry["id"]] = supplemented(providers.get(entry["id"]), entry)
    for entry in supplement["mappings"]:
        for name in entry["extractors"]:
            provider_id, flavor = name.split("/")
            providers[provider_id] = with_mappings(providers[provider_id], flavor, entry["add"])
    notes = add_litellm(providers, litellm)
    add_limits(providers, genai, litellm)
    add_batch_percents(providers, litellm)
    return [providers[name] for name in sorted(providers)], notes


def supplemented(known: ProviderPrices | None, entry: Any) -> ProviderPrices:
    extra = genai_provider({"models": [], "name": entry["id"], **entry})
    models = [replace(model, source="supplement") for model in extra.models]
    if known is None:
        return replace(extra, models=models)
    return replace(known, models=[*known.models, *models], extractors=[*known.extractors, *extra.extractors])


def with_mappings(provider: ProviderPrices, flavor: str, extra: Any) -> ProviderPrices:
    added = msgspec.convert(extra, list[Mapping])
    if flavor not in {rule.api_flavor for rule in provider.extractors}:
        raise SystemExit(f"supplement: {provider.id} has no extractor {flavor}")
    return replace(
        provider,
        extractors=[
            replace(rule, mappings=[*rule.mappings, *added]) if rule.api_flavor == flavor else rule
            for rule in provider.extractors
        ],
    )


def add_litellm(providers: dict[str, ProviderPrices], rows: list[Any]) -> list[str]:
    """Adds what is missing to `providers`, in place; returns a line for each disagreement and a count of each kind."""
    before = dict(providers)
    added: dict[str, dict[str, ModelPrices]] = {}
    newer: dict[str, dict[str, ModelPrices]] = {}  # these go first: a rule for an older model fits them too
    disagreements: list[str] = []
    agreed = 0
    for row in sorted(rows, key=lambda row: str(row["model"])):
        rates = litellm_rates(row)
        if rates is None:
            continue
        provider_id, name = litellm_name(row)
        known = before.get(provider_id)
        match = find_model(known, before, name) if known else None
        model = ModelPrices(id=name, match=Clause(equals=name), prices=[DatedRates(rates=rates)], source="litellm")
        if match is None:
            added.setdefault(provider_id, {}).setdefault(name.lower(), model)
            continue
        difference = disagreement(match.prices[-1].rates, rates)
        if difference and is_point_release(match.match, name.lower()):
            newer.setdefault(provider_id, {}).setdefault(name.lower(), model)
            continue
        if difference:
            disagreements.append(f"  {provider_id} {name}: {difference}")
        else:
            agreed += 1
        current = providers[provider_id]
        models = [enriched(model, rates) if model.id == match.id else model for model in current.models]
        providers[provider_id] = replace(current, models=models)
    for provider_id in {*added, *newer}:
        known = providers.get(provider_id) or ProviderPrices(id=provider_id, name=provider_id, models=[])
        first, last = newer.get(provider_id, {}), added.get(provider_id, {})
        models = [*(first[name] for name in sorted(first)), *known.models, *(last[name] for name in sorted(last))]
        providers[provider_id] = replace(known, models=models)
    filled = sum(len(fresh) for fresh in [*added.values(), *newer.values()])
    return [
        f"litellm: {filled} models added, {agreed} agree, {len(disagreements)} disagree (genai-prices wins):",
        *disagreements[:SHOWN],
    ]


def add_limits(providers: dict[str, ProviderPrices], genai: Any, rows: list[Any]) -> None:
    """The sizes of the models, in place. Of several names that one rule fits, the largest."""
    found: dict[str, dict[str, dict[str, int]]] = {}

    def note(provider_id: str, model_id: str, field: str, tokens: Any) -> None:
        if isinstance(tokens, int) and 0 < tokens <= LARGEST:
            known = found.setdefault(provider_id, {}).setdefault(model_id, {})
            known[field] = max(known.get(field, 0), tokens)

    for entry in genai:
        for model in entry["models"]:
            note(entry["id"], model["id"], "max_input_tokens", model.get("context_window"))
    for row in rows:
        if "litellm_provider" not in row:
            continue
        provider_id, name = litellm_name(row)
        provider = providers.get(provider_id)
        match = find_model(provider, providers, name) if provider else None
        if match is not None and row.get("mode", "chat") in SIZED_MODES:
            for field in ("max_input_tokens", "max_output_tokens"):
                note(provider_id, match.id, field, row.get(field))
    for provider_id, sizes in found.items():
        provider = providers[provider_id]
        models = [replace(model, **sizes[model.id]) if model.id in sizes else model for model in provider.models]
        providers[provider_id] = replace(provider, models=models)


def add_batch_percents(providers: dict[str, ProviderPrices], rows: list[Any]) -> None:
    """What the batch tier takes, in percent of the usual prices, rounded up; in place. Of several names that one rule
    fits, and of input and output, the dearest. No tier that is no cheaper counts."""
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        ratios = [
            Decimal(row[f"{key}_batches"]) / Decimal(row[key])
            for key in ("input_cost_per_token", "output_cost_per_token")
            if is_number(row.get(f"{key}_batches")) and is_number(row.get(key)) and row[key] > 0
        ]
        if not ratios or "litellm_provider" not in row:
            continue
        provider_id, name = litellm_name(row)
        provider = providers.get(provider_id)
        match = find_model(provider, providers, name) if provider else None
        if match is not None:
            known = found.setdefault(provider_id, {})
            known[match.id] = max(known.get(match.id, 0), ceil(max(ratios) * 100))
    for provider_id, percents in found.items():
        provider = providers[provider_id]
        models = [
            replace(model, batch_percent=percents[model.id]) if 0 < percents.get(model.id, 0) < 100 else model
            for model in provider.models
        ]
        providers[provider_id] = replace(provider, models=models)


def disagreement(ours: Rates, theirs: Rates) -> str:
    """Where both name a base price and the two differ; USD per million tokens."""
    pairs = [(name, base(getattr(ours, name)), base(getattr(theirs, name))) for name in COMPARED]
    return ", ".join(
        f"{name} {format_usd(a)} against {format_usd(b)}"
        for name, a, b in pairs
        if a is not None and b is not None and a != b
    )


def is_point_release(match: Clause, name: str) -> bool:
    """`claude-opus-5-5` is not the `claude-opus-5` whose rule it fits, though `claude-opus-5-20260724` is."""
    if match.any_of is not None:
        return all(is_point_release(clause, name) for clause in match.any_of if clause.matches(name))
    stem = match.starts_with or match.contains
    return stem is not None and re.match(r"[-.]\d{1,2}(?!\d)", name.partition(stem.lower())[2]) is not None


def base(price: Price | None) -> int | None:
    return price.base if isinstance(price, Tiered) else price


def enriched(model: ModelPrices, theirs: Rates) -> ModelPrices:
    """Kinds of price that genai-prices' format cannot say, where the prices around them agree."""
    return replace(model, prices=[replace(dated, rates=enriched_rates(dated.rates, theirs)) for dated in model.prices])


def enriched_rates(ours: Rates, theirs: Rates) -> Rates:
    if ours.reasoning is None and theirs.reasoning not in (None, ours.output) and ours.output == theirs.output:
        ours = replace(ours, reasoning=theirs.reasoning)
    # A model that makes images has one output price there, that of the images; the price of its text is here.
    if ours.output_image is None and theirs.output_image is not None and ours.output == theirs.output_image:
        ours = replace(ours, output=theirs.output, output_image=theirs.output_image)
    return ours


# -- genai-prices ----------------------------------------------------------------------------


def genai_provider(entry: Any) -> ProviderPrices:
    return ProviderPrices(
        id=entry["id"],
        name=entry["name"],
        api_pattern=entry.get("api_pattern"),
        fallback=entry.get("fallback_model_providers") or [],
        extractors=msgspec.convert(entry.get("extractors") or [], list[ExtractorRule]),
        models=[
            ModelPrices(id=model["id"], match=msgspec.convert(model["match"], Clause), prices=list(genai_dated(model)))
            for model in entry["models"]
        ],
    )


def genai_dated(model: Any) -> Iterator[DatedRates]:
    prices = model["prices"]
    for entry in prices if isinstance(prices, list) else [{"prices": prices}]:
        when = entry.get("constraint") or {}
        unknown = set(when) - {"start_date", "start_time", "end_time"}
        if unknown:
            raise SystemExit(f"genai-prices: {model['id']}: unknown constraint {sorted(unknown)}")
        yield DatedRates(
            rates=genai_rates(model["id"], entry["prices"]),
            from_date=date.fromisoformat(when["start_date"]) if "start_date" in when else None,
            from_time=time.fromisoformat(when["start_time"]) if "start_time" in when else None,
            to_time=time.fromisoformat(when["end_time"]) if "end_time" in when else None,
        )


def with_hour_writes(provider: ProviderPrices) -> ProviderPrices:
    """Anthropic writes to the cache for five minutes at 1.25 times the input price and for an hour at twice it
    (its prompt caching guide); genai-prices' format knows only the first."""
    return replace(
        provider,
        models=[
            replace(model, prices=[replace(dated, rates=hour_write(dated.rates)) for dated in model.prices])
            if "claude" in model.id
            else model
            for model in provider.models
        ],
    )


def hour_write(rates: Rates) -> Rates:
    if rates.input is None or rates.cache_write_1h or rates.cache_write != scaled(rates.input, Decimal("1.25")):
        return rates
    return replace(rates, cache_write_1h=scaled(rates.input, Decimal(2)))


def scaled(price: Price, factor: Decimal) -> Price:
    if isinstance(price, Tiered):
        return Tiered(
            base=whole(price.base * factor), tiers=[(start, whole(amount * factor)) for start, amount in price.tiers]
        )
    return whole(price * factor)


def genai_rates(model_id: str, prices: Any) -> Rates:
    unknown = set(prices) - set(GENAI_FIELDS) - {"requests_kcount"}
    if unknown:
        raise SystemExit(f"genai-prices: {model_id}: unknown prices {sorted(unknown)}")
    token_prices = {field: genai_price(prices[key]) for key, field in GENAI_FIELDS.items() if key in prices}
    request = prices.get("requests_kcount")
    return Rates(**token_prices, request=None if request is None else whole(Decimal(request) * NANO / 1000))


def genai_price(value: Any) -> Price:
    if not isinstance(value, dict):
        return whole(Decimal(value) * NANO)
    return Tiered(
        base=whole(Decimal(value["base"]) * NANO),
        tiers=sorted((int(tier["start"]), whole(Decimal(tier["price"]) * NANO)) for tier in value["tiers"]),
    )


def whole(amount: Decimal) -> int:
    """To 10^-9 USD per million tokens; finer digits are the noise of floats in the sources."""
    return int(amount.quantize(Decimal(1), ROUND_HALF_EVEN))


# -- LiteLLM ---------------------------------------------------------------------------------


def litellm_name(row: Any) -> tuple[str, str]:
    """Provider and model in genai-prices' terms: `gemini/gemini-2.5-pro` is google's `gemini-2.5-pro`."""
    stated = str(row["litellm_provider"])
    provider_id = "google" if stated.startswith("vertex_ai") else LITELLM_PROVIDERS.get(stated, stated)
    family = "vertex_ai" if stated.startswith("vertex_ai") else stated
    name = str(row["model"])
    for prefix in (f"{family}/", f"{provider_id}/", "bedrock/"):
        name = name.removeprefix(prefix)
    return provider_id, name


def litellm_rates(row: Any) -> Rates | None:
    """None without a price for tokens (images, seconds, pages), for 0, which here means unknown, and for nonsense."""
    prices = {field: price for key, field in LITELLM_FIELDS.items() if (price := litellm_price(row, key)) is not None}
    if not any(base(prices.get(field)) for field in ("input", "output")):
        return None
    if max(base(price) or 0 for price in prices.values()) > DEAREST:
        return None
    return msgspec.structs.replace(Rates(), **prices)


def litellm_price(row: Any, key: str) -> Price | None:
    steps = [(k * 1000, f"{key}_above_{k}k_tokens") for k in LITELLM_STARTS]
    tiers = [(start, per_million(row[name])) for start, name in steps if is_number(row.get(name))]
    ranges = [entry for entry in row.get("tiered_pricing") or [] if "range" in entry]
    tiers += [(int(entry["range"][0]), per_million(entry[key])) for entry in ranges if is_number(entry.get(key))]
    first = [price for start, price in tiers if start == 0]
    if is_number(row.get(key)):
        first = [per_million(row[key])]
    if not first:
        return None
    above = sorted({start: price for start, price in tiers if start > 0}.items())
    return Tiered(base=first[0], tiers=above) if above else first[0]


def is_number(value: Any) -> bool:
    return isinstance(value, Decimal | int) and not isinstance(value, bool) and value >= 0


def per_million(price: Any) -> int:
    return whole(Decimal(price) * 1_000_000 * NANO)


# -- summary ---------------------------------------------------------------------------------


def summary(old: PriceData | None, new: PriceData) -> Iterator[str]:
    before, after = (flat(old) if old else {}), flat(new)
    added = sorted(after.keys() - before.keys())
    removed = sorted(before.keys() - after.keys())
    changed = sorted(key for key in after.keys() & before.keys() if after[key] != before[key])
    yield f"prices: {len(after)} models of {len(new.providers)} providers, generated {new.generated}"
    for word, keys in (("added", added), ("changed", changed), ("removed", removed)):
        yield f"{word}: {len(keys)}"
        yield from (f"  {provider} {model}" for provider, model in keys[:SHOWN])
        if len(keys) > SHOWN:
            yield f"  and {len(keys) - SHOWN} more"


def flat(data: PriceData) -> dict[tuple[str, str], list[dict[str, Any]]]:
    return {
        (provider.id, model.id): [
            *(asdict(dated) for dated in model.prices),
            {"max_input_tokens": model.max_input_tokens, "max_output_tokens": model.max_output_tokens},
        ]
        for provider in data.providers
        for model in provider.models
    }


if __name__ == "__main__":
    main()
