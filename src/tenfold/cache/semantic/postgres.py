"""The semantic cache in Postgres."""

from array import array
from collections.abc import Mapping, Sequence
from datetime import datetime
from math import inf
from sys import byteorder
from typing import Any
from uuid import UUID

from msgspec import convert, to_builtins

from tenfold.cache.grounds import DOCUMENTS_TOPIC, SLACK_S, Document, documents_of
from tenfold.cache.semantic import queries as sql
from tenfold.cache.semantic.rows import (
    MAX_SCOPES,
    KeptAnswer,
    KeptScope,
    NewEntry,
    News,
    ScopeAt,
    ScopeFacts,
    Seen,
    Since,
    Told,
    Uses,
)
from tenfold.cache.semantic.types import Entry, Observation, ScopeStatus
from tenfold.core.ids import TenantId, uuid7
from tenfold.store import Row, Store, Transaction, tell_change, tenants_among

_TRIM_EVERY = 64  # entries kept by a process between two looks at how many there are
_PAGE = 250  # rows of a scope read at a time: 2 ms of the event loop


class PostgresSemanticRows:
    """See `ports.SemanticRows`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept = 0

    # -- scopes and what is new in them ----------------------------------------------------------

    async def open_scope(self, tenant_id: TenantId, facts: ScopeFacts) -> ScopeAt:
        async with self._store.tenant(tenant_id) as tx:
            row = await tx.fetchrow(sql.SCOPE, tenant_id, facts.digest)
            if row is None:
                shown = facts.dialect, facts.model, facts.stream, facts.max_false_hits
                await tx.execute(sql.ADD_SCOPE, tenant_id, facts.digest, uuid7(), *shown)
                row = await tx.fetchrow(sql.SCOPE, tenant_id, facts.digest)
                assert row is not None
                if await tx.fetch(sql.TOO_MANY_SCOPES, tenant_id, MAX_SCOPES):
                    await tx.execute(sql.REMOVING, tenant_id)
                    await _delete_scopes(tx, tenant_id, await tx.fetch(sql.TOO_MANY_SCOPES, tenant_id, MAX_SCOPES))
        return ScopeAt(row["id"], row["epoch"])

    async def news(self, tenant_id: TenantId, since: Sequence[Since]) -> list[News]:
        followers = [each.id for each in since], [each.position for each in since]
        entries: dict[UUID, list[Entry]] = {each.id: [] for each in since}
        gone: dict[UUID, list[UUID]] = {each.id: [] for each in since}
        seen: dict[UUID, list[Seen]] = {each.id: [] for each in since}
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            position = await tx.fetchval(sql.POSITION)
            epochs = {row["id"]: row["epoch"] for row in await tx.fetch(sql.EPOCHS, tenant_id, followers[0])}
            after = UUID(int=0)
            while rows := await tx.fetch(sql.NEW_ENTRIES, tenant_id, *followers, after, _PAGE):
                for row in rows:
                    if row["gone"]:
                        gone[row["scope_id"]].append(row["id"])
                    else:
                        entries[row["scope_id"]].append(_entry(row))
                after = rows[-1]["id"]
            after = UUID(int=0)
            while rows := await tx.fetch(sql.NEW_SEEN, tenant_id, *followers, after, _PAGE):
                for row in rows:
                    seen[row["scope_id"]].append(Seen(row["id"], convert(row["seen"], Observation)))
                after = rows[-1]["id"]
        return [
            News(
                id=each.id,
                epoch=epochs.get(each.id),
                position=position,
                entries=entries[each.id],
                gone=gone[each.id],
                seen=seen[each.id],
            )
            for each in since
        ]

    # -- keeping ---------------------------------------------------------------------------------

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
        async with self._store.tenant(tenant_id) as tx:
            good = new is not None and await _hold(tx, tenant_id, new)
            told = status.bound, status.is_off, status.why_off, status.max_false_hits
            if not await tx.fetchval(sql.SET_STATUS, tenant_id, at.id, at.epoch, *told):
                return False
            if seen is not None:
                await tx.execute(sql.ADD_SEEN, tenant_id, at.id, seen.id, to_builtins(seen.observation))
            if new is None or not good:
                return False
            await _add(tx, tenant_id, at, new)
        self._kept += 1
        if self._kept % _TRIM_EVERY == 0:
            await self._trim(tenant_id, at, max_entries)
        return True

    async def _trim(self, tenant_id: TenantId, at: ScopeAt, max_entries: int) -> None:
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(sql.REMOVING, tenant_id)
            await tx.execute(sql.TRIM, tenant_id, max_entries)
            await tx.execute(sql.TRIM_SEEN, tenant_id, at.id)

    async def changed(self, tenant_id: TenantId, documents: Sequence[Document]) -> Mapping[Document, float]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            as_said = {
                Document(*row) for row in await tx.fetch(sql.AS_SAID, tenant_id, *_columns(_of_bases(documents)))
            }
            changed = {each: inf for each in _of_bases(documents) if each not in as_said}
            for row in await tx.fetch(sql.EVICTED, tenant_id, *_columns(_of_caller(documents))[1:]):
                changed[Document("", row["name"], row["version"])] = row["ago_s"]
        return changed

    # -- answering -------------------------------------------------------------------------------

    async def answer(self, tenant_id: TenantId, at: ScopeAt, entry_id: UUID) -> KeptAnswer | None:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            row = await tx.fetchrow(sql.ANSWER, tenant_id, entry_id, at.id, at.epoch)
        if row is None:
            return None
        return KeptAnswer(
            answer_id=row["answer_id"],
            body=row["body"],
            told=convert(row["told"], Told),
            age_s=max(0.0, row["age_s"]),
            documents=frozenset(row["documents"]),
        )

    async def texts(self, tenant_id: TenantId, entry_ids: Sequence[UUID]) -> Mapping[UUID, str]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return {row["id"]: row["answer"] for row in await tx.fetch(sql.TEXTS, tenant_id, entry_ids)}

    # -- for people ------------------------------------------------------------------------------

    async def count(self, tenant_id: TenantId, uses: Sequence[Uses]) -> None:
        uses = sorted(uses, key=lambda each: each.at.id)
        ids, epochs = [each.at.id for each in uses], [each.at.epoch for each in uses]
        counts = [each.hits for each in uses], [each.checks for each in uses]
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(sql.COUNT, tenant_id, ids, epochs, *counts)

    async def page(self, tenant_id: TenantId, *, before: UUID | None, limit: int) -> list[KeptScope]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return [_scope(row) for row in await tx.fetch(sql.PAGE_OF_SCOPES, tenant_id, before, limit)]

    async def show(self, tenant_id: TenantId, scope_id: UUID) -> KeptScope | None:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            row = await tx.fetchrow(sql.ONE_SCOPE, tenant_id, scope_id)
        return None if row is None else _scope(row)

    async def reset(self, tenant_id: TenantId, scope_id: UUID) -> bool:
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(sql.REMOVING, tenant_id)
            if not await tx.fetchval(sql.RESET, tenant_id, scope_id):
                return False
            for delete in (sql.DELETE_GROUNDS, sql.DELETE_ENTRIES, sql.DELETE_SEEN):
                await tx.execute(delete, tenant_id, [scope_id])
        return True

    # -- documents that changed ------------------------------------------------------------------

    async def evict(self, tenant_id: TenantId, documents: Sequence[Document]) -> int:
        names = _columns(sorted(set(documents)))[1:]
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(sql.REMOVING, tenant_id)
            await tx.execute(sql.TELL_EVICTED, tenant_id, *names)
            dropped: int = await tx.fetchval(sql.DROP_NAMED, tenant_id, *names)
            await tell_change(tx, DOCUMENTS_TOPIC, tenant_id)
        return dropped

    async def drop_stale(self, tenant_id: TenantId) -> int:
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(sql.REMOVING, tenant_id)
            dropped: int = await tx.fetchval(sql.DROP_STALE, tenant_id)
        return dropped

    async def tenants_expired(self, before: datetime) -> list[TenantId]:
        return await tenants_among(self._store, sql.TENANTS_EXPIRED, before)

    async def expire(self, tenant_id: TenantId, before: datetime, *, limit: int) -> int:
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(sql.REMOVING, tenant_id)
            old = [row["id"] for row in await tx.fetch(sql.EXPIRE_ENTRIES, tenant_id, limit)]
            await tx.execute(sql.DELETE_ENTRY_ROWS, tenant_id, old)
            unused = await tx.fetch(sql.UNUSED_SCOPES, tenant_id, before, limit)
            await _delete_scopes(tx, tenant_id, unused)
            evictions: int = await tx.fetchval(sql.EXPIRE_EVICTIONS, tenant_id, before)
        return len(old) + len(unused) + evictions


async def _hold(tx: Transaction, tenant_id: TenantId, new: NewEntry) -> bool:
    """Whether all documents are what they were, and stay so until the transaction ends."""
    documents = documents_of(new.entry.documents)
    of_bases, of_caller = _of_bases(documents), _of_caller(documents)
    if of_bases and len(await tx.fetch(sql.HOLD, tenant_id, *_columns(of_bases))) < len(of_bases):
        return False
    if of_caller:
        await tx.execute(sql.KEEPING, tenant_id)
        evicted = await tx.fetch(sql.EVICTED, tenant_id, *_columns(of_caller)[1:])
        return all(new.asked_s_ago + SLACK_S < row["ago_s"] < inf for row in evicted)
    return True


async def _add(tx: Transaction, tenant_id: TenantId, at: ScopeAt, new: NewEntry) -> None:
    entry = new.entry
    what = entry.question, _packed(entry.vector), entry.answer_id, new.text, new.body, to_builtins(new.told)
    await tx.execute(sql.ADD_ENTRY, tenant_id, entry.id, at.id, *what, new.ttl_s)
    if entry.documents:
        await tx.execute(sql.ADD_GROUNDS, tenant_id, entry.id, *_columns(documents_of(entry.documents)))


async def _delete_scopes(tx: Transaction, tenant_id: TenantId, scopes: Sequence[Row]) -> None:
    if scopes:
        ids = [row["id"] for row in scopes]
        for delete in (sql.DELETE_GROUNDS, sql.DELETE_ENTRIES, sql.DELETE_SEEN, sql.DELETE_SCOPES):
            await tx.execute(delete, tenant_id, ids)


def _of_bases(documents: Sequence[Document]) -> list[Document]:
    return [each for each in documents if each.kb]


def _of_caller(documents: Sequence[Document]) -> list[Document]:
    return [each for each in documents if not each.kb]


def _columns(documents: Sequence[Document]) -> tuple[list[str], list[str], list[str]]:
    return [d.kb for d in documents], [d.name for d in documents], [d.version for d in documents]


def _packed(vector: Sequence[float]) -> bytes:
    return _little(array("f", vector)).tobytes()


def _unpacked(block: bytes) -> Sequence[float]:
    floats = array("f")
    floats.frombytes(block)
    return _little(floats)


def _little(floats: "array[float]") -> "array[float]":
    if byteorder == "big":
        floats.byteswap()
    return floats


def _entry(row: Row) -> Entry:
    return Entry(
        id=row["id"],
        question=row["question"],
        vector=_unpacked(row["vector"]),
        answer_id=row["answer_id"],
        documents=frozenset(row["documents"]),
    )


def _scope(row: Row) -> KeptScope:
    facts: dict[str, Any] = {name: row[name] for name in ScopeFacts.__struct_fields__}
    return KeptScope(
        id=row["id"],
        facts=ScopeFacts(**facts),
        status=ScopeStatus(
            entries=row["entries"],
            hits=row["hits"],
            checks=row["checks"],
            bound=row["bound"],
            max_false_hits=row["max_false_hits"],
            is_off=row["is_off"],
            why_off=row["why_off"],
        ),
        created_at=row["created_at"],
        used_at=row["used_at"],
    )
