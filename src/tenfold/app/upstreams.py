"""Providers, routes and prices out of the settings: which model goes where and what it costs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from tenfold.app.micro_batches import micro_batched
from tenfold.app.routing import breaker_policy, models_of, policy_of, refuse_impossible_ceilings
from tenfold.app.settings import ModelSettings, PriceSettings, ProviderSettings, Settings, SettingsError, secret
from tenfold.core.clock import SystemClock
from tenfold.core.errors import UpstreamUnavailable
from tenfold.core.write_batch import WriteBatch
from tenfold.health import Healths, Shaper
from tenfold.inference.route import PriceList, Quote, Route, Target
from tenfold.ledger.prices import PriceBook
from tenfold.ledger.prices import Quote as ListQuote
from tenfold.providers.anthropic import AnthropicWire
from tenfold.providers.gemini import GeminiWire
from tenfold.providers.http import HttpProvider
from tenfold.providers.offline import smollm2
from tenfold.providers.offline.provider import MODELS
from tenfold.providers.openai import OpenAIWire, upstream_facts
from tenfold.providers.ports import Exchange, Headers, Provider, Wire, WireRequest
from tenfold.providers.transport import HttpClient, InvalidHeader, InvalidOrigin, Limits, Origin, Timeouts, tls_context

_CHECK_PATHS = {"openai": "/models", "anthropic": "/v1/models", "gemini": "/v1beta/models"}

OFFLINE = "offline"


@dataclass(frozen=True, kw_only=True)
class Seat:
    """One key of a provider: its connections, and how many calls it is found to take at once."""

    name: str  # of the provider, as in the settings
    provider: Provider
    shaper: Shaper
    number: int

    @property
    def key(self) -> str:
        """What people call the key."""
        return str(self.number + 1)


class _Listed:
    """The dated list price of one provider's model; `default` where the list has none."""

    def __init__(self, book: PriceBook, provider_id: str, model: str, default: PriceSettings | None) -> None:
        self._book = book
        self._provider_id = provider_id
        self._model = model
        self._default = None if default is None else _quote(default)

    def quote(self, at: datetime) -> Quote | None:
        return self._book.quote(self._provider_id, self._model, at) or self._default


class _Own:
    """A price set in the configuration."""

    def __init__(self, price: PriceSettings) -> None:
        self._quote = _quote(price)

    def quote(self, at: datetime) -> Quote | None:
        return self._quote


def _quote(price: PriceSettings) -> ListQuote:
    return ListQuote.from_usd_per_million(
        input=price.input, output=price.output, cache_read=price.cache_read, cache_write=price.cache_write
    )


def build_providers(
    settings: Settings,
    environment: Mapping[str, str],
    offline: Provider,
    batch: WriteBatch | None = None,
    healths: Healths | None = None,
) -> dict[str, list[Seat]]:
    """The configured providers by name, once for each of their keys; `offline` stands for every one of that kind.
    `healths` holds their shapers. Raises SettingsError for a key that is not there or a URL that is none."""
    healths = healths or Healths()

    def provider(name: str, entry: ProviderSettings, key: str | None) -> Provider:
        made = offline if entry.kind == OFFLINE else _http_provider(name, entry, key, environment, batch)
        return micro_batched(settings, name, made)

    return _seats(settings, healths, provider)


def _seats(
    settings: Settings, healths: Healths, provider: Callable[[str, ProviderSettings, str | None], Provider]
) -> dict[str, list[Seat]]:
    seats: dict[str, list[Seat]] = {}
    for name, entry in settings.providers.items():
        keys: list[str | None] = [*entry.keys] or [None]
        seats[name] = [
            Seat(
                name=name,
                provider=provider(name, entry, key),
                shaper=healths.shaper(name, str(number + 1), entry.max_concurrency),
                number=number,
            )
            for number, key in enumerate(keys)
        ]
    return seats


class Unasked:
    """A provider for whoever only looks at routes: it has a name, and asking it fails. No key is read for it."""

    def __init__(self, name: str, wire: Wire) -> None:
        self.name = name
        self.wire = wire

    async def send(self, request: WireRequest, headers: Headers) -> Exchange:
        """Raises UpstreamUnavailable."""
        raise UpstreamUnavailable("Nothing is asked here.")

    async def check(self) -> str:
        """Raises UpstreamUnavailable."""
        raise UpstreamUnavailable("Nothing is asked here.")

    async def aclose(self) -> None:
        return


def routes_to_look_at(settings: Settings, healths: Healths) -> list[Route]:
    """The routes as a serving process has them, with providers that cannot be asked: no secret is needed."""
    offline = Unasked(OFFLINE, OpenAIWire())

    def provider(name: str, entry: ProviderSettings, key: str | None) -> Provider:
        return offline if entry.kind == OFFLINE else Unasked(name, _wire(entry))

    built_in: dict[str, Provider] = dict.fromkeys(MODELS, offline)
    if smollm2.is_installed():
        built_in[smollm2.MODEL] = Unasked("local", OpenAIWire())
    return build_routes(settings, _seats(settings, healths, provider), built_in, PriceBook.load(), healths)


def refuse_unusable(settings: Settings, environment: Mapping[str, str]) -> None:
    """What would keep every worker from starting is told once, before any of them. Raises SettingsError."""
    for name, entry in settings.providers.items():
        if entry.kind != OFFLINE:
            keys: list[str | None] = [*entry.keys] or [None]
            for key in keys:
                _http_provider(name, entry, key, environment, None)
    try:
        if settings.telemetry.otlp_endpoint:
            Origin.parse(settings.telemetry.otlp_endpoint)
    except InvalidOrigin as error:
        raise SettingsError(f"telemetry.otlp_endpoint: {error}") from None
    refuse_impossible_ceilings(settings, routes_to_look_at(settings, Healths()), SystemClock().now().timestamp())


