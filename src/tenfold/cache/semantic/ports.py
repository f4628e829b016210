"""What the semantic cache needs of others: rows, and who decides in a scope."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from tenfold.cache.grounds import Document
from tenfold.cache.semantic.rows import (
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
from tenfold.cache.semantic.types import Decision, Entry, Learned, Observation, ScopeStatus, Verdict
from tenfold.core.ids import TenantId


class Decider(Protocol):
    """One scope in one process. See tenfold.cache.semantic.scope.Scope."""

    def add(self, entry: Entry) -> None: ...

    def drop(self, ids: Sequence[UUID]) -> None: ...

    def decide(
        self,
        question: str,
        vector: Sequence[float],
        documents: frozenset[str] | None,
        dice: float,
        *,
        max_false_hits: float | None = None,
    ) -> Decision: ...

    def learn(self, decision: Decision, verdicts: Sequence[Verdict]) -> Learned:
        """What came of a decision that was no hit: how the fresh answer compares with those of its rivals."""
        ...

    def observe(self, observation: Observation) -> None:
        """What another process has learnt."""
        ...

    def status(self) -> ScopeStatus: ...


class DocumentRows(Protocol):
    """Which documents are still what they were."""

    async def changed(self, tenant_id: TenantId, documents: Sequence[Document]) -> Mapping[Document, float]:
        """Those that are not, and for how many seconds: infinity where this version is no more, less where all that was
        known by the name of a caller's own was evicted. Raises StoreUnavailable."""
        ...


class SemanticRows(DocumentRows, Protocol):
    """Every method raises StoreUnavailable."""

    async def open_scope(self, tenant_id: TenantId, facts: ScopeFacts) -> ScopeAt:
        """The scope of this digest, made when there is none; the tenant's least recently used gives way to it where
        there would be more than MAX_SCOPES."""
        ...

    async def news(self, tenant_id: TenantId, since: Sequence[Since]) -> list[News]:
        """Of each of these scopes. From the beginning: all that is in it, and nothing that has gone."""
        ...

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
        """Whether the entry was kept: not when a document that it rests on is no longer what it was, or has changed
        since the call began, and not when the scope was reset. `max_entries`: of the tenant in all its scopes; the
        oldest give way, sooner or later."""
        ...

    async def answer(self, tenant_id: TenantId, at: ScopeAt, entry_id: UUID) -> KeptAnswer | None:
        """None: it is gone, past its time, or rests on what has changed."""
        ...

    async def texts(self, tenant_id: TenantId, entry_ids: Sequence[UUID]) -> Mapping[UUID, str]:
        """The answers of those that are not gone, for comparing."""
        ...

    async def count(self, tenant_id: TenantId, uses: Sequence[Uses]) -> None: ...

    async def page(self, tenant_id: TenantId, *, before: UUID | None, limit: int) -> list[KeptScope]:
        """The newest first."""
        ...

    async def show(self, tenant_id: TenantId, scope_id: UUID) -> KeptScope | None: ...

    async def reset(self, tenant_id: TenantId, scope_id: UUID) -> bool:
        """Nothing is kept in it any more, and nothing known of it. False: there is none."""
        ...

    async def evict(self, tenant_id: TenantId, documents: Sequence[Document]) -> int:
        """What rests on these documents of the caller's own goes: how many entries. Nothing by a version that was named
        is kept from now on; where none was (it is empty), nothing of calls that have begun. Told to every process."""
        ...

    async def drop_stale(self, tenant_id: TenantId) -> int:
        """Entries go that rest on documents of knowledge bases that have changed: how many."""
        ...

    async def tenants_expired(self, before: datetime) -> list[TenantId]: ...

    async def expire(self, tenant_id: TenantId, before: datetime, *, limit: int) -> int:
        """Entries past their time, scopes that nobody used and evictions made since before then: how many."""
        ...
