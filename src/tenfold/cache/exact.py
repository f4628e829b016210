"""The exact cache: answers to calls that are the same, byte for byte or after normalising, in this process's memory.

Keys hold the tenant, so an answer never crosses tenants. It refuses to know what a call is: it is given keys. Answers
may be kept for longer than they are good, for whoever asks for a stale one by `get_stale`; `get` never returns those.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from time import monotonic
from uuid import UUID

from msgspec import Struct

from tenfold.core.call import Step
from tenfold.core.usage import Usage

_OVERHEAD = 512  # bytes an entry costs beside its body and key: measured about 470 on CPython 3.11


class Answer(Struct, frozen=True, kw_only=True):
    """What was sent to the client, ready to be sent again."""

    body: bytes
    stream: bool
    usage: Usage | None
    provider: str
    model: str  # as the client named it
    upstream_model: str
    target_model: str | None = None  # of a route's models the one that said it
    served_by: str  # reply header lines that name provider and model
    on_request: bool  # kept because the request asked for it, not by the default policy
    stored_s: float  # on the cache's clock
    degraded: tuple[Step, ...] = ()  # what it took to get it: the hit says so, too
    stale_only: bool = False  # kept for the day when nobody answers, and for nothing else
    documents: frozenset[str] = frozenset()  # that it rests on: see core.call.Grounds


class ExactCache:
    """Least recently used, bounded in bytes. Not thread-safe: one event loop owns it."""

    def __init__(
        self,
        *,
        max_bytes: int,
        max_entry_bytes: int,
        ttl_s: float,
        stale_s: float = 0.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`ttl_s`: so long `get` returns an answer; `stale_s`: so much longer `get_stale` does."""
        self._entries: OrderedDict[tuple[UUID, Hashable], tuple[Answer, int]] = OrderedDict()
        self._grounded: dict[UUID, set[tuple[UUID, Hashable]]] = {}  # those of each tenant that rest on documents
        self._max_bytes = max_bytes
        self.max_entry_bytes = max_entry_bytes
        self._ttl_s = ttl_s
        self._keep_s = ttl_s + stale_s
        self._clock = clock
        self.bytes = 0
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, tenant_id: UUID, key: Hashable, max_age_s: float | None = None) -> tuple[Answer, float] | None:
        """The answer and its age in seconds; None when there is none young enough. Counts hits; a call may be looked up
        under more than one key, so whoever asks counts its `misses`."""
        found = self._entries.get((tenant_id, key))
        if found is None:
            return None
        answer = found[0]
        age_s = self._clock() - answer.stored_s
        if age_s > self._ttl_s or answer.stale_only:
            if age_s > self._keep_s:
                self._drop((tenant_id, key))
            return None
        if max_age_s is not None and age_s > max_age_s:
            return None
        self._entries.move_to_end((tenant_id, key))
        self.hits += 1
        return answer, age_s

    def get_stale(self, tenant_id: UUID, key: Hashable, max_age_s: float) -> tuple[Answer, float] | None:
        """The answer and its age in seconds, good or no longer, when it is at most `max_age_s` old. Counts nothing."""
        found = self._entries.get((tenant_id, key))
        if found is None:
            return None
        answer = found[0]
        age_s = self._clock() - answer.stored_s
        if age_s > self._keep_s:
            self._drop((tenant_id, key))
            return None
        if age_s > max_age_s:
            return None
        self._entries.move_to_end((tenant_id, key))
        return answer, age_s

    def put(self, tenant_id: UUID, key: Hashable, answer: Answer, key_bytes: int = 0) -> None:
        """Keep an answer; one larger than the entry cap is not kept, and one that is `stale_only` does not take the
        place of one that `get` returns. `key_bytes`: what the key itself holds."""
        size = len(answer.body) + key_bytes + _OVERHEAD
        if len(answer.body) > self.max_entry_bytes or size > self._max_bytes:
            return
        at = (tenant_id, key)
        if at in self._entries:
            if answer.stale_only and self._is_good(self._entries[at][0]):
                return
            self._drop(at)
        self._entries[at] = answer, size
        self.bytes += size
        if answer.documents:
            self._grounded.setdefault(tenant_id, set()).add(at)
        while self.bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def now(self) -> float:
        """The clock answers are stamped with, in seconds."""
        return self._clock()

    def forget(self, tenant_id: UUID) -> int:
        """Drop everything of one tenant; returns how many answers."""
        mine = [at for at in self._entries if at[0] == tenant_id]
        for at in mine:
            self._drop(at)
        return len(mine)

    def grounded(self) -> list[UUID]:
        """The tenants of whose answers some rest on documents."""
        return list(self._grounded)

    def documents(self, tenant_id: UUID) -> frozenset[str]:
        """All that answers of this tenant rest on."""
        mine = self._grounded.get(tenant_id, ())
        return frozenset(document for at in mine for document in self._entries[at][0].documents)

    def evict(self, tenant_id: UUID, ages_s: Mapping[str, float]) -> int:
        """Drop the answers that rest on one of these documents and are older than the seconds beside it; returns how
        many."""
        now = self._clock()
        gone = [
            at
            for at in self._grounded.get(tenant_id, ())
            for answer in (self._entries[at][0],)
            if any(now - answer.stored_s >= ages_s[each] for each in answer.documents if each in ages_s)
        ]
        for at in gone:
            self._drop(at)
        return len(gone)

    def _is_good(self, answer: Answer) -> bool:
        return not answer.stale_only and self._clock() - answer.stored_s <= self._ttl_s

    def _drop(self, at: tuple[UUID, Hashable]) -> None:
        answer, size = self._entries.pop(at)
        self.bytes -= size
        if answer.documents:
            mine = self._grounded[at[0]]
            mine.discard(at)
            if not mine:
                del self._grounded[at[0]]