def build_routes(
    settings: Settings,
    seats: Mapping[str, list[Seat]],
    built_in: Mapping[str, Provider],
    book: PriceBook,
    healths: Healths | None = None,
) -> list[Route]:
    """A route for each configured model and route, and for each of `built_in` (model to provider) under its own
    name."""
    healths = healths or Healths(policy=breaker_policy(settings))
    targets = {
        model: _targets(model, entry, settings, seats, book, healths) for model, entry in settings.models.items()
    }
    routes = [
        Route(
            model=name,
            targets=tuple(target for model in models_of(settings, name) for target in targets[model]),
            policy=policy_of(settings, name),
        )
        for name in dict.fromkeys((*settings.models, *settings.routes))
    ]
    free = PriceSettings(input=0)  # it runs on this machine: its price is known to be nothing
    for model, provider in built_in.items():
        if model not in settings.models and model not in settings.routes:
            health = healths.of(provider.name, model)
            target = Target(provider=provider, upstream_model=model, prices=_Own(free), health=health)
            routes.append(Route(model=model, targets=(target,)))
    return routes


def _targets(
    model: str,
    entry: ModelSettings,
    settings: Settings,
    seats: Mapping[str, list[Seat]],
    book: PriceBook,
    healths: Healths,
) -> list[Target]:
    targets = []
    for (name, upstream_model, price, weight), seat in _seated(model, entry, seats):
        seller = settings.providers[name]
        limits = book.limits(_lists(seller, book), upstream_model)
        several = len(seats[name]) > 1
        targets.append(
            Target(
                model=model,
                health=healths.of_key(name, upstream_model, seat.key) if several else healths.of(name, upstream_model),
                shaper=seat.shaper,
                region=seller.region,
                weight=weight,
                key=seat.key if several else None,
                # Several keys are there to share the load, whatever is said of the order of the targets.
                balance="latency" if several and entry.balance == "order" and len(entry.targets) < 2 else entry.balance,
                provider=seat.provider,
                upstream_model=upstream_model,
                prices=_prices(price, settings.budgets.default_price, seller, upstream_model, book),
                ask_usage=seller.stream_usage,
                max_input_tokens=entry.max_input_tokens or limits.max_input_tokens,
                max_output_tokens=entry.max_output_tokens or limits.max_output_tokens,
                broken_streams=settings.budgets.broken_streams,
            )
        )
    return targets


def unpriced(settings: Settings, book: PriceBook, at: datetime) -> Iterator[tuple[str, str]]:
    """Model and provider of each target whose calls are refused because nobody knows their price."""
    for model, entry in settings.models.items():
        for name, upstream_model, price, _ in _wanted(model, entry):
            prices = _prices(price, settings.budgets.default_price, settings.providers[name], upstream_model, book)
            if prices.quote(at) is None:
                yield model, name


_Wanted = tuple[str, str, PriceSettings | None, int]


def _wanted(model: str, entry: ModelSettings) -> list[_Wanted]:
    """Provider, the upstream's name of the model, its own price and its weight, for each target."""
    if entry.provider is not None:
        return [(entry.provider, entry.upstream or model, entry.price, 1)]
    return [
        (target.provider, target.upstream or model, target.price or entry.price, target.weight)
        for target in entry.targets
    ]


def _seated(model: str, entry: ModelSettings, seats: Mapping[str, list[Seat]]) -> Iterator[tuple[_Wanted, Seat]]:
    for wanted in _wanted(model, entry):
        for seat in seats[wanted[0]]:
            yield wanted, seat


def _prices(
    price: PriceSettings | None, default: PriceSettings | None, provider: ProviderSettings, model: str, book: PriceBook
) -> PriceList:
    if price is not None:
        return _Own(price)
    if provider.kind == OFFLINE:
        return _Own(PriceSettings(input=0))
    return _Listed(book, _lists(provider, book), model, default)


def _lists(provider: ProviderSettings, book: PriceBook) -> str:
    """Whose price list holds."""
    return provider.prices or book.provider_for(provider.base_url or "", provider.kind)


def _http_provider(
    name: str, entry: ProviderSettings, key: str | None, environment: Mapping[str, str], batch: WriteBatch | None
) -> HttpProvider:
    whose = f"providers.{name}"
    api_key = secret(key, environment, whose)
    try:
        origin = Origin.parse(entry.base_url or "")
        client = HttpClient(
            origin,
            limits=Limits(max_connections=entry.max_connections, max_waiting=entry.max_connections),
            timeouts=Timeouts(
                connect_s=entry.connect_timeout_s,
                first_byte_s=entry.first_byte_timeout_s,
                between_bytes_s=entry.idle_timeout_s,
            ),
            tls=tls_context(str(entry.ca_file) if entry.ca_file else None) if origin.scheme == "https" else None,
            proxy=entry.proxy,
            batch=batch,
        )
        return HttpProvider(name, _wire(entry), client, api_key, _CHECK_PATHS[entry.kind], entry.usage_lookup)
    except (InvalidOrigin, InvalidHeader, OSError, ValueError) as error:
        raise SettingsError(f"{whose}: {error}") from None


def _wire(entry: ProviderSettings) -> Wire:
    if entry.kind == "anthropic":
        return AnthropicWire()
    return GeminiWire() if entry.kind == "gemini" else OpenAIWire(upstream_facts(entry.base_url or ""))
