"""API key to Principal, in memory. A known key costs one hash and one look-up; it is refused within a second of its
revocation on every process, and at once when the directory has not been heard of for too long.
"""

import asyncio
import logging
from collections.abc import Awaitable
from types import TracebackType
from typing import Self, TypeVar

from tenfold.access.ports import ChangeHint, KeyDirectory
from tenfold.access.secret_text import MAX_SECRET_CHARS, digest_of, is_mistyped
from tenfold.access.types import KeyRecord
from tenfold.core.clock import Clock
from tenfold.core.errors import StoreUnavailable, Unauthenticated
from tenfold.core.principal import Principal

logger = logging.getLogger(__name__)

T = TypeVar("T")

POLL_S = 0.4  # with the query's own time below a second, the promise for revocations
MIN_POLL_GAP_S = 0.05  # a flood of hints costs at most 20 polls a second
QUERY_TIMEOUT_S = 5.0
MAX_STALE_S = 300.0  # known keys work this long without the database
UNKNOWN_TTL_S = 5.0
MAX_KNOWN = 100_000
MAX_UNKNOWN = 20_000
MAX_WAITING = 10_000
BATCH = 500

_REFUSAL = "The API key is missing, unknown, expired or revoked."


class PollingOnly:
    """The hint of a database that sends none: every wait takes its whole time."""

    async def wait(self, timeout_s: float) -> None:
        await asyncio.sleep(timeout_s)


