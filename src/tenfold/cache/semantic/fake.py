"""The semantic cache in memory, for tests of whatever stands on it: `FakeSemanticRows` for rows, and `FakeDecider` for
a scope that takes the nearest question of all, without a doubt.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import inf
from uuid import UUID

from msgspec import structs

from tenfold.cache.grounds import SLACK_S, Document, document_of
from tenfold.cache.semantic.rows import (
    BEGINNING,
    MAX_SCOPES,
    KeptAnswer,
    KeptScope,
    NewEntry,
    News,
    ScopeAt,
    ScopeFacts,
    Seen,
    Since,
    Uses,
)
from tenfold.cache.semantic.types import Decision, Entry, Kind, Learned, Observation, ScopeStatus, Verdict, Why
from tenfold.core.clock import Clock, FakeClock
from tenfold.core.ids import TenantId, uuid7

NOTHING_YET = ScopeStatus(entries=0, hits=0, checks=0, bound=1.0, max_false_hits=0.0, is_off=False)


class _Kept:
    def __init__(self, scope: UUID, new: NewEntry, at: datetime, change: int) -> None:
        self.scope, self.new, self.at, self.change = scope, new, at, change
        self.gone: datetime | None = None
        self.ends = at + timedelta(seconds=new.ttl_s)


class _Scope:
    def __init__(self, facts: ScopeFacts, at: datetime) -> None:
        self.id, self.epoch, self.facts = uuid7(), 0, facts
        self.created_at = self.used_at = at
        self.status = structs.replace(NOTHING_YET, max_false_hits=facts.max_false_hits)
        self.seen: list[tuple[int, Seen]] = []

    def use(self, hits: int, checks: int) -> None:
        self.status = structs.replace(self.status, hits=self.status.hits + hits, checks=self.status.checks + checks)


class FakeSemanticRows:
    """`documents` are those of knowledge bases as they are: change it as they change. `fails`: raised by each method
    while it is set."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.documents: dict[TenantId, set[Document]] = {}
        self.fails: Exception | None = None
        self.told: list[TenantId] = []  # whose documents were said to have changed
        self._clock = clock or FakeClock()
        self._scopes: dict[TenantId, dict[UUID, _Scope]] = {}
        self._entries: dict[TenantId, dict[UUID, _Kept]] = {}
        self._evicted: dict[TenantId, dict[Document, datetime]] = {}
        self._changes = 0

    async def open_scope(self, tenant_id: TenantId, facts: ScopeFacts) -> ScopeAt:
        scopes = self._of(tenant_id)
        found = next((each for each in scopes.values() if each.facts.digest == facts.digest), None)
        if found is None:
            found = _Scope(facts, self._clock.now())
            scopes[found.id] = found
            by_use = sorted(scopes.values(), key=lambda each: each.used_at, reverse=True)
            for each in by_use[MAX_SCOPES:]:
                self._forget(tenant_id, each.id)
                del scopes[each.id]
        return ScopeAt(found.id, found.epoch)

    async def news(self, tenant_id: TenantId, since: Sequence[Since]) -> list[News]:
        scopes = self._of(tenant_id)
        return [self._news(tenant_id, scopes.get(each.id), each) for each in since]

    async def keep(
        self,
        tenant_id: TenantId,
        at: ScopeAt,
        *,
        new: NewEntry | None,
        seen: Seen | None,
        status: ScopeStatus,
        max_entries: int,
    ) -> bool:
        scope = self._of(tenant_id).get(at.id)
        if scope is None or scope.epoch != at.epoch:
            return False
        now = self._clock.now()
        scope.used_at = now
        scope.status = structs.replace(
            scope.status,
            bound=status.bound,
            is_off=status.is_off,
            why_off=status.why_off,
            max_false_hits=status.max_false_hits,
        )
        if seen is not None:
            self._changes += 1
            scope.seen.append((self._changes, seen))
        if new is None:
            return False
        documents = [document_of(each) for each in new.entry.documents]
        changed = await self.changed(tenant_id, documents)
        if any(not new.asked_s_ago + SLACK_S < ago_s < inf for ago_s in changed.values()):
            return False
        self._changes += 1
        kept = self._entries.setdefault(tenant_id, {})
        kept[new.entry.id] = _Kept(at.id, new, now, self._changes)
        living = sorted(entry_id for entry_id, each in kept.items() if each.gone is None)
        for entry_id in living[: max(0, len(living) - max_entries)]:
            self._drop(kept[entry_id])
        return True

    async def changed(self, tenant_id: TenantId, documents: Sequence[Document]) -> Mapping[Document, float]:
        evicted = self._evicted_of(tenant_id)
        as_said = self.documents.get(tenant_id, set())
        changed = {each: inf for each in documents if each.kb and each not in as_said}
        for each in documents:
            if each.kb:
                continue
            if each.version and each in evicted:
                changed[each] = inf
            elif (at := evicted.get(Document("", each.name, ""))) is not None:
                changed[each] = (self._clock.now() - at).total_seconds()
        return changed

    async def answer(self, tenant_id: TenantId, at: ScopeAt, entry_id: UUID) -> KeptAnswer | None:
        scope, kept = self._of(tenant_id).get(at.id), self._entries.get(tenant_id, {}).get(entry_id)
        now = self._clock.now()
        if scope is None or scope.epoch != at.epoch or kept is None or kept.gone is not None or kept.ends <= now:
            return None
        if self._is_stale(tenant_id, kept):
            return None
        entry = kept.new.entry
        age_s = (now - kept.at).total_seconds()
        return KeptAnswer(
            answer_id=entry.answer_id,
            body=kept.new.body,
            told=kept.new.told,
            age_s=age_s,
            documents=entry.documents,
        )

    async def texts(self, tenant_id: TenantId, entry_ids: Sequence[UUID]) -> Mapping[UUID, str]:
        self._check()
        kept = self._entries.get(tenant_id, {})
        return {each: kept[each].new.text for each in entry_ids if each in kept and kept[each].gone is None}

    async def count(self, tenant_id: TenantId, uses: Sequence[Uses]) -> None:
        for each in uses:
            scope = self._of(tenant_id).get(each.at.id)
            if scope is not None and scope.epoch == each.at.epoch:
                scope.use(each.hits, each.checks)
                scope.used_at = self._clock.now()

    async def page(self, tenant_id: TenantId, *, before: UUID | None, limit: int) -> list[KeptScope]:
        found = sorted(self._of(tenant_id).values(), key=lambda each: each.id, reverse=True)
        return [self._shown(tenant_id, each) for each in found if before is None or each.id < before][:limit]

    async def show(self, tenant_id: TenantId, scope_id: UUID) -> KeptScope | None:
        found = self._of(tenant_id).get(scope_id)
        return None if found is None else self._shown(tenant_id, found)

    async def reset(self, tenant_id: TenantId, scope_id: UUID) -> bool:
        found = self._of(tenant_id).get(scope_id)
        if found is None:
            return False
        found.epoch, found.seen = found.epoch + 1, []
        found.status = structs.replace(NOTHING_YET, max_false_hits=found.status.max_false_hits)
        self._forget(tenant_id, scope_id)
        return True

    async def evict(self, tenant_id: TenantId, documents: Sequence[Document]) -> int:
        evicted = self._evicted_of(tenant_id)
        now = self._clock.now()
        evicted |= dict.fromkeys(documents, now)
        dropped = [kept for kept in self._living(tenant_id) if any(_names(each, kept) for each in documents)]
        for kept in dropped:
            self._drop(kept)
        self.told.append(tenant_id)
        return len(dropped)

    async def drop_stale(self, tenant_id: TenantId) -> int:
        self._check()
        dropped = [kept for kept in self._living(tenant_id) if self._is_stale(tenant_id, kept)]
        for kept in dropped:
            self._drop(kept)
        return len(dropped)

    async def tenants_expired(self, before: datetime) -> list[TenantId]:
        self._check()
        now = self._clock.now()
        return [
            tenant_id
            for tenant_id in {*self._scopes, *self._evicted}
            if any(kept.ends < now for kept in self._entries.get(tenant_id, {}).values())
            or any(scope.used_at < before for scope in self._scopes.get(tenant_id, {}).values())
            or any(at < before for at in self._evicted.get(tenant_id, {}).values())
        ]

    async def expire(self, tenant_id: TenantId, before: datetime, *, limit: int) -> int:
        scopes, evicted = self._of(tenant_id), self._evicted_of(tenant_id)
        entries = self._entries.get(tenant_id, {})
        ended = self._clock.now() - timedelta(minutes=10)
        old = [entry_id for entry_id, kept in entries.items() if kept.ends < ended][:limit]
        for entry_id in old:
            del entries[entry_id]
        unused = [each for each in scopes.values() if each.used_at < before][:limit]
        for each in unused:
            self._forget(tenant_id, each.id)
            del scopes[each.id]
        past = [document for document, at in evicted.items() if at < before]
        for document in past:
            del evicted[document]
        return len(old) + len(unused) + len(past)

    # -- inside ------------------------------------------------------------------------------

    def _check(self) -> None:
        if self.fails is not None:
            raise self.fails

    def _of(self, tenant_id: TenantId) -> dict[UUID, _Scope]:
        self._check()
        return self._scopes.setdefault(tenant_id, {})

    def _evicted_of(self, tenant_id: TenantId) -> dict[Document, datetime]:
        self._check()
        return self._evicted.setdefault(tenant_id, {})

    def _living(self, tenant_id: TenantId) -> list[_Kept]:
        return [each for each in self._entries.get(tenant_id, {}).values() if each.gone is None]

    def _forget(self, tenant_id: TenantId, scope_id: UUID) -> None:
        entries = self._entries.get(tenant_id, {})
        for entry_id in [entry_id for entry_id, kept in entries.items() if kept.scope == scope_id]:
            del entries[entry_id]

    def _drop(self, kept: _Kept) -> None:
        self._changes += 1
        kept.gone = kept.ends = self._clock.now()
        kept.change = self._changes

    def _is_stale(self, tenant_id: TenantId, kept: _Kept) -> bool:
        as_said = self.documents.get(tenant_id, set())
        return any(each.kb and each not in as_said for each in map(document_of, kept.new.entry.documents))

    def _news(self, tenant_id: TenantId, scope: _Scope | None, since: Since) -> News:
        position = str(self._changes + 1)
        if scope is None:
            return News(id=since.id, epoch=None, position=position)
        mine = [
            each
            for each in self._entries.get(tenant_id, {}).values()
            if each.scope == scope.id and each.change >= int(since.position)
        ]
        return News(
            id=scope.id,
            epoch=scope.epoch,
            position=position,
            entries=[each.new.entry for each in mine if each.gone is None],
            gone=[each.new.entry.id for each in mine if each.gone is not None and since.position != BEGINNING],
            seen=[seen for change, seen in scope.seen if change >= int(since.position)],
        )

    def _shown(self, tenant_id: TenantId, scope: _Scope) -> KeptScope:
        entries = sum(kept.scope == scope.id for kept in self._living(tenant_id))
        status = structs.replace(scope.status, entries=entries)
        return KeptScope(
            id=scope.id, facts=scope.facts, status=status, created_at=scope.created_at, used_at=scope.used_at
        )


