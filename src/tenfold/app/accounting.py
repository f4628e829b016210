"""Everything in one serving process that limits, reserves, settles and accounts for calls, started and ended in order.

The order of the end keeps money whole: receipts into the database, then what was leased and not spent goes back, then
the journal goes. What cannot be done then stays in the journal, whose free lock tells the next process to do it.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any
from uuid import UUID

from tenfold.app.alerts import Alerts, Receiver
from tenfold.app.corrections import Corrections
from tenfold.app.default_budgets import DefaultedBudgetRows, default_budgets
from tenfold.app.default_limits import default_limits
from tenfold.app.drift_alerts import DriftAlerts
from tenfold.app.flagging import follow_flags
from tenfold.app.settings import Settings
from tenfold.app.telemetry.metrics import Figure
from tenfold.core.clock import Clock
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.core.money import from_usd
from tenfold.core.tenant_book import TenantBook
from tenfold.core.write_batch import WriteBatch
from tenfold.inference.admit import Admit, Gate
from tenfold.inference.ceilings import Ceilings
from tenfold.inference.idempotent import Idempotency
from tenfold.inference.route import Route
from tenfold.ledger.budgets.engine import Budgets
from tenfold.ledger.budgets.holders import Holders
from tenfold.ledger.budgets.ports import TOPIC as BUDGETS_TOPIC
from tenfold.ledger.budgets.queries import adjust_periods, settle_receipts
from tenfold.ledger.idempotency.handlers import EXPIRE_EVERY_S, expire_keys, settle_keys_of
from tenfold.ledger.idempotency.queries import PostgresIdempotencyRows
from tenfold.ledger.journal import Journal
from tenfold.ledger.queries import PostgresReceiptRows
from tenfold.ledger.receipts import ReceiptWriter
from tenfold.ledger.recovery import Recovery
from tenfold.ledger.reports.corrections import ReceiptCorrections
from tenfold.ledger.reports.drift_checks import PostgresDriftChecks
from tenfold.ledger.reports.handlers import Reports
from tenfold.ledger.reports.queries import PostgresReportRows, roll_up_receipts
from tenfold.ledger.reports.retention import Retention, each_tenant
from tenfold.limits.engine import RateLimits
from tenfold.limits.fair import FairShare
from tenfold.limits.local import LocalBlocks
from tenfold.limits.ports import BlockStore
from tenfold.limits.postgres import PostgresBlocks
from tenfold.limits.queries import TOPIC as LIMITS_TOPIC
from tenfold.limits.queries import PostgresLimitRows
from tenfold.limits.types import DEFAULT_WEIGHT, TenantLimits
from tenfold.limits.valkey import ValkeyBlocks
from tenfold.store import Changes, Members, Store, keep

logger = logging.getLogger(__name__)

JOURNALS = "receipts"  # below the home folder
_REPORT_DAYS = 3 * 366  # roll-ups, outcomes and corrections are small
_RETAIN_EVERY_S = 3600.0


class Accounting:
    """`start`; run each of `tasks` until the last call has ended; `stop`."""

    def __init__(self, settings: Settings, store: Store, batch: WriteBatch, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self.batch = batch
        self._clock = clock
        self._directory = settings.home / JOURNALS
        self.members = Members(store)
        self.changes = Changes(store)
        self.flags = follow_flags(store, self.changes)
        self.receipt_rows = PostgresReceiptRows(store, effects=(settle_receipts, roll_up_receipts))
        self.report_rows = PostgresReportRows(store, adjust_periods)
        self.budget_rows = DefaultedBudgetRows(store, default_budgets(settings.budgets), clock)
        self._keys = PostgresIdempotencyRows(store)
        self.recovery = Recovery(
            self.receipt_rows,
            self._directory,
            self.members,
            clock,
            died=(self._close_leases, self._settle_keys, self._look_for_drafts),
            gone=(self._charge_leases, self._settle_keys),
        )
        self._corrections: Corrections | None = None
        self._limit_book: TenantBook[TenantLimits] = TenantBook(PostgresLimitRows(store).read)
        self._blocks = block_store(settings, store)
        self.limits = RateLimits(
            self._limit_book,
            self._blocks,
            holder=self.members.id,
            defaults=default_limits(settings.limits),
            alive=lambda: self.members.alive,
        )
        self.budgets = Budgets(self.budget_rows, self.members.id, clock)
        server = settings.server
        self.share = FairShare(server.max_in_flight, server.max_waiting, server.max_wait_s, self.weight)
        self.gate = Gate(self.share)
        self.idempotency = Idempotency(
            self._keys,
            self.members.id,
            max_reply_bytes=settings.idempotency.max_body_bytes,
            keep_s=settings.idempotency.ttl_s,
        )

    async def start(self) -> None:
        """What dead processes left is taken over first. Raises StoreUnavailable, OSError."""
        await self.members.join()
        self.changes.follow(LIMITS_TOPIC, self._limit_book.forget)
        self.changes.follow(BUDGETS_TOPIC, self.budgets.forget)
        await self.changes.start()
        await self.flags.start()
        journal = await asyncio.to_thread(Journal.open, self._directory, self.members.id, self.batch, self._clock)
        self.receipts = ReceiptWriter(self.receipt_rows, journal, self._clock)
        await self.recovery.look()
        self.admit = Admit(
            gate=self.gate,
            limits=self.limits,
            ceilings=ceilings(self._settings),
            budgets=self.budgets,
            journal=self.receipts,
        )

    def tasks(self) -> Iterable[tuple[str, Coroutine[Any, Any, None]]]:
        yield "app.members", self.members.run()
        yield "app.changes", self.changes.run()
        yield "app.flags", self.flags.run()
        yield "app.receipts", self.receipts.run()
        yield "app.recovery", self.recovery.run()
        yield "app.budgets", self.budgets.run()
        yield "app.limits", self.limits.supply.run()
        expiry = keep(lambda: expire_keys(self._keys), every_s=EXPIRE_EVERY_S, otherwise="no keys are expired")
        yield "app.idempotency", expiry

    def corrections(self, routes: Iterable[Route]) -> Corrections:
        """Of receipts that stand on an estimate, by what the providers of these routes tell."""
        self._corrections = Corrections(
            estimates=ReceiptCorrections(self.report_rows),
            tenants=self.report_rows,
            routes=routes,
            clock=self._clock,
        )
        return self._corrections

    def drift_alerts(self, receiver: Receiver | None) -> DriftAlerts:
        rows = self.report_rows
        reports, checks = Reports(rows, self._clock), PostgresDriftChecks(self._store)
        return DriftAlerts(reports, checks, lambda: each_tenant(rows), receiver, self._clock)

    async def retain(self) -> None:
        """Deletes old receipts once an hour, where the settings say how old. Runs until cancelled."""
        days = self._settings.ledger.retention_days
        if days is None:
            return
        retention = Retention(self.report_rows, self._clock, receipt_days=days, report_days=max(days, _REPORT_DAYS))
        while True:
            try:
                await retention.run()
            except StoreUnavailable as error:
                logger.info("nothing old is deleted, the database is away: %s", error.message)
            await asyncio.sleep(_RETAIN_EVERY_S)

    async def stop(self) -> None:
        """After the last call, and after its tasks."""
        await self.receipts.flush()
        given_back = await self._give_back()
        await self.receipts.drain(keep=not given_back)
        if given_back:
            try:
                await self.members.leave()
            except StoreUnavailable as error:
                logger.info("not signed off, the database is away: %s", error.message)
        if isinstance(self._blocks, ValkeyBlocks):
            await self._blocks.aclose()

    def figures(self) -> Iterable[Figure]:
        """For /metrics."""
        receipts, recovery, supply = self.receipts, self.recovery, self.limits.supply
        yield "tenfold_receipts_pending", (), receipts.pending
        yield "tenfold_receipts_on_disk_bytes", (), receipts.journal_bytes
        yield "tenfold_receipts_written_total", (), receipts.written
        yield "tenfold_receipts_refused_total", (), receipts.refused
        yield "tenfold_receipts_lost_total", (), receipts.lost
        yield "tenfold_receipts_recovered_total", (), recovery.recovered
        yield "tenfold_drafts_recovered_total", (), recovery.drafts
        yield "tenfold_processes_recovered_total", (), recovery.holders
        yield "tenfold_calls_in_flight", (), self.gate.in_flight
        yield "tenfold_calls_waiting", (), self.share.waiting
        yield "tenfold_calls_refused_total", (), self.gate.refused
        yield "tenfold_limit_trips_total", (), supply.trips
        yield "tenfold_limit_fallbacks_total", (), supply.fallbacks
        yield "tenfold_budget_refusals_total", (), self.budgets.refusals
        yield "tenfold_budget_top_ups_total", (), self.budgets.top_ups
        yield "tenfold_bound_exceeded_total", (), self.budgets.bound_exceeded
        for (per, measure), count in self.limits.refused.items():
            yield "tenfold_limited_calls_total", (("per", per), ("measure", measure)), count

    # -- inside ------------------------------------------------------------------------------

    async def _give_back(self) -> bool:
        """False: the database is away, or the journal is not in it yet; the next process does it."""
        if self.receipts.pending:
            return False
        try:
            await self.budgets.aclose()
            await self.limits.aclose()
        except StoreUnavailable as error:
            logger.warning("leases are not given back, the database is away: %s", error.message)
            return False
        return True

    async def _close_leases(self, holder: UUID) -> None:
        await Holders(self.budget_rows).close_holder(holder)

    async def _charge_leases(self, holder: UUID) -> None:
        await Holders(self.budget_rows).charge_holder(holder)

    async def _settle_keys(self, holder: UUID) -> None:
        await settle_keys_of(self._keys, holder)

    async def _look_for_drafts(self, holder: UUID) -> None:
        """What a dead process had drafted is an estimate."""
        if self._corrections is not None:
            await self._corrections.died(holder)

    def weight(self, tenant_id: TenantId) -> int:
        """The tenant's share of what all want at once."""
        known = self._limit_book.get(tenant_id)
        return DEFAULT_WEIGHT if known is None else known.weight


