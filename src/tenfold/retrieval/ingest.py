"""Documents into a knowledge base: only what changed is cut and indexed, and it is found by its words once its batch
commits. Vectors come afterwards: see `embedding`.
"""

import asyncio
from collections.abc import AsyncIterator, Container, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

from tenfold.cache.grounds import DOCUMENTS_TOPIC
from tenfold.core.ids import TenantId
from tenfold.retrieval import analyzer, queries
from tenfold.retrieval.index.sets import tidy
from tenfold.retrieval.index.words import discard_words, renew_words
from tenfold.retrieval.lease import KnowledgeBase, Lease
from tenfold.retrieval.prepare import Prepared, cleaned, content_hash, indexed_words, prepare
from tenfold.retrieval.types import IngestReport, SourceDocument
from tenfold.store import Store, Transaction
from tenfold.store.changes import tell_change

_DOCUMENTS_PER_BATCH = 32


async def ingest(
    store: Store, tenant_id: TenantId, kb: str, documents: Iterable[SourceDocument], *, prune: bool = False
) -> IngestReport:
    """Puts documents in or changes them; with `prune` the documents that were not given are deleted. An id given twice
    counts as its last. May be repeated after a crash: what is in already costs one comparison.

    Raises InvalidRequest (a document cannot be stored), Conflict (another process is writing), StoreUnavailable."""
    added = changed = unchanged = 0
    given: dict[str, None] = {}
    async with _writing(store, tenant_id, kb) as lease:
        remaining = iter(documents)
        while batch := list(islice(remaining, _DOCUMENTS_PER_BATCH)):
            latest = {document.id: document for document in map(cleaned, batch)}
            given |= dict.fromkeys(latest)
            known = await _known_hashes(lease, list(latest))
            hashes = {name: content_hash(document) for name, document in latest.items()}
            fresh = [name for name in latest if known.get(name) != hashes[name]]
            if fresh:
                # In a thread: cutting a batch of long documents takes tens of milliseconds.
                prepared = await asyncio.to_thread(
                    prepare, [latest[name] for name in fresh], [hashes[name] for name in fresh]
                )
                await replace(lease, prepared, known)
            added += sum(name not in known for name in fresh)
            changed += sum(name in known for name in fresh)
            unchanged += len(latest) - len(fresh)
        deleted = await _delete_absent(lease, list(given)) if prune else 0
    return IngestReport(added=added, changed=changed, unchanged=unchanged, deleted=deleted)


async def delete(store: Store, tenant_id: TenantId, kb: str, document_ids: Sequence[str]) -> int:
    """Takes documents out with all that came of them; returns how many there were. Raises as `ingest` does."""
    async with _writing(store, tenant_id, kb) as lease:
        return await _delete(lease, document_ids)


# -- inside ------------------------------------------------------------------------------


@asynccontextmanager
async def _writing(store: Store, tenant_id: TenantId, kb: str) -> AsyncIterator[Lease]:
    """The knowledge base, made if need be, leased, and indexed by the current analyzer."""
    lease = Lease(store, tenant_id, kb, "write")
    await lease.create()
    async with store.tenant(tenant_id) as tx:
        found = await lease.hold(tx)
    try:
        if found.next_words_set is not None:
            await discard_words(lease)
        if found.analyzer != analyzer.VERSION:
            await renew_words(lease)
        await tidy(lease)
        yield lease
    finally:
        await lease.release()


async def _known_hashes(lease: Lease, ids: list[str]) -> dict[str, str]:
    async with lease.store.tenant(lease.tenant_id) as tx:
        kb = await lease.hold(tx)
        rows = await tx.fetch(queries.HASHES, lease.tenant_id, kb.id, ids)
    return {row["id"]: row["hash"] for row in rows}


