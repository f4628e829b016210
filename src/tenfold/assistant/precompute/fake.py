"""Frequent questions in memory, under the contract suite of the real ones."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from uuid import UUID

from msgspec import structs

from tenfold.assistant.precompute.types import (
    KEEP_DAYS,
    KEEP_RUN_DAYS,
    RISING_DAYS,
    WINDOW_DAYS,
    Ahead,
    Earned,
    EndedWhy,
    Frequent,
    Noted,
    Run,
    score,
)
from tenfold.core.clock import Clock
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId

_Place = tuple[TenantId, bytes]


class FakeQuestionRows:
    """Set `away` to make every call raise StoreUnavailable. `current` holds the versions of documents that are
    there."""

    def __init__(self, clock: Clock) -> None:
        self.away = False
        self.current: set[tuple[TenantId, str]] = set()
        self._clock = clock
        self._days: dict[_Place, dict[date, int]] = defaultdict(dict)
        self._askers: dict[_Place, dict[bytes, date]] = defaultdict(dict)
        self._words: dict[_Place, Frequent] = {}
        self._answers: dict[_Place, tuple[Ahead, tuple[str, ...]]] = {}
        self._call_nano: dict[_Place, int] = defaultdict(int)
        self._runs: dict[tuple[TenantId, UUID], Run] = {}

    def kept_words(self) -> list[str]:
        """All that anybody could read of questions."""
        return [one.text for one in self._words.values()]

    async def note(self, tenant_id: TenantId, asked: Sequence[Noted], *, min_askers: int) -> None:
        self._reach()
        today = self._today()
        for one in asked:
            place = tenant_id, one.digest
            self._days[place][today] = self._days[place].get(today, 0) + 1
            self._askers[place][one.asker] = today
        for one in asked:
            place = tenant_id, one.digest
            askers = sum(self._is_within(day, KEEP_DAYS) for day in self._askers[place].values())
            if place not in self._words and askers >= min_askers:
                self._words[place] = Frequent(digest=one.digest, text=one.text, asks=0, rising=0)
            known = self._words.get(place)
            if one.from_cache and known is not None and known.answered_at is not None:
                saved_nano = known.saved_nano + self._call_nano[place]
                self._words[place] = structs.replace(known, hits=known.hits + 1, saved_nano=saved_nano)

    async def frequent(self, tenant_id: TenantId, *, limit: int, offset: int = 0) -> list[Frequent]:
        self._reach()
        return self._in_order(tenant_id)[offset : offset + limit]

    async def begin(self, tenant_id: TenantId, run_id: UUID, *, budget_nano: int) -> Run:
        self._reach()
        new = Run(
            id=run_id, budget_nano=budget_nano, questions=0, answered=0, cost_nano=0, started_at=self._clock.now()
        )
        return self._runs.setdefault((tenant_id, run_id), new)

    async def paid(self, tenant_id: TenantId, run_id: UUID, digest: bytes, cost_nano: int) -> None:
        self._reach()
        run = self._runs.get((tenant_id, run_id))
        if run is not None:
            self._runs[tenant_id, run_id] = structs.replace(run, cost_nano=run.cost_nano + cost_nano)
        known = self._words.get((tenant_id, digest))
        if known is not None:
            self._words[tenant_id, digest] = structs.replace(known, paid_nano=known.paid_nano + cost_nano)

    async def answered(
        self,
        tenant_id: TenantId,
        run_id: UUID,
        digest: bytes,
        *,
        call_nano: int = 0,
        ahead: Ahead | None = None,
        documents: Sequence[str] = (),
        degraded: bool = False,
    ) -> None:
        self._reach()
        run, place = self._runs.get((tenant_id, run_id)), (tenant_id, digest)
        if run is None or digest in run.done:
            return
        self._runs[tenant_id, run_id] = structs.replace(
            run,
            questions=run.questions + 1,
            answered=run.answered + (ahead is not None),
            done=run.done | {digest},
        )
        known = self._words.get(place)
        if known is None or degraded:
            return
        self._call_nano[place] = call_nano or self._call_nano[place] or known.paid_nano
        self._answers.pop(place, None)
        if ahead is not None:
            self._answers[place] = ahead, tuple(documents)
        answered_at = None if ahead is None else self._clock.now()
        self._words[place] = structs.replace(known, answered_at=answered_at)

    async def end(self, tenant_id: TenantId, run_id: UUID, why: EndedWhy) -> None:
        self._reach()
        run = self._runs.get((tenant_id, run_id))
        if run is not None and run.ended_at is None:
            self._runs[tenant_id, run_id] = structs.replace(run, ended_at=self._clock.now(), ended_why=why)

    async def runs(self, tenant_id: TenantId, *, limit: int, before: UUID | None = None) -> list[Run]:
        self._reach()
        of_tenant = [run for (owner, _), run in self._runs.items() if owner == tenant_id]
        of_tenant.sort(key=lambda run: run.id, reverse=True)
        return [run for run in of_tenant if before is None or run.id < before][:limit]

    async def earned(self, tenant_id: TenantId) -> Earned:
        self._reach()
        kept = [one for (owner, _), one in self._words.items() if owner == tenant_id]
        return Earned(
            questions=len(kept),
            answered=sum(one.answered_at is not None for one in kept),
            hits=sum(one.hits for one in kept),
            paid_nano=sum(one.paid_nano for one in kept),
            saved_nano=sum(one.saved_nano for one in kept),
        )

    async def ahead(self, tenant_id: TenantId, *, limit: int) -> list[Ahead]:
        self._reach()
        found = [self._answers.get((tenant_id, one.digest)) for one in self._in_order(tenant_id)]
        holds = [each[0] for each in found if each and all((tenant_id, name) in self.current for name in each[1])]
        return holds[:limit]

    async def tenants_asked(self) -> list[TenantId]:
        self._reach()
        return sorted({owner for owner, _ in self._words if self._in_order(owner)})

    async def tenants_expired(self) -> list[TenantId]:
        self._reach()
        tenants = {owner for owner, _ in [*self._days, *self._askers, *self._words, *self._runs]}
        return sorted(tenant_id for tenant_id in tenants if self._expired(tenant_id))

    async def expire(self, tenant_id: TenantId, *, limit: int) -> int:
        self._reach()
        return self._expired(tenant_id, remove=True)

    # -- inside ------------------------------------------------------------------------------

    def _reach(self) -> None:
        if self.away:
            raise StoreUnavailable("The database is away.", retry_after_s=1)

    def _today(self) -> date:
        return self._clock.now().date()

    def _is_within(self, day: date, days: int) -> bool:
        return day > self._today() - timedelta(days=days)

    def _in_order(self, tenant_id: TenantId) -> list[Frequent]:
        counted = []
        for (owner, digest), known in self._words.items():
            if owner != tenant_id:
                continue
            days = self._days[owner, digest].items()
            asks = sum(count for day, count in days if self._is_within(day, WINDOW_DAYS))
            rising = sum(count for day, count in days if self._is_within(day, RISING_DAYS))
            if asks:
                counted.append(structs.replace(known, asks=asks, rising=rising))
        return sorted(counted, key=lambda one: (-score(one.asks, one.rising), one.digest))

    def _expired(self, tenant_id: TenantId, *, remove: bool = False) -> int:
        old_days = [
            (days, day)
            for (owner, _), days in self._days.items()
            if owner == tenant_id
            for day in days
            if not self._is_within(day, KEEP_DAYS)
        ]
        old_askers = [
            (askers, asker)
            for (owner, _), askers in self._askers.items()
            if owner == tenant_id
            for asker, day in askers.items()
            if not self._is_within(day, KEEP_DAYS)
        ]
        silent = [place for place in self._words if place[0] == tenant_id and not self._days.get(place)]
        before = self._clock.now() - timedelta(days=KEEP_RUN_DAYS)
        runs = [place for place, run in self._runs.items() if place[0] == tenant_id and run.started_at <= before]
        if remove:
            for days, day in old_days:
                del days[day]
            for askers, asker in old_askers:
                del askers[asker]
            for place in silent:
                del self._words[place]
                self._answers.pop(place, None)
            for run in runs:
                del self._runs[run]
        return len(old_days) + len(old_askers) + len(silent) + len(runs)