def _names(evicted: Document, kept: _Kept) -> bool:
    return any(
        not each.kb and each.name == evicted.name and evicted.version in ("", each.version)
        for each in map(document_of, kept.new.entry.documents)
    )


class FakeDecider:
    """Answers with the nearest entry from a cosine of 0.9 on. `checks`: it lets the model be asked instead; `is_off`:
    it answers nothing."""

    def __init__(self, max_false_hits: float = 0.01) -> None:
        self.max_false_hits = max_false_hits
        self.entries: dict[UUID, Entry] = {}
        self.seen: list[Observation] = []
        self.asked: list[float | None] = []  # the bounds that requests wanted
        self.checks = self.is_off = False
        self.hits = self.checked = 0

    def add(self, entry: Entry) -> None:
        self.entries[entry.id] = entry

    def drop(self, ids: Sequence[UUID]) -> None:
        for entry_id in ids:
            self.entries.pop(entry_id, None)

    def decide(
        self,
        question: str,
        vector: Sequence[float],
        documents: frozenset[str] | None,
        dice: float,
        *,
        max_false_hits: float | None = None,
    ) -> Decision:
        self.asked.append(max_false_hits)
        if not self.entries:
            return Decision(kind="miss", why="empty", bound=self._bound)
        near, nearest = max(
            ((sum(a * b for a, b in zip(vector, entry.vector, strict=True)), entry) for entry in self.entries.values()),
            key=lambda found: found[0],
        )
        kind: Kind = "hit"
        why: Why = "ok"
        if near < 0.9:
            kind, why = "miss", "far"
        elif self.is_off:
            kind, why = "miss", "off"
        elif self.checks:
            kind, why = "check", "sampled"
        self.hits += kind == "hit"
        self.checked += kind == "check"
        return Decision(
            kind=kind,
            why=why,
            entry=nearest.id,
            probability=max(0.0, min(1.0, near)),
            bound=self._bound,
            score=near,
            rivals=(nearest.id,),
            rival_answers=(nearest.answer_id,),
        )

    def learn(self, decision: Decision, verdicts: Sequence[Verdict]) -> Learned:
        assert decision.kind != "hit"
        (verdict,) = verdicts
        seen = Observation(kind=decision.kind, score=decision.score, verdict=verdict)
        self.observe(seen)
        return Learned(observation=seen, answer_id=decision.rival_answers[0] if verdict == "same" else None)

    def observe(self, observation: Observation) -> None:
        self.seen.append(observation)
        self.is_off = self.is_off or (observation.kind == "check" and observation.verdict == "different")

    def status(self) -> ScopeStatus:
        return ScopeStatus(
            entries=len(self.entries),
            hits=self.hits,
            checks=self.checked,
            bound=self._bound,
            max_false_hits=self.max_false_hits,
            is_off=self.is_off,
            why_off="a check found another answer" if self.is_off else "",
        )

    @property
    def _bound(self) -> float:
        return 1.0 / (1 + len(self.seen))
