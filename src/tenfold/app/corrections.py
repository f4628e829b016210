"""Puts receipts that stand on an estimate right by the provider's own figures, once it can tell them. It never guesses:
what a provider does not say stays estimated, and is counted as given up after a day.
"""

import asyncio
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from tenfold.core.call import Call
from tenfold.core.clock import Clock
from tenfold.core.errors import InvalidRequest, NotFound, StoreUnavailable, TenfoldError, UpstreamError
from tenfold.core.ids import TenantId
from tenfold.core.usage import Usage
from tenfold.inference.route import Route, Target
from tenfold.ledger.prices import Cost
from tenfold.ledger.reports.types import Counted
from tenfold.providers.facts import UsageFacts, attempt_id
from tenfold.providers.http import HttpProvider

logger = logging.getLogger(__name__)

SOURCE = "provider"
AFTER_S = 10.0  # a request on its way to a provider has arrived by then
EVERY_S = 1.0
SWEEP_S = 300.0
PATIENCE = timedelta(days=1)
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 2.0, 900.0
_AT_ONCE = 100  # receipts of a tenant in one query
_PAGE = 1000  # tenants in one query


class Estimates(Protocol):
    """The receipts that nothing but our estimate stands behind. See tenfold.ledger.reports."""

    async def estimated(self, tenant_id: TenantId, *, since: datetime, until: datetime, limit: int) -> list[Counted]:
        """Of calls that began then and are not corrected yet, the oldest first. Raises StoreUnavailable."""
        ...

    async def correct(self, receipt: Counted, usage: Usage, cost: Cost, source: str) -> bool:
        """From now on the receipt counts as this. False: this source has corrected it before. Raises NotFound,
        InvalidRequest (what no call can have used) and StoreUnavailable."""
        ...


class TenantList(Protocol):
    async def tenants(self, *, limit: int, after: TenantId | None = None) -> list[TenantId]:
        """Pages of all there are. Raises StoreUnavailable."""
        ...


class _Attempt(Struct, frozen=True, kw_only=True):
    target: Target
    facts: UsageFacts | None
    number: int
    is_first: bool  # at its target


class _Pause(Struct, kw_only=True):
    until_s: float  # monotonic
    length_s: float


