"""The scopes that this process has in memory: read when they are asked for, followed while they are used, let go of
when there is no room. What they know of entries is enough to decide; an answer is read from its row, which is also what
makes sure that it still holds.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from uuid import UUID

from tenfold.cache.semantic.ports import Decider, SemanticRows
from tenfold.cache.semantic.rows import BEGINNING, News, ScopeAt, ScopeFacts, Seen, Since, Uses
from tenfold.cache.semantic.types import Entry
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId

logger = logging.getLogger(__name__)

FOLLOW_S = 1.0
"""How long another process's entries and observations take to get here, about."""

_QUIET_S = 600.0  # a scope that nobody asked for so long is followed no longer, and read anew when it is
_ENTRY_BYTES = 3_000  # in memory: vector, question and their places
_SCOPE_BYTES = 20_000
_MOST_ONCE = 10_000


class LiveScope:
    """One scope of one tenant. Not `ready`: it is still being read, or could not be."""

    def __init__(self, tenant_id: TenantId, facts: ScopeFacts) -> None:
        self.tenant_id = tenant_id
        self.facts = facts
        self.at: ScopeAt | None = None
        self.decider: Decider | None = None
        self.used_s = 0.0  # on the loop's clock
        self.hits = self.checks = 0  # since they were told to the rows
        self._position = BEGINNING
        self._entries: set[UUID] = set()
        self._seen: set[UUID] = set()

    @property
    def ready(self) -> bool:
        return self.decider is not None

    @property
    def since(self) -> Since:
        assert self.at is not None
        return Since(self.at.id, self._position)

    @property
    def bytes(self) -> int:
        return _SCOPE_BYTES + _ENTRY_BYTES * len(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def read(self, at: ScopeAt, decider: Decider, news: News) -> None:
        """All there is of it, which the decider knows: from here on it is ready."""
        self.at, self.decider, self._position = at, decider, news.position
        self._entries = {each.id for each in news.entries}
        self._seen = {each.id for each in news.seen}

    def take(self, news: News) -> None:
        """What others did; what this process did is among it and known."""
        for entry in news.entries:
            self.add(entry)
        self.drop(news.gone)
        for each in news.seen:
            self.learnt(each, here=False)
        self._position = news.position

    def add(self, entry: Entry) -> None:
        assert self.decider is not None
        if entry.id not in self._entries:
            self._entries.add(entry.id)
            self.decider.add(entry)

    def drop(self, ids: Sequence[UUID]) -> None:
        assert self.decider is not None
        mine = [each for each in ids if each in self._entries]
        self._entries.difference_update(mine)
        if mine:
            self.decider.drop(mine)

    def learnt(self, seen: Seen, *, here: bool = True) -> None:
        """`here`: the decider has learnt it already."""
        assert self.decider is not None
        if seen.id not in self._seen:
            self._seen.add(seen.id)
            if not here:
                self.decider.observe(seen.observation)


class Scopes:
    """`make` makes the decider of an empty scope. `max_bytes` bounds the memory, about; `max_entries` the rows of a
    tenant. Run `follow` until the process stops; `aclose` after it."""

    def __init__(
        self, rows: SemanticRows, make: Callable[[], Decider], *, max_bytes: int, max_entries: int, batch: int = 500
    ) -> None:
        self.rows = rows
        self.max_entries = max_entries
        self._make = make
        self._max_bytes = max_bytes
        self._batch = batch
        self._live: OrderedDict[tuple[TenantId, bytes], LiveScope] = OrderedDict()
        self._once: OrderedDict[tuple[TenantId, bytes], None] = OrderedDict()  # what was asked for once
        self._loading: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._live)

    @property
    def entries(self) -> int:
        return sum(len(each) for each in self._live.values())

    def find(self, tenant_id: TenantId, facts: ScopeFacts, *, wanted: bool = True) -> LiveScope | None:
        """At once: one that is not in memory yet is not `ready`, and is read meanwhile. None where it was never asked
        for before, unless it is `wanted`: prompts that hold the time of day would make a scope of each call."""
        key = tenant_id, facts.digest
        live = self._live.get(key)
        if live is None:
            if not wanted and key not in self._once:
                self._once[key] = None
                if len(self._once) > _MOST_ONCE:
                    self._once.popitem(last=False)
                return None
            live = self._live[key] = LiveScope(tenant_id, facts)
            task = asyncio.create_task(self._read(live), name="cache.semantic.read")
            self._loading.add(task)
            task.add_done_callback(self._loading.discard)
        self._live.move_to_end(key)
        live.used_s = asyncio.get_running_loop().time()
        return live

    def is_live(self, live: LiveScope) -> bool:
        """Whether it is the one in memory still: not let go of, nor reset."""
        return self._live.get((live.tenant_id, live.facts.digest)) is live

    async def follow(self) -> None:
        while True:
            await asyncio.sleep(FOLLOW_S)
            await self.catch_up()

    async def catch_up(self) -> None:
        """Once: what is new elsewhere is known here, and what was counted here is told. What fails is done the next
        time."""
        by_tenant: dict[TenantId, list[LiveScope]] = {}
        now = asyncio.get_running_loop().time()
        for live in list(self._live.values()):
            if now - live.used_s > _QUIET_S:
                self._forget(live)
            elif live.ready:
                by_tenant.setdefault(live.tenant_id, []).append(live)
        for tenant_id, scopes in by_tenant.items():
            try:
                await self._tell(tenant_id, scopes)
                for live, news in zip(
                    scopes, await self.rows.news(tenant_id, [live.since for live in scopes]), strict=True
                ):
                    self._take(live, news)
            except StoreUnavailable as error:
                logger.info("the semantic cache is not followed, the database is away: %s", error.message)
        self._make_room()

    async def settled(self) -> None:
        """Returns when every scope that was asked for has been read, or could not be."""
        while self._loading:
            await asyncio.wait(self._loading)

    async def aclose(self) -> None:
        for task in self._loading:
            task.cancel()
        await asyncio.gather(*self._loading, return_exceptions=True)

    # -- inside ------------------------------------------------------------------------------

    async def _read(self, live: LiveScope) -> None:
        try:
            at = await self.rows.open_scope(live.tenant_id, live.facts)
            (news,) = await self.rows.news(live.tenant_id, [Since(at.id, BEGINNING)])
        except StoreUnavailable as error:
            logger.info("a scope of the semantic cache cannot be read, the database is away: %s", error.message)
            self._forget(live)  # and asked for again, read again
            return
        if news.epoch is None:
            self._forget(live)
            return
        decider, seen = self._make(), list(news.seen)
        for start in range(0, len(news.entries), self._batch):
            for entry in news.entries[start : start + self._batch]:
                decider.add(entry)
            await asyncio.sleep(0)  # ten thousand entries are not added in one go
        for start in range(0, len(seen), self._batch):
            for each in seen[start : start + self._batch]:
                decider.observe(each.observation)
            await asyncio.sleep(0)
        live.read(ScopeAt(at.id, news.epoch), decider, news)
        self._make_room()

    def _take(self, live: LiveScope, news: News) -> None:
        assert live.at is not None
        if news.epoch == live.at.epoch:
            live.take(news)
        else:
            self._forget(live)

    async def _tell(self, tenant_id: TenantId, scopes: list[LiveScope]) -> None:
        uses = [Uses(live.at, live.hits, live.checks) for live in scopes if live.at and (live.hits or live.checks)]
        if not uses:
            return
        counted = [(live, live.hits, live.checks) for live in scopes]
        await self.rows.count(tenant_id, uses)
        for live, hits, checks in counted:
            live.hits -= hits
            live.checks -= checks

    def _make_room(self) -> None:
        """The least recently used go, but not the last one."""
        size = sum(live.bytes for live in self._live.values())
        for live in list(self._live.values())[:-1]:
            if size <= self._max_bytes:
                return
            size -= live.bytes
            self._forget(live)

    def _forget(self, live: LiveScope) -> None:
        if self.is_live(live):
            del self._live[live.tenant_id, live.facts.digest]
