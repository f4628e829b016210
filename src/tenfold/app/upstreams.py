"""Providers, routes and prices out of the settings: which model goes where and what it costs."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from tenfold.app.settings import ModelSettings, PriceSettings, ProviderSettings, Settings, SettingsError, secret
from tenfold.core.write_batch import WriteBatch
from tenfold.inference.route import PriceList, Quote, Route, Target
from tenfold.ledger.prices import PriceBook
from tenfold.ledger.prices import Quote as ListQuote
from tenfold.providers.anthropic import AnthropicWire
from tenfold.providers.gemini import GeminiWire
from tenfold.providers.http import HttpProvider
from tenfold.providers.openai import OpenAIWire, upstream_facts
from tenfold.providers.ports import Provider, Wire
from tenfold.providers.transport import HttpClient, InvalidHeader, InvalidOrigin, Limits, Origin, Timeouts, tls_context

_CHECK_PATHS = {"openai": "/models", "anthropic": "/v1/models", "gemini": "/v1beta/models"}

OFFLINE = "offline"


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
    settings: Settings, environment: Mapping[str, str], offline: Provider, batch: WriteBatch | None = None
) -> dict[str, Provider]:
    """The configured providers by name; `offline` stands for every one of that kind. Raises SettingsError for a key
    that is not there or a URL that is none."""
    return {
        name: offline if entry.kind == OFFLINE else _http_provider(name, entry, environment, batch)
        for name, entry in settings.providers.items()
    }


def refuse_unusable(settings: Settings, environment: Mapping[str, str]) -> None:
    """What would keep every worker from starting is told once, before any of them. Raises SettingsError."""
    for name, entry in settings.providers.items():
        if entry.kind != OFFLINE:
            _http_provider(name, entry, environment, None)
    try:
        if settings.telemetry.otlp_endpoint:
            Origin.parse(settings.telemetry.otlp_endpoint)
    except InvalidOrigin as error:
        raise SettingsError(f"telemetry.otlp_endpoint: {error}") from None


def build_routes(
    settings: Settings, providers: Mapping[str, Provider], built_in: Mapping[str, Provider], book: PriceBook
) -> list[Route]:
    """A route for each configured model, and for each of `built_in` (model to provider) under its own name."""
    routes = [
        Route(model=model, targets=tuple(_targets(model, entry, settings, providers, book)))
        for model, entry in settings.models.items()
    ]
    free = PriceSettings(input=0)  # it runs on this machine: its price is known to be nothing
    for model, provider in built_in.items():
        if model not in settings.models:
            target = Target(provider=provider, upstream_model=model, prices=_Own(free))
            routes.append(Route(model=model, targets=(target,)))
    return routes


def _targets(
    model: str, entry: ModelSettings, settings: Settings, providers: Mapping[str, Provider], book: PriceBook
) -> list[Target]:
    targets = []
    for name, upstream_model, price in _wanted(model, entry):
        seller = settings.providers[name]
        limits = book.limits(_lists(seller, book), upstream_model)
        targets.append(
            Target(
                provider=providers[name],
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
        for name, upstream_model, price in _wanted(model, entry):
            prices = _prices(price, settings.budgets.default_price, settings.providers[name], upstream_model, book)
            if prices.quote(at) is None:
                yield model, name


def _wanted(model: str, entry: ModelSettings) -> list[tuple[str, str, PriceSettings | None]]:
    """Provider, the upstream's name of the model, and its own price, for each target."""
    if entry.provider is not None:
        return [(entry.provider, entry.upstream or model, entry.price)]
    return [(target.provider, target.upstream or model, target.price or entry.price) for target in entry.targets]


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
    name: str, entry: ProviderSettings, environment: Mapping[str, str], batch: WriteBatch | None
) -> HttpProvider:
    whose = f"providers.{name}"
    api_key = secret(entry.api_key, environment, whose)
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
