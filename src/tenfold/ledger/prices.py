"""What a call costs: dated list prices, resolved once per target into a Quote, then applied in whole numbers.

No amount is ever a float. Tokens times price is exact (10^-9 USD per million tokens), and is rounded once,
half to even, to 10^-9 USD: once for the input and once for the output, so that the two add up to the total.
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from msgspec import Struct, structs

from tenfold.core.money import from_usd
from tenfold.core.usage import Usage
from tenfold.ledger.data import (
    DatedRates,
    ModelPrices,
    Price,
    PriceData,
    ProviderPrices,
    Rates,
    Tiered,
    read_price_file,
)
from tenfold.ledger.usage import Extractor

MILLION = 1_000_000
MAX_CACHED_QUOTES = 4096
"""Targets come from the configuration, but a model name may come from a client: the cache stays bounded."""

_KIND_PROVIDERS = {"openai": "openai", "anthropic": "anthropic", "gemini": "google"}


class Cost(Struct, frozen=True, kw_only=True, gc=False):
    """10^-9 USD. The total is input, output and the price per request, where there is one."""

    input_nano: int
    output_nano: int
    total_nano: int


class Limits(Struct, frozen=True, kw_only=True, gc=False):
    """The most tokens a model takes and gives, as far as the data knows."""

    max_input_tokens: int | None = None
    max_output_tokens: int | None = None


class _Tier(Struct, frozen=True, kw_only=True, gc=False):
    """The rates above `start` input tokens with every missing one filled in from what it is a part of."""

    start: int
    input: int
    cache_read: int
    cache_write: int
    cache_write_1h_extra: int  # on top of cache_write
    input_audio: int
    cache_audio_extra: int  # on top of cache_read
    audio_is_priced: bool
    output: int
    output_audio: int
    output_image: int
    reasoning: int
    output_is_flat: bool
    dearest_input: int
    dearest_output: int


class Quote:
    """The prices of one target. Immutable; holds until `valid_until` (exclusive, None: for good), when a dated
    price or a daily window may change them and the book must be asked again."""

    __slots__ = ("_base", "_request_nano", "_tiers", "model_id", "source", "valid_from", "valid_until")

    def __init__(
        self,
        rates: Rates,
        *,
        model_id: str,
        source: str,
        valid_from: datetime | None = None,
        valid_until: datetime | None = None,
    ) -> None:
        starts = sorted({start for price in _token_prices(rates) for start in _starts(price)})
        self._base = _tier(rates, 0)
        self._tiers = tuple(_tier(rates, start) for start in reversed(starts))  # the highest first
        self._request_nano = rates.request or 0
        self.model_id = model_id
        self.source = source
        self.valid_from = valid_from
        self.valid_until = valid_until

    @classmethod
    def from_usd_per_million(
        cls,
        *,
        input: Decimal | str | int,  # noqa: A002  (the word every price list uses)
        output: Decimal | str | int,
        cache_read: Decimal | str | int | None = None,
        cache_write: Decimal | str | int | None = None,
    ) -> "Quote":
        """Prices set by the user, in USD per million tokens. Raises ValueError for what is no amount >= 0."""
        rates = Rates(
            input=_usd(input),
            output=_usd(output),
            cache_read=None if cache_read is None else _usd(cache_read),
            cache_write=None if cache_write is None else _usd(cache_write),
        )
        return cls(rates, model_id="", source="configuration")

    def cost(self, usage: Usage) -> Cost:
        """Exact, rounded half to even. A part beyond its total is billed as stated."""
        tier = self._base
        if self._tiers:
            tier = self._tier_of(usage.input_tokens)
        if usage.cache_read_tokens or usage.cache_write_tokens or usage.input_audio_tokens:
            units = _input_units(tier, usage)
        else:
            units = usage.input_tokens * tier.input
        whole, rest = divmod(units, MILLION)
        input_nano = whole + (rest > 500_000 or (rest == 500_000 and whole & 1))
        units = usage.output_tokens * tier.output if tier.output_is_flat else _output_units(tier, usage)
        whole, rest = divmod(units, MILLION)
        output_nano = whole + (rest > 500_000 or (rest == 500_000 and whole & 1))
        return Cost(
            input_nano=input_nano, output_nano=output_nano, total_nano=input_nano + output_nano + self._request_nano
        )

    def bound(self, input_tokens: int, output_tokens: int) -> Cost:
        """What no call of at most so many tokens can exceed, however its input is cached and whatever its output is."""
        tier = self._base
        dearest_input, dearest_output = tier.dearest_input, tier.dearest_output
        for tier in self._tiers:
            if tier.start < input_tokens:
                dearest_input = max(dearest_input, tier.dearest_input)
                dearest_output = max(dearest_output, tier.dearest_output)
        input_nano = -(-input_tokens * dearest_input // MILLION)
        output_nano = -(-output_tokens * dearest_output // MILLION)
        return Cost(
            input_nano=input_nano, output_nano=output_nano, total_nano=input_nano + output_nano + self._request_nano
        )

    def rest_unknown(self, begun: Usage, output_tokens: int) -> Cost:
        """What a call whose input is told, and whose output is not, cannot exceed."""
        told = self.cost(begun)
        output_nano = -(-output_tokens * self._tier_of(begun.input_tokens).dearest_output // MILLION)
        return Cost(
            input_nano=told.input_nano,
            output_nano=output_nano,
            total_nano=told.total_nano - told.output_nano + output_nano,
        )

    def _tier_of(self, input_tokens: int) -> _Tier:
        for tier in self._tiers:
            if input_tokens > tier.start:
                return tier
        return self._base


class PriceBook:
    """Quotes by provider and model. Holds no clock: the caller says for when."""

    def __init__(self, data: PriceData) -> None:
        self.generated = data.generated
        self.sources = data.sources
        self._providers = {provider.id: provider for provider in data.providers}
        self._patterns = [
            (re.compile(provider.api_pattern), provider.id) for provider in data.providers if provider.api_pattern
        ]
        self._quotes: dict[tuple[str, str], Quote | None] = {}

    @classmethod
    def load(cls) -> "PriceBook":
        """The book that ships with the package. Reads a file of about 100 KB: at start, not on a request."""
        return cls(read_price_file())

    def quote(self, provider_id: str, model: str, at: datetime) -> Quote | None:
        """None: this model has no known price there. `at` must know its time zone. Cached."""
        key = (provider_id, model)
        try:
            quote = self._quotes[key]
        except KeyError:
            pass
        else:
            if quote is None or (
                (quote.valid_until is None or at < quote.valid_until)
                and (quote.valid_from is None or at >= quote.valid_from)
            ):
                return quote
        quote = self._resolve(provider_id, model, at)
        if len(self._quotes) >= MAX_CACHED_QUOTES:
            del self._quotes[next(iter(self._quotes))]
        self._quotes[key] = quote
        return quote

    def batch_quote(self, provider_id: str, model: str, at: datetime) -> Quote | None:
        """The price at the provider's own batch tier; None: no such price is known. Not cached: a batch asks once."""
        prices = self._find(provider_id, model)
        if prices is None or prices.batch_percent is None:
            return None
        return quote_at(prices, at, percent=prices.batch_percent)

    def limits(self, provider_id: str, model: str) -> Limits:
        """What the data knows of the model's size. Not cached: asked once for each target."""
        prices = self._find(provider_id, model)
        if prices is None:
            return Limits()
        return Limits(max_input_tokens=prices.max_input_tokens, max_output_tokens=prices.max_output_tokens)

    def provider_for(self, base_url: str, kind: str) -> str:
        """Whose prices hold at this address; for an unknown address those of the maker of the `kind`."""
        for pattern, provider_id in self._patterns:
            if pattern.match(base_url):
                return provider_id
        return _KIND_PROVIDERS.get(kind, kind)

    def extractor(self, provider_id: str, api_flavor: str) -> Extractor | None:
        """The rule that reads usage out of this provider's bodies."""
        provider = self._providers.get(provider_id)
        for rule in provider.extractors if provider else ():
            if rule.api_flavor == api_flavor:
                return Extractor(provider_id, rule)
        return None

    def extractors(self) -> list[Extractor]:
        return [Extractor(provider.id, rule) for provider in self._providers.values() for rule in provider.extractors]

    def _resolve(self, provider_id: str, model: str, at: datetime) -> Quote | None:
        prices = self._find(provider_id, model)
        return None if prices is None else quote_at(prices, at)

    def _find(self, provider_id: str, model: str) -> ModelPrices | None:
        provider = self._providers.get(provider_id)
        return find_model(provider, self._providers, model) if provider else None


