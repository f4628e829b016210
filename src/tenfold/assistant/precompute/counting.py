"""Counts what is asked, behind the answers: nobody waits for it, and what is not counted is not missed.

A question is in memory for some seconds; what of it is written down `QuestionRows.note` decides.
"""

import asyncio
import logging
from collections import defaultdict
from contextlib import suppress

from tenfold.assistant.precompute.ports import QuestionRows
from tenfold.assistant.precompute.types import Noted, asker_of, digest_of
from tenfold.assistant.types import AnswerEnd
from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.core.principal import SCOPE_INFERENCE, SCOPE_SUPPORT, Principal

logger = logging.getLogger(__name__)

FLUSH_S = 5.0
LAST_S = 2.0  # for the last flush, of a process that ends
_OF_PAGES = frozenset({SCOPE_SUPPORT, SCOPE_INFERENCE})  # with what the assistant asks models by on its behalf
MAX_BUFFERED = 5_000  # questions of at most 2,000 characters


class Counting:
    """Implements `assistant.ports.Listener`. Run `run` until the process stops."""

    def __init__(self, rows: QuestionRows, *, min_askers: int, most: int = MAX_BUFFERED) -> None:
        self._rows = rows
        self._min_askers = min_askers
        self._most = most
        self._buffered: list[Noted] = []

    def heard(self, principal: Principal, question: str, end_user: str | None, end: AnswerEnd) -> None:
        if end.outcome != "answered" or len(self._buffered) >= self._most:
            return
        digest = digest_of(principal.tenant_id, question)
        self._buffered.append(
            Noted(
                tenant_id=principal.tenant_id,
                digest=digest,
                asker=asker_of(digest, _who(principal, end_user)),
                text=question,
                from_cache=end.call is not None and end.call.cache == "hit",
            )
        )

    async def flush(self) -> None:
        """What the database does not take is kept for the next time. Raises StoreUnavailable."""
        waiting, self._buffered = self._buffered, []
        by_tenant: dict[TenantId, list[Noted]] = defaultdict(list)
        for one in waiting:
            by_tenant[one.tenant_id].append(one)
        try:
            while by_tenant:
                tenant_id = next(iter(by_tenant))
                await self._rows.note(tenant_id, by_tenant[tenant_id], min_askers=self._min_askers)
                del by_tenant[tenant_id]
        finally:
            left = [one for of_tenant in by_tenant.values() for one in of_tenant]
            self._buffered = (left + self._buffered)[: self._most]

    async def run(self) -> None:
        try:
            while True:
                await asyncio.sleep(FLUSH_S)
                await self._flush_or_say()
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_S):
                    await self._flush_or_say()

    async def _flush_or_say(self) -> None:
        try:
            await self.flush()
        except StoreUnavailable as error:
            logger.info("questions are not counted, the database is away: %s", error.message)
        except Exception:  # edge of a task: it has to go on
            logger.exception("questions are not counted")
            self._buffered.clear()


def _who(principal: Principal, end_user: str | None) -> str:
    """The end user, or else the person or the key. Who has a key that stands in a web page may say any name: to let
    nobody pass for five people, all its visitors are one."""
    of_page = SCOPE_SUPPORT in principal.scopes and principal.scopes <= _OF_PAGES
    if end_user is not None and not of_page:
        return f"end user {end_user}"
    return f"{principal.user_id} {principal.key_id}"
