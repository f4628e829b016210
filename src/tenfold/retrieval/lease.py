"""One process at a time changes the documents of a knowledge base, one fills in its vectors, and one makes those of
another embedder. A lease has an expiry,
so that it outlives no dead process for long.
"""

from typing import Final, Literal
from uuid import UUID, uuid4

from msgspec import Struct

from tenfold.core.errors import Conflict
from tenfold.core.ids import TenantId, uuid7
from tenfold.retrieval import analyzer, queries
from tenfold.store import Store, Transaction

LEASE_S: Final = 60.0  # longer than the longest batch; a process that died is waited for no longer

Purpose = Literal["write", "embed", "reembed"]

_DOES: Final = {"write": "changes", "embed": "embeds", "reembed": "makes new vectors of"}


class KnowledgeBase(Struct, frozen=True, kw_only=True):
    """The row as it stands inside the transaction that locked it. Words and vectors stand under the ids of sets."""

    id: UUID
    analyzer: int
    next_chunk: int
    chunk_count: int
    embedder: str | None  # fingerprint of what made `vectors_set`
    embedded: bool  # no chunk lacks its vector there
    words_set: UUID
    vectors_set: UUID
    next_words_set: UUID | None  # in the making
    next_vectors_set: UUID | None
    next_embedder: str | None
    discarded_words: list[UUID]  # sets whose rows are to be deleted
    discarded_vectors: list[UUID]
    nobody_reembeds: bool

    @property
    def of_vectors(self) -> list[UUID]:
        """The sets in which a chunk may have a vector."""
        return [self.vectors_set] if self.next_vectors_set is None else [self.vectors_set, self.next_vectors_set]


class Lease:
    """Every transaction that writes calls `hold` first: it extends the lease, and locks the row until the commit."""

    def __init__(self, store: Store, tenant_id: TenantId, name: str, purpose: Purpose) -> None:
        self.store = store
        self.tenant_id = tenant_id
        self.name = name
        self._holder = uuid4()
        self._take = queries.TAKE_LEASE.format(purpose=purpose)
        self._drop = queries.DROP_LEASE.format(purpose=purpose)
        self._busy = f"Another process {_DOES[purpose]} the knowledge base '{name}' at the moment."

    async def hold(self, tx: Transaction) -> KnowledgeBase:
        """Raises Conflict: another process holds it, or took it over."""
        row = await tx.fetchrow(self._take, self.tenant_id, self.name, self._holder, LEASE_S)
        if row is None:
            raise Conflict(self._busy, retry_after_s=LEASE_S)
        return KnowledgeBase(**{**row, "embedded": bool(row["embedded"])})

    async def create(self) -> None:
        """Makes the knowledge base when it does not exist yet."""
        async with self.store.tenant(self.tenant_id) as tx:
            await tx.execute(queries.CREATE_KB, self.tenant_id, self.name, uuid7(), analyzer.VERSION)

    async def release(self) -> None:
        async with self.store.tenant(self.tenant_id) as tx:
            await tx.execute(self._drop, self.tenant_id, self.name, self._holder)
