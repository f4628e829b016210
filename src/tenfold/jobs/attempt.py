"""One attempt at a job: the handler is let run, and what came of it goes into the database, as long as the job is ours.

What came of it is written until the database has taken or refused it. A write is fenced: it can come late, never wrong.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal
from uuid import UUID

from msgspec import structs

from tenfold.core.clock import Clock
from tenfold.core.errors import StoreUnavailable, TenfoldError
from tenfold.jobs.context import Context
from tenfold.jobs.ports import Handler, JobCancelled, JobLost, JobRows
from tenfold.jobs.rules import follow_up
from tenfold.jobs.types import MAX_RESULT_BYTES, Ended, Result, Work

logger = logging.getLogger(__name__)

How = Literal["done", "failed", "cancelled", "retried", "given_back", "lost"]

MAX_MESSAGE = 2000
AWAY_ATTEMPTS = 10
_AGAIN_FIRST_S, _AGAIN_MOST_S = 0.05, 1.0
_BUG = "Something went wrong inside Tenfold; it is in the log under the job's id. The job can be redriven."
_EXPIRED = "The job was to be given up {0:.0f} s after its creation, and was not begun in time. It can be redriven."


class Attempt:
    """`run` it in a task of its own. The other methods only ask for something, which `run` then does."""

    def __init__(self, work: Work, holder: UUID, handler: Handler, rows: JobRows, clock: Clock) -> None:
        self.work = work
        self.holder = holder
        self.began_s = clock.monotonic_s()
        self.handling = False  # the handler runs; else what came of it is being written
        self._handler = handler
        self._rows = rows
        self._clock = clock
        self._context = Context(work, holder, rows, clock=clock, on_lost=self.lose)
        self._give_back = False
        self._task: asyncio.Task[How] | None = None

    def want_cancelled(self) -> None:
        """Somebody wants the job cancelled."""
        if not self._context.cancelled:
            self._context.cancelled = True
            self._interrupt()

    def give_back(self) -> None:
        """The worker stops, or may no longer be sure of the job: somebody is to begin anew."""
        if not self._give_back:
            self._give_back = True
            self._interrupt()

    def lose(self) -> None:
        """The job is another worker's."""
        if not self._context.lost:
            self._context.lost = True
        self._interrupt()

    async def run(self) -> How:
        self._task = asyncio.current_task()
        try:
            how, write = await self._handle()
        finally:
            self._no_handler()
            await self._context.aclose()
        return await self._settle(how, write)

    # -- inside ----------------------------------------------------------------------------------

    def _interrupt(self) -> None:
        if self.handling and self._task is not None:
            self._task.cancel()

    def _no_handler(self) -> None:
        """It has ended, and cannot be interrupted any more; that it was asked to must not trouble what comes after."""
        self.handling = False
        if self._task is not None and self._was_asked():
            while self._task.cancelling():
                self._task.uncancel()

    def _was_asked(self) -> bool:
        return self._context.lost or self._context.cancelled or self._give_back

    async def _handle(self) -> tuple[How, Callable[[], Awaitable[bool]] | None]:
        context = self._context
        if self._give_back:
            return self._given_back()
        if self._age_s() > (self.work.new.give_up_s or float("inf")):
            return self._failed("expired", _EXPIRED.format(self.work.new.give_up_s))
        if context.cancelled:  # its last worker died of it: the handler is to see that, and tidies up
            asyncio.get_running_loop().call_soon(self._interrupt)
        self.handling = True
        try:
            result = await self._handler.run(context)
        except asyncio.CancelledError:
            return self._interrupted()
        except JobLost:
            return "lost", None
        except JobCancelled as cancelled:
            return self._ended("cancelled", cancelled.result)
        except TenfoldError as error:
            return self._not_done(error)
        except Exception:  # edge: a handler's bug ends its job, not the worker
            logger.exception("a job failed of a bug", extra=self._names())
            return self._failed("internal_error", _BUG)
        if len(result.output) > MAX_RESULT_BYTES:
            return self._failed("result_too_large", f"A result has at most {MAX_RESULT_BYTES} bytes.")
        return self._ended("done", result)

    def _interrupted(self) -> tuple[How, Callable[[], Awaitable[bool]] | None]:
        assert self._task is not None
        if self._task.cancelling() and not self._was_asked():
            raise asyncio.CancelledError  # the worker itself goes: the job is found by those who look for the dead
        if self._context.lost:
            return "lost", None
        if self._context.cancelled:
            return self._ended("cancelled", Result())
        if self._give_back:
            return self._given_back()
        logger.error("a job was broken off by nobody", extra=self._names())
        return self._failed("internal_error", _BUG)

    def _not_done(self, error: TenfoldError) -> tuple[How, Callable[[], Awaitable[bool]] | None]:
        if self._context.lost:
            return "lost", None
        if self._context.cancelled:
            return self._ended("cancelled", Result())
        if self._give_back and error.retryable:
            return self._given_back()
        delay_s = delay_of_next(self.work, error, age_s=self._age_s(), chance=random.random())  # noqa: S311
        if delay_s is None:
            return self._failed(error.code, error.message)
        write = partial(
            self._rows.retry,
            self.work,
            self.holder,
            delay_s,
            cost_nano=self._context.cost_nano,
            code=error.code,
            message=_text(error.message),
        )
        return "retried", write

    def _ended(self, state: Ended, result: Result) -> tuple[How, Callable[[], Awaitable[bool]]]:
        result = structs.replace(result, cost_nano=result.cost_nano + self._context.cost_nano)
        return state, partial(self._rows.finish, self.work, self.holder, state, result)

    def _failed(self, code: str, message: str) -> tuple[How, Callable[[], Awaitable[bool]]]:
        kind = self._handler.after_death
        job = self.work.job
        then = () if kind is None else (follow_up(kind, self.work.principal, job.id, job.subject),)
        result = Result(cost_nano=self._context.cost_nano, then=then)
        error = {"code": code, "message": _text(message)}
        return "failed", partial(self._rows.finish, self.work, self.holder, "failed", result, **error)

    def _given_back(self) -> tuple[How, Callable[[], Awaitable[bool]]]:
        return "given_back", partial(self._rows.give_back, self.work, self.holder)

    async def _settle(self, how: How, write: Callable[[], Awaitable[bool]] | None) -> How:
        pause_s, tell = _AGAIN_FIRST_S, how != "given_back"
        while write is not None:
            try:
                if tell:
                    await self._context.flush()
                return how if await write() else "lost"
            except JobLost:
                return "lost"
            except StoreUnavailable:
                await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311
                pause_s = min(2 * pause_s, _AGAIN_MOST_S)
            except Exception:  # edge: what cannot be written must not keep the job for ever
                logger.exception("the end of a job cannot be written", extra=self._names() | {"end": how})
                if how == "failed":
                    raise
                tell = False
                how, write = self._failed("internal_error", _BUG)
        return "lost"

    def _age_s(self) -> float:
        """Since the job was created: by the database's clock until it was claimed, by our own from then on."""
        job = self.work.job
        claimed_s = (job.started_at - job.created_at).total_seconds() if job.started_at is not None else 0.0
        return claimed_s + self._clock.monotonic_s() - self.began_s

    def _names(self) -> dict[str, str]:
        return {"job": self.work.job.id.hex, "kind": self.work.job.kind, "tenant": self.work.principal.tenant_slug}


def delay_of_next(work: Work, error: TenfoldError, *, age_s: float, chance: float) -> float | None:
    """Seconds until the next attempt; None: there is none. It doubles with each that failed, less up to a half by
    `chance` (0 to 1), so that what failed together is not tried together."""
    new = work.new
    failures = max(1, work.job.attempts - work.job.crashes)
    # That our own database was away says nothing of the job.
    most = new.max_attempts * (AWAY_ATTEMPTS if isinstance(error, StoreUnavailable) else 1)
    if not error.retryable or failures >= most:
        return None
    delay_s = min(new.most_retry_s, new.first_retry_s * 2.0 ** min(failures - 1, 40)) * (1 - chance / 2)
    delay_s = max(delay_s, error.retry_after_s or 0.0)
    if new.give_up_s is not None and age_s + delay_s > new.give_up_s:
        return None
    return delay_s


def _text(message: str) -> str:
    return message.replace("\0", "")[:MAX_MESSAGE]