class Keyring:
    """`authenticate(key) or await load(key)`, between entering and leaving its context.

    Digests are looked up, never secrets compared, so the time tells nothing of how near a guess was. Keys not known
    here are asked for in batches, one query at a time, and remembered for a short time when they do not exist:
    wrong keys, however many, cost the database one query in flight.
    """

    def __init__(
        self,
        directory: KeyDirectory,
        clock: Clock,
        hint: ChangeHint | None = None,
        *,
        poll_s: float = POLL_S,
        max_stale_s: float = MAX_STALE_S,
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._hint = hint or PollingOnly()
        self._poll_s = poll_s
        self._max_stale_s = max_stale_s
        self._known: dict[bytes, KeyRecord] = {}
        self._principals: dict[bytes, Principal] = {}
        self._unknown_until_s: dict[bytes, float] = {}
        self._waiting: dict[bytes, asyncio.Future[KeyRecord | None]] = {}
        self._asked: set[bytes] = set()  # digests in the query under way that have changed meanwhile are taken out
        self._wanted = asyncio.Event()
        self._position: int | None = None
        self._fresh_at_s = clock.monotonic_s()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self.refresh()
        self._tasks = [
            asyncio.create_task(self._follow(), name="access.keyring.follow"),
            asyncio.create_task(self._answer(), name="access.keyring.answer"),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._fail_waiting(list(self._waiting))

    def authenticate(self, presented: str | bytes) -> Principal | None:
        """The principal of a key known here; None when it must be loaded first.
        Raises Unauthenticated (expired), StoreUnavailable (nothing heard of the directory for `max_stale_s`)."""
        digest = digest_of(presented)
        principal = self._principals.get(digest)
        if principal is None:
            return None
        if self._clock.monotonic_s() - self._fresh_at_s > self._max_stale_s:
            raise StoreUnavailable("API keys cannot be checked at the moment.", retry_after_s=1)
        expires_at = self._known[digest].expires_at
        if expires_at is not None and expires_at <= self._clock.now():
            raise Unauthenticated(_REFUSAL)
        return principal

    async def load(self, presented: str | bytes) -> Principal:
        """The principal of a key not known here yet. Raises Unauthenticated, StoreUnavailable."""
        text = presented.decode("latin-1") if isinstance(presented, bytes) else presented
        if not text or len(text) > MAX_SECRET_CHARS or is_mistyped(text):
            raise Unauthenticated(_REFUSAL)
        digest = digest_of(presented)
        until_s = self._unknown_until_s.get(digest)
        if until_s is None or until_s <= self._clock.monotonic_s():
            await self._ask(digest)
        principal = self.authenticate(presented)
        if principal is None:
            raise Unauthenticated(_REFUSAL)
        return principal

    async def refresh(self) -> None:
        """Reads the change feed once; what the background task does on its own. Raises StoreUnavailable."""
        started_s = self._clock.monotonic_s()
        changes = await _in_time(self._directory.changed_keys(self._position))
        if self._position is not None and changes.position < self._position:
            logger.warning("the key directory began anew: all known keys are read again")
            self._forget_all()
        for record in changes.records:
            self._apply(record)
        self._position = changes.position
        self._fresh_at_s = started_s

    # -- the feed ----------------------------------------------------------------------------

    async def _follow(self) -> None:
        reachable = True
        while True:
            await asyncio.sleep(min(MIN_POLL_GAP_S, self._poll_s))
            await self._hint.wait(max(0.0, self._poll_s - MIN_POLL_GAP_S))
            try:
                await self.refresh()
            except Exception as error:  # whatever it is, revocations must be followed again as soon as they can be
                if reachable or not isinstance(error, StoreUnavailable):
                    logger.warning(
                        "the key directory is away, known keys work for %d s", self._max_stale_s, exc_info=error
                    )
                reachable = False
            else:
                if not reachable:
                    logger.info("the key directory is back")
                reachable = True

    def _apply(self, record: KeyRecord) -> None:
        self._unknown_until_s.pop(record.digest, None)
        self._asked.discard(record.digest)
        if record.digest in self._known:
            self._remember(record)

    def _remember(self, record: KeyRecord) -> None:
        if record.revoked_at is not None:
            self._known.pop(record.digest, None)
            self._principals.pop(record.digest, None)
            return
        self._known[record.digest] = record
        self._principals[record.digest] = Principal(
            tenant_id=record.tenant_id,
            tenant_slug=record.tenant_slug,
            key_id=record.key_id,
            scopes=record.scopes,
            plan=record.plan,
        )
        if len(self._known) > MAX_KNOWN:  # the one known longest is read again when it comes back
            oldest = next(iter(self._known))
            del self._known[oldest], self._principals[oldest]

    def _forget_all(self) -> None:
        self._known.clear()
        self._principals.clear()
        self._unknown_until_s.clear()
        self._asked.clear()

    # -- keys not known here -----------------------------------------------------------------

    async def _ask(self, digest: bytes) -> None:
        waiting = self._waiting.get(digest)
        if waiting is None:
            if not self._tasks or len(self._waiting) >= MAX_WAITING:
                raise StoreUnavailable("API keys cannot be checked at the moment.", retry_after_s=1)
            waiting = self._waiting[digest] = asyncio.get_running_loop().create_future()
            self._wanted.set()
        await asyncio.shield(waiting)  # others may wait for the same answer

    async def _answer(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while batch := list(self._waiting)[:BATCH]:
                try:
                    await self._answer_batch(batch)
                except Exception as error:  # whatever it is, nobody may wait forever
                    if not isinstance(error, StoreUnavailable):
                        logger.exception("keys could not be looked up")
                    self._fail_waiting(batch)

    async def _answer_batch(self, batch: list[bytes]) -> None:
        """A digest that the feed told of while the query ran stays in line and is asked again: the query
        may have seen it before a revocation that the feed has told already."""
        self._asked = set(batch)
        found = {record.digest: record for record in await _in_time(self._directory.find_keys(batch))}
        for digest in self._asked:
            record = found.get(digest)
            if record is None or record.revoked_at is not None:
                self._note_unknown(digest)
            if record is not None:
                self._remember(record)
            waiting = self._waiting.pop(digest)
            if not waiting.done():
                waiting.set_result(record)

    def _note_unknown(self, digest: bytes) -> None:
        if len(self._unknown_until_s) >= MAX_UNKNOWN:
            del self._unknown_until_s[next(iter(self._unknown_until_s))]
        self._unknown_until_s[digest] = self._clock.monotonic_s() + UNKNOWN_TTL_S

    def _fail_waiting(self, digests: list[bytes]) -> None:
        for digest in digests:
            waiting = self._waiting.pop(digest, None)
            if waiting is not None and not waiting.done():
                waiting.set_exception(StoreUnavailable("API keys cannot be checked at the moment.", retry_after_s=1))
                waiting.exception()  # whoever asked may have gone: nobody needs to be told that it was not read


async def _in_time(query: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(QUERY_TIMEOUT_S):
            return await query
    except TimeoutError:
        raise StoreUnavailable("The database does not answer.", retry_after_s=1) from None