async def replace(lease: Lease, prepared: Sequence[Prepared], known: Container[str]) -> None:
    """In one transaction the old chunks go and the new ones come: a search sees either. `known`: which were there."""
    tenant_id = lease.tenant_id
    async with lease.store.tenant(tenant_id) as tx:
        kb = await lease.hold(tx)
        old = [item.document.id for item in prepared if item.document.id in known]
        gone_chunks, gone_terms = await _delete_chunks(tx, tenant_id, kb, old)
        await tx.executemany(queries.PUT_DOCUMENTS, [(tenant_id, kb.id, *_document_row(item)) for item in prepared])
        new_chunks, new_terms = await _insert_chunks(tx, tenant_id, kb, prepared)
        await tx.execute(
            queries.COUNT_CHANGE,
            tenant_id,
            kb.id,
            len(prepared) - len(old),
            new_chunks - gone_chunks,
            new_terms - gone_terms,
            new_chunks,
        )
        await tell_change(tx, DOCUMENTS_TOPIC, tenant_id)


def _document_row(item: Prepared) -> tuple[Any, ...]:
    document = item.document
    return document.id, item.hash, document.title, document.url, document.metadata, document.chunking, document.text


async def _insert_chunks(
    tx: Transaction, tenant_id: TenantId, kb: KnowledgeBase, prepared: Sequence[Prepared]
) -> tuple[int, int]:
    """Returns the number of chunks and of their words."""
    chunks = [(item, ordinal, chunk) for item in prepared for ordinal, chunk in enumerate(item.chunks)]
    if not chunks:
        return 0, 0
    numbers = list(range(kb.next_chunk, kb.next_chunk + len(chunks)))
    await tx.execute(
        queries.INSERT_CHUNKS,
        tenant_id,
        kb.id,
        numbers,
        [item.document.id for item, _, _ in chunks],
        [ordinal for _, ordinal, _ in chunks],
        [chunk.heading for _, _, chunk in chunks],
        [chunk.text for _, _, chunk in chunks],
        [chunk.start for _, _, chunk in chunks],
        [chunk.end for _, _, chunk in chunks],
    )
    words = [indexed_words(item.document.title, chunk.heading, chunk.text) for item, _, chunk in chunks]
    return len(chunks), await tx.fetchval(queries.INSERT_POSTINGS, tenant_id, kb.words_set, numbers, words)


async def _delete_chunks(
    tx: Transaction, tenant_id: TenantId, kb: KnowledgeBase, document_ids: Sequence[str]
) -> tuple[int, int]:
    """Returns the number of chunks and of their words."""
    if not document_ids:
        return 0, 0
    rows = await tx.fetch(queries.OLD_CHUNKS, tenant_id, kb.id, list(document_ids))
    numbers = [row["number"] for row in rows]
    words = [indexed_words(row["title"], row["heading"], row["text"]) for row in rows]
    terms = await tx.fetchval(queries.DELETE_POSTINGS, tenant_id, kb.words_set, numbers, words)
    await tx.execute(queries.DELETE_VECTORS, tenant_id, kb.of_vectors, numbers)
    await tx.execute(queries.DELETE_CHUNKS, tenant_id, kb.id, numbers)
    return len(rows), terms


async def _delete(lease: Lease, document_ids: Sequence[str]) -> int:
    deleted = 0
    for start in range(0, len(document_ids), _DOCUMENTS_PER_BATCH):
        ids = list(document_ids[start : start + _DOCUMENTS_PER_BATCH])
        async with lease.store.tenant(lease.tenant_id) as tx:
            kb = await lease.hold(tx)
            chunks, terms = await _delete_chunks(tx, lease.tenant_id, kb, ids)
            tag = await tx.execute(queries.DELETE_DOCUMENTS, lease.tenant_id, kb.id, ids)
            documents = int(tag.removeprefix("DELETE "))
            if documents:
                await tx.execute(queries.COUNT_CHANGE, lease.tenant_id, kb.id, -documents, -chunks, -terms, 0)
                await tell_change(tx, DOCUMENTS_TOPIC, lease.tenant_id)
        deleted += documents
    return deleted


async def _delete_absent(lease: Lease, given: list[str]) -> int:
    async with lease.store.tenant(lease.tenant_id) as tx:
        kb = await lease.hold(tx)
        rows = await tx.fetch(queries.ABSENT, lease.tenant_id, kb.id, given)
    return await _delete(lease, [row["id"] for row in rows])