class Corrections:
    """`note` a tenant that has a new estimate, `run` until cancelled. `tenants`: all there are, for what nobody noted
    (another process's, or of before this one began); they are looked through every `sweep_s`."""

    def __init__(
        self,
        *,
        estimates: Estimates,
        tenants: TenantList,
        routes: Iterable[Route],
        clock: Clock,
        after_s: float = AFTER_S,
        sweep_s: float = SWEEP_S,
    ) -> None:
        self._estimates = estimates
        self._tenants = tenants
        self._clock = clock
        self._after_s = after_s
        self._sweep_s = sweep_s
        self._attempts = {route.model: _attempts(route) for route in routes}
        self._due_s: dict[TenantId, float] = {}  # monotonic seconds
        self._pauses: dict[UUID, _Pause] = {}
        self._next_sweep_s = clock.monotonic_s()
        self.corrected = 0  # by figures of the provider
        self.never_served = 0  # corrected to nothing: the request did not reach the provider
        self.unanswered = 0  # lookups that told nothing; most are asked again
        self.given_up = 0

    @property
    def waiting(self) -> int:
        """Receipts that were asked about and are not told of yet."""
        return len(self._pauses)

    @property
    def possible(self) -> bool:
        """Whether any provider tells."""
        return any(attempt.facts is not None for attempts in self._attempts.values() for attempt in attempts)

    def note(self, tenant_id: TenantId) -> None:
        due_s = self._clock.monotonic_s() + self._after_s
        self._due_s[tenant_id] = min(due_s, self._due_s.get(tenant_id, due_s))

    def note_all(self, calls: Iterable[Call]) -> None:
        """Of these, those that stand on an estimate."""
        for call in calls:
            if call.estimated:
                self.note(call.principal.tenant_id)

    async def died(self, _holder: UUID) -> None:
        """A process died and its receipts are in the database, some of them drafts of tenants that nobody noted. A hook
        of `ledger.recovery`."""
        self._next_sweep_s = self._clock.monotonic_s()

    async def run(self) -> None:
        while self.possible:
            try:
                await self.round()
            except StoreUnavailable as error:
                logger.info("estimates wait, the database is away: %s", error.message)
            await asyncio.sleep(EVERY_S)

    async def round(self) -> None:
        """Raises StoreUnavailable."""
        if self._clock.monotonic_s() >= self._next_sweep_s:
            await self._sweep()
        for tenant_id in [tenant_id for tenant_id, due_s in self._due_s.items() if due_s <= self._clock.monotonic_s()]:
            del self._due_s[tenant_id]  # a note that comes meanwhile counts
            try:
                pause_s = await self._look_through(tenant_id)
            except StoreUnavailable:
                self.note(tenant_id)
                raise
            if pause_s is not None:
                due_s = self._clock.monotonic_s() + max(EVERY_S, pause_s)
                self._due_s[tenant_id] = min(due_s, self._due_s.get(tenant_id, due_s))

    async def _sweep(self) -> None:
        after: TenantId | None = None
        while page := await self._tenants.tenants(limit=_PAGE, after=after):
            self._due_s.update(dict.fromkeys(page, 0.0))
            after = page[-1]
        self._next_sweep_s = self._clock.monotonic_s() + self._sweep_s

    async def _look_through(self, tenant_id: TenantId) -> float | None:
        """In how many seconds to come back; None: nothing is left to ask about."""
        until = self._clock.now()
        since = until - PATIENCE
        pauses_s: list[float] = []
        while True:
            found = await self._estimates.estimated(tenant_id, since=since, until=until, limit=_AT_ONCE)
            for receipt in found:
                attempts = self._answerable(receipt)
                if attempts is None:
                    continue
                if (pause_s := self._pause_s(receipt)) > 0 or (pause_s := await self._ask(receipt, attempts)) > 0:
                    pauses_s.append(pause_s)
            if len(found) < _AT_ONCE:
                return min(pauses_s, default=None)
            since = found[-1].at + timedelta(microseconds=1)

    def _pause_s(self, receipt: Counted) -> float:
        """How long it is too early to ask, seconds."""
        young_s = self._after_s - (self._clock.now() - receipt.at).total_seconds()
        pause = self._pauses.get(receipt.id)
        return young_s if pause is None else max(young_s, pause.until_s - self._clock.monotonic_s())

    def _answerable(self, receipt: Counted) -> list[_Attempt] | None:
        """The attempts that may have been made. None: not all of them can be asked about."""
        attempts = self._attempts.get(receipt.model_asked, [])
        if receipt.provider is not None:
            served = [attempt for attempt in attempts if _is(attempt.target, receipt)]
            if not served:
                return None
            if receipt.attempts == 1:
                attempts = [attempt for attempt in served if attempt.is_first]
        return attempts if attempts and all(attempt.facts is not None for attempt in attempts) else None

    async def _ask(self, receipt: Counted, attempts: list[_Attempt]) -> float:
        """In how many seconds to ask again; 0: the receipt is done with."""
        usages: list[tuple[_Attempt, Usage]] = []
        try:
            for attempt in attempts:
                assert attempt.facts is not None
                usage = await attempt.facts.usage(attempt_id(f"req_{receipt.id.hex}", attempt.number))
                if usage is not None:
                    usages.append((attempt, usage))
        except UpstreamError as error:
            return self._not_told(receipt, error)
        cost = _cost(receipt, usages)
        if cost is None:
            return self._not_told(receipt, UpstreamError("no price is known any more"))
        try:
            if await self._estimates.correct(receipt, _sum(usage for _, usage in usages), cost, SOURCE):
                self.corrected += 1
                self.never_served += not usages
        except (InvalidRequest, NotFound) as error:  # it tells what cannot be
            return self._not_told(receipt, error)
        self._pauses.pop(receipt.id, None)
        return 0.0

    def _not_told(self, receipt: Counted, error: TenfoldError) -> float:
        self.unanswered += 1
        pause = self._pauses.setdefault(receipt.id, _Pause(until_s=0.0, length_s=_FIRST_PAUSE_S / 2))
        pause.length_s = min(pause.length_s * 2, _LONGEST_PAUSE_S)
        pause.until_s = self._clock.monotonic_s() + pause.length_s
        if self._clock.now() + timedelta(seconds=pause.length_s) < receipt.at + PATIENCE:
            return pause.length_s
        logger.warning("the receipt %s stays an estimate: %s", receipt.id, error.message)
        self._pauses.pop(receipt.id)
        self.given_up += 1
        return 0.0


def _attempts(route: Route) -> list[_Attempt]:
    return [
        _Attempt(
            target=target,
            facts=target.provider.facts if isinstance(target.provider, HttpProvider) else None,
            number=number,
            is_first=number < len(route.targets),
        )
        for number in range(len(route.targets) * route.policy.most_rounds)
        for target in (route.targets[number % len(route.targets)],)
    ]


def _is(target: Target, receipt: Counted) -> bool:
    return target.provider.name == receipt.provider and receipt.model_used in (None, target.upstream_model)


def _cost(receipt: Counted, usages: list[tuple[_Attempt, Usage]]) -> Cost | None:
    """At the prices of the time of the call. None: one of them is not known."""
    into = out = total = 0
    for attempt, usage in usages:
        quote = attempt.target.quote(receipt.at.timestamp())
        if quote is None:
            return None
        cost = quote.cost(usage)
        into, out, total = into + cost.input_nano, out + cost.output_nano, total + cost.total_nano
    return Cost(input_nano=into, output_nano=out, total_nano=total)


def _sum(usages: Iterable[Usage]) -> Usage:
    sums = dict.fromkeys(Usage.__struct_fields__, 0)
    for usage in usages:
        for name in sums:
            sums[name] += getattr(usage, name)
    return Usage(**sums)
