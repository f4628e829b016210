"""Answers in this process's memory that rest on documents: kept only when the documents still are what the call said,
and let go of when they change.

A change is heard of after it was made. So that nothing slips in between, an answer is kept when the rows say that its
documents are current, and nothing was heard of the tenant since they were asked: whoever changes them after that is
heard after that, and finds the answer.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping
from math import inf
from time import perf_counter
from typing import Any

from tenfold.cache.exact import ExactCache
from tenfold.cache.grounds import SLACK_S, documents_of
from tenfold.cache.semantic.ports import DocumentRows
from tenfold.core.call import Call
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId

logger = logging.getLogger(__name__)

_MOST_WAITING = 1_000


class Grounded:
    """`forget` follows the topic of documents. `aclose` when no call is left."""

    def __init__(self, cache: ExactCache, rows: DocumentRows) -> None:
        self._cache = cache
        self._rows = rows
        self._heard: dict[TenantId, int] = {}
        self._heard_of_all = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.evicted = 0

    def keep(self, call: Call, documents: Collection[str], put: Callable[[], None]) -> None:
        """Behind the call: `put` puts the answer into the cache, when it may."""
        if len(self._tasks) < _MOST_WAITING:
            self._begin(self._keep(call, documents, put), "keep")

    def forget(self, tenant_id: TenantId | None) -> None:
        """Documents of this tenant, or of any, have changed."""
        if tenant_id is None:
            self._heard_of_all += 1
            for each in self._cache.grounded():
                self._begin(self._check(TenantId(each)), "check")
            return
        self._heard[tenant_id] = self._heard.get(tenant_id, 0) + 1
        if self._cache.documents(tenant_id):
            self._begin(self._check(tenant_id), "check")

    async def settled(self) -> None:
        """Returns when nothing is being kept or looked at."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- inside ------------------------------------------------------------------------------

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=f"inference.grounded.{name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _position(self, tenant_id: TenantId) -> tuple[int, int]:
        return self._heard.get(tenant_id, 0), self._heard_of_all

    async def _keep(self, call: Call, documents: Collection[str], put: Callable[[], None]) -> None:
        tenant_id = call.principal.tenant_id
        position = self._position(tenant_id)
        try:
            changed = await self._changed(tenant_id, documents)
        except StoreUnavailable:
            return
        before_s = perf_counter() - call.started + SLACK_S
        if self._position(tenant_id) == position and all(before_s < ago_s < inf for ago_s in changed.values()):
            put()

    async def _check(self, tenant_id: TenantId) -> None:
        documents = self._cache.documents(tenant_id)
        try:
            changed = await self._changed(tenant_id, documents)
        except StoreUnavailable as error:
            logger.info("answers that rest on documents are let go of, the database is away: %s", error.message)
            changed = dict.fromkeys(documents, 0.0)
        # By a version that is no more no answer is good, of whatever age; where a name was evicted, those are not that
        # came before.
        ages_s = {each: 0.0 if ago_s == inf else max(0.0, ago_s - SLACK_S) for each, ago_s in changed.items()}
        self.evicted += self._cache.evict(tenant_id, ages_s)

    async def _changed(self, tenant_id: TenantId, documents: Collection[str]) -> Mapping[str, float]:
        """By what the answers call them."""
        changed = await self._rows.changed(tenant_id, documents_of(documents))
        return {str(each): ago_s for each, ago_s in changed.items()}