def correction_figures(corrections: Corrections) -> Iterable[Figure]:
    yield "tenfold_corrections_total", (("to", "provider"),), corrections.corrected - corrections.never_served
    yield "tenfold_corrections_total", (("to", "nothing"),), corrections.never_served
    yield "tenfold_corrections_given_up_total", (), corrections.given_up


def alert_figures(alerts: Alerts) -> Iterable[Figure]:
    yield "tenfold_alerts_delivered_total", (), alerts.delivered
    yield "tenfold_alerts_failed_tries_total", (), alerts.failed_tries


def block_store(settings: Settings, store: Store) -> BlockStore:
    """Where processes share a limit. Raises ValueError for a Valkey URL that is none."""
    limits = settings.limits
    alone = settings.server.workers == 1 and settings.database.url is None
    if limits.valkey_url is not None and limits.shared in ("auto", "valkey"):
        return ValkeyBlocks.at(limits.valkey_url)
    if limits.shared == "process" or (limits.shared == "auto" and alone):
        return LocalBlocks()
    return PostgresBlocks(store)


def ceilings(settings: Settings) -> Ceilings:
    of_request = settings.budgets.max_request_usd
    return Ceilings(
        None if of_request is None else from_usd(of_request),
        {
            model: from_usd(entry.max_request_usd)
            for model, entry in settings.models.items()
            if entry.max_request_usd is not None
        },
    )