def find_model(provider: ProviderPrices, providers: dict[str, ProviderPrices], model: str) -> ModelPrices | None:
    """The first model whose rule matches: of the provider, else of those whose models it resells."""
    name = model.lower()
    resold = [providers[other] for other in provider.fallback if other in providers]
    for seller in [provider, *resold]:
        for prices in seller.models:
            if prices.match.matches(name):
                return prices
    return None


def quote_at(prices: ModelPrices, at: datetime, *, percent: int = 100) -> Quote:
    """The quote of one moment, and how long it holds. `percent` of each price for tokens, rounded up."""
    now = at.astimezone(UTC)
    active = next((dated for dated in reversed(prices.prices) if _holds(dated, now)), prices.prices[0])
    changes = [moment for dated in prices.prices for moment in _changes(dated, now)]
    return Quote(
        active.rates if percent == 100 else _part(active.rates, percent),
        model_id=prices.id,
        source=prices.source,
        valid_from=max((moment for moment in changes if moment <= now), default=None),
        valid_until=min((moment for moment in changes if moment > now), default=None),
    )


def _part(rates: Rates, percent: int) -> Rates:
    def part(amount: int) -> int:
        return -(-amount * percent // 100)

    def of(price: Price | None) -> Price | None:
        if isinstance(price, Tiered):
            return Tiered(base=part(price.base), tiers=[(start, part(amount)) for start, amount in price.tiers])
        return None if price is None else part(price)

    names = [name for name in Rates.__struct_fields__ if name != "request"]
    return structs.replace(rates, **{name: of(getattr(rates, name)) for name in names})


def _holds(dated: DatedRates, now: datetime) -> bool:
    if dated.from_date is not None and now.date() < dated.from_date:
        return False
    if dated.from_time is None or dated.to_time is None:
        return True
    clock = now.time()
    start, end = dated.from_time.replace(tzinfo=None), dated.to_time.replace(tzinfo=None)
    return start <= clock < end if start <= end else clock >= start or clock < end


def _changes(dated: DatedRates, now: datetime) -> Iterator[datetime]:
    """Moments around `now` at which this entry begins or ceases to hold."""
    if dated.from_date is not None:
        yield _utc(dated.from_date, time())
    for clock in (dated.from_time, dated.to_time):
        if clock is not None:
            for days in (-1, 0, 1):
                yield _utc(now.date() + timedelta(days=days), clock)


def _utc(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock.replace(tzinfo=None), UTC)


def _token_prices(rates: Rates) -> Iterator[Price | None]:
    yield from (rates.input, rates.cache_read, rates.cache_write, rates.cache_write_1h)
    yield from (rates.input_audio, rates.cache_audio_read)
    yield from (rates.output, rates.output_audio, rates.output_image, rates.reasoning)


def _starts(price: Price | None) -> list[int]:
    return [] if price is None or isinstance(price, int) else [start for start, _ in price.tiers]


def _above(price: Price | None, start: int, otherwise: int) -> int:
    """The price that holds just above `start` input tokens; tiers start above 0."""
    if price is None:
        return otherwise
    if isinstance(price, int):
        return price
    amount = price.base
    for tier_start, tier_price in price.tiers:
        if tier_start <= start:
            amount = tier_price
    return amount


def _tier(rates: Rates, start: int) -> _Tier:
    plain = _above(rates.input, start, 0)
    cache_read = _above(rates.cache_read, start, plain)
    cache_write = _above(rates.cache_write, start, plain)
    audio = _above(rates.input_audio, start, plain)
    cached_audio = _above(rates.cache_audio_read, start, audio if rates.cache_read is None else cache_read)
    hour_write = _above(rates.cache_write_1h, start, cache_write)
    output = _above(rates.output, start, 0)
    output_audio = _above(rates.output_audio, start, output)
    output_image = _above(rates.output_image, start, output)
    reasoning = _above(rates.reasoning, start, output)
    return _Tier(
        start=start,
        input=plain,
        cache_read=cache_read,
        cache_write=cache_write,
        cache_write_1h_extra=hour_write - cache_write,
        input_audio=audio,
        cache_audio_extra=cached_audio - cache_read,
        audio_is_priced=rates.input_audio is not None or rates.cache_audio_read is not None,
        output=output,
        output_audio=output_audio,
        output_image=output_image,
        reasoning=reasoning,
        output_is_flat=rates.output_audio is None and rates.output_image is None and rates.reasoning is None,
        dearest_input=max(plain, cache_read, cache_write, hour_write, audio, cached_audio),
        dearest_output=max(output, output_audio, output_image, reasoning),
    )


def _input_units(tier: _Tier, usage: Usage) -> int:
    """10^-15 USD of an input with cached or audio parts."""
    read, written = usage.cache_read_tokens, usage.cache_write_tokens
    plain = usage.input_tokens - read - written
    units = read * tier.cache_read + written * tier.cache_write
    units += min(usage.cache_write_1h_tokens, written) * tier.cache_write_1h_extra
    if tier.audio_is_priced and usage.input_audio_tokens:
        audio = usage.input_audio_tokens
        # Providers that do not say how much of the audio was cached: what is not in the plain part must be.
        cached = min(max(usage.cache_audio_read_tokens, audio - max(plain, 0)), audio, read)
        units += (audio - cached) * tier.input_audio + cached * tier.cache_audio_extra
        plain -= audio - cached
    return units + plain * tier.input if plain > 0 else units


def _output_units(tier: _Tier, usage: Usage) -> int:
    """10^-15 USD of an output with parts that have a price of their own."""
    audio, image, reasoning = usage.output_audio_tokens, usage.output_image_tokens, usage.reasoning_tokens
    plain = usage.output_tokens - audio - image - reasoning
    units = audio * tier.output_audio + image * tier.output_image + reasoning * tier.reasoning
    return units + plain * tier.output if plain > 0 else units


def _usd(amount: Decimal | str | int) -> int:
    if isinstance(amount, float | bool):
        raise ValueError("an amount of money is a decimal string or a whole number, never a float")
    try:
        nano = from_usd(amount)
    except (ArithmeticError, ValueError) as error:
        raise ValueError(f"not an amount of money: {amount!r}") from error
    if nano < 0:
        raise ValueError(f"a price is not below zero: {amount}")
    return nano
