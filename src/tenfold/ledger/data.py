"""The shape of the price file and how to read it. The file holds facts only: it is written by
tools/refresh_prices.py and never by hand.

Amounts are whole numbers: 10^-9 USD per million tokens (0.15 USD per million is 150_000_000), and for
`request` 10^-9 USD per request. Limits are tokens.
"""

import gzip
import re
from datetime import date, time
from functools import cache
from importlib.resources import files
from typing import Literal

from msgspec import Struct, field
from msgspec.json import Decoder

FORMAT = 2
PRICE_FILE = "prices.json.gz"


class Clause(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One test of a model name. Exactly one field is set. Letter case does not count, except in `regex`."""

    equals: str | None = None
    starts_with: str | None = None
    ends_with: str | None = None
    contains: str | None = None
    regex: str | None = None
    any_of: list["Clause"] | None = field(name="or", default=None)
    all_of: list["Clause"] | None = field(name="and", default=None)

    def matches(self, text: str) -> bool:
        """`text` is in lower case already."""
        if self.equals is not None:
            return text == self.equals.lower()
        if self.any_of is not None:
            return any(clause.matches(text) for clause in self.any_of)
        if self.starts_with is not None:
            return text.startswith(self.starts_with.lower())
        if self.contains is not None:
            return self.contains.lower() in text
        if self.ends_with is not None:
            return text.endswith(self.ends_with.lower())
        if self.all_of is not None:
            return all(clause.matches(text) for clause in self.all_of)
        return self.regex is not None and re.search(self.regex, text) is not None


class Tiered(Struct, frozen=True, kw_only=True):
    """A price that depends on the size of the whole input: above `start` input tokens the tier's price
    holds for every token of the call, not for those above it only."""

    base: int
    tiers: list[tuple[int, int]]  # (start, price), ascending


Price = int | Tiered


class Rates(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a provider charges. A part without a price of its own costs what the whole costs:
    cache_write_1h as cache_write, that and cache_read as input, reasoning as output, and so on."""

    input: Price | None = None
    output: Price | None = None
    cache_read: Price | None = None
    cache_write: Price | None = None
    cache_write_1h: Price | None = None
    input_audio: Price | None = None
    cache_audio_read: Price | None = None
    output_audio: Price | None = None
    output_image: Price | None = None
    reasoning: Price | None = None
    request: int | None = None


class DatedRates(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Rates that hold from a day (UTC) on, or within a daily window [from_time, to_time), or always."""

    rates: Rates
    from_date: date | None = None
    from_time: time | None = None
    to_time: time | None = None


class ModelPrices(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Later entries of `prices` win over earlier ones, as far as their condition holds."""

    id: str
    match: Clause
    prices: list[DatedRates]
    source: str = "genai-prices"
    max_input_tokens: int | None = None  # the context window, where that is the larger one
    max_output_tokens: int | None = None
    batch_percent: int | None = None  # what the provider's own batch tier takes of each price; None: no tier is known


class PathStep(Struct, frozen=True, kw_only=True):
    """Of a list of objects: the first whose `field` matches."""

    type: Literal["array-match"]
    field: str
    match: Clause


class Mapping(Struct, frozen=True, kw_only=True):
    """Add the count at `path` (below the extractor's root) to `dest`."""

    path: str | list[str | PathStep]
    dest: str
    required: bool = False


class ExtractorRule(Struct, frozen=True, kw_only=True):
    api_flavor: str
    root: str | list[str]
    mappings: list[Mapping]
    model_path: str | list[str] = "model"


class ProviderPrices(Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: str
    name: str
    models: list[ModelPrices]
    api_pattern: str | None = None
    fallback: list[str] = field(default_factory=list)  # providers whose models it resells at their price
    extractors: list[ExtractorRule] = field(default_factory=list)


class Source(Struct, frozen=True, kw_only=True):
    name: str
    revision: str
    sha256: str
    licence: str


class PriceData(Struct, frozen=True, kw_only=True):
    format: int
    generated: date
    sources: list[Source]
    providers: list[ProviderPrices]


def decode(compressed: bytes) -> PriceData:
    """Raises ValueError for a file of another format."""
    data = Decoder(PriceData).decode(gzip.decompress(compressed))
    if data.format != FORMAT:
        raise ValueError(f"price file has format {data.format}, this release reads {FORMAT}")
    return data


@cache
def read_price_file() -> PriceData:
    """The price file that ships with the package."""
    return decode(files("tenfold.ledger").joinpath(PRICE_FILE).read_bytes())
