"""Which targets have a batch tier of their provider's, and the hand-over of lines of batches to it."""

import re
from collections.abc import Iterable
from datetime import datetime

from tenfold.app.serving import Serving
from tenfold.app.settings import ModelSettings, ProviderSettings, Settings
from tenfold.core.clock import Clock
from tenfold.inference.admit import Admit
from tenfold.inference.batches.ports import BatchRows
from tenfold.inference.handover.charging import Charging
from tenfold.inference.handover.cutting import Cutting
from tenfold.inference.handover.handlers import HandOver
from tenfold.inference.handover.ports import Estimates
from tenfold.inference.handover.queries import PostgresPartRows
from tenfold.inference.handover.stepping import Means
from tenfold.inference.handover.types import HandOverLimits, Seat
from tenfold.inference.route import Quote, Route, Target
from tenfold.ledger.prices import PriceBook
from tenfold.providers.anthropic.batches import AnthropicBatches
from tenfold.providers.batches.http import Channel
from tenfold.providers.batches.ports import BatchTier
from tenfold.providers.http import HttpProvider
from tenfold.providers.micro_batching import MicroBatching
from tenfold.providers.openai.batches import OpenAIBatches
from tenfold.store import Store

_VENDORS = re.compile(r"https://api\.(openai|anthropic)\.com(/|$)")


class _Tier:
    """The price at the batch tier."""

    def __init__(self, book: PriceBook, provider_id: str, model: str) -> None:
        self._book = book
        self._provider_id = provider_id
        self._model = model

    def quote(self, at: datetime) -> Quote | None:
        return self._book.batch_quote(self._provider_id, self._model, at)


def hand_over(
    settings: Settings,
    *,
    store: Store,
    batch_rows: BatchRows,
    serving: Serving,
    admit: Admit,
    estimates: Estimates,
    clock: Clock,
    limits: HandOverLimits | None = None,
) -> HandOver | None:
    """None: nothing is handed over, as `batches.provider_tier` says, or no target has a tier with a known price."""
    limits = limits or HandOverLimits()
    seats = seats_of(settings, serving.routes, serving.book, clock) if settings.batches.provider_tier == "auto" else {}
    if not seats:
        return None
    return HandOver(
        Means(
            parts=PostgresPartRows(store),
            rows=batch_rows,
            cutting=Cutting(serving.router, serving.planner, seats, structured=serving.structured, limits=limits),
            charging=Charging(admit, estimates, limits),
            seats=seats,
            clock=clock,
            max_line_bytes=settings.server.max_body_bytes,
            structured=serving.structured,
            limits=limits,
        )
    )


def seats_of(settings: Settings, routes: Iterable[Route], book: PriceBook, clock: Clock) -> dict[str, Seat]:
    """By the label of the target."""
    seats: dict[str, Seat] = {}
    for target in {target.label: target for route in routes for target in route.targets}.values():
        seller, entry = settings.providers.get(target.provider.name), settings.models.get(target.model)
        tier = None if seller is None else _tier_of(seller, target)
        if seller is None or entry is None or tier is None or _has_own_price(entry, target):
            continue
        whose = seller.prices or book.provider_for(seller.base_url or "", seller.kind)
        prices = _Tier(book, whose, target.upstream_model)
        if prices.quote(clock.now()) is not None:
            seats[target.label] = Seat(target=_at_the_tier(target, prices), tier=tier)
    return seats


def _tier_of(seller: ProviderSettings, target: Target) -> BatchTier | None:
    """None as well where usage is looked up afterwards: a line is no request there, and would be found to be free."""
    is_vendor = _VENDORS.match(seller.base_url or "") is not None
    if seller.usage_lookup is not None or not (is_vendor if seller.batch_tier is None else seller.batch_tier):
        return None
    provider = target.provider.inner if isinstance(target.provider, MicroBatching) else target.provider
    if not isinstance(provider, HttpProvider):
        return None
    channel: Channel = provider.channel()
    if seller.kind == "anthropic":
        return AnthropicBatches(channel)
    return OpenAIBatches(channel) if seller.kind == "openai" else None


def _has_own_price(entry: ModelSettings, target: Target) -> bool:
    """What its batch tier takes is then not known."""
    return entry.price is not None or any(
        other.price is not None
        for other in entry.targets
        if other.provider == target.provider.name and (other.upstream or target.model) == target.upstream_model
    )


def _at_the_tier(target: Target, prices: _Tier) -> Target:
    return Target(
        provider=target.provider,
        upstream_model=target.upstream_model,
        prices=prices,
        ask_usage=target.ask_usage,
        max_input_tokens=target.window,
        max_output_tokens=target.most_output,
        model=target.model,
        region=target.region,
        key=target.key,
    )
