"""The work of one batch: its lines that have no result yet are asked, so many at once, and their results written down.

What waits for room (our own limits, a busy provider) is tried again until the batch's window closes; what a line itself
is refused for is its result. Results are rows as soon as they are here, so that whoever goes on with the batch after a
crash asks only for the others; and what was answered and not yet written has its key.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass

from tenfold.core.errors import Overloaded, RateLimited, StoreUnavailable, TenfoldError
from tenfold.core.ids import uuid7
from tenfold.inference.batches.lines import Line, lines_of, not_in_a_batch, requested
from tenfold.inference.batches.ports import BatchRows, LineCaller, LineReply, Why
from tenfold.inference.batches.results import result_of
from tenfold.inference.batches.types import Batch, Endpoint, LineResult, line_key
from tenfold.jobs.ports import JobContext, JobLost

_ROOM = (RateLimited, Overloaded, StoreUnavailable)  # ours: there will be room again


@dataclass(frozen=True, kw_only=True)
class WorkLimits:
    """Times in seconds."""

    at_once: int = 16  # lines of one batch
    max_line_bytes: int = 20 * 1024 * 1024
    tries: int = 6  # of a line whose provider fails in a way that may pass, beside the retries of the one path
    first_retry_s: float = 1.0  # doubles
    most_retry_s: float = 60.0
    look_s: float = 1.0  # between two looks at whether it is cancelled, or late
    gather_s: float = 0.05  # results are written together that come within so long
    drain_s: float = 30.0  # once cancelled or late, calls under way may end in so long


class LineWork:
    """`run` it once."""

    def __init__(
        self,
        job: JobContext,
        batch: Batch,
        endpoint: Endpoint,
        *,
        rows: BatchRows,
        content: Callable[[], AsyncIterator[bytes]],
        caller: LineCaller,
        limits: WorkLimits,
    ) -> None:
        self._job = job
        self._batch = batch
        self._endpoint = endpoint
        self._rows = rows
        self._content = content
        self._caller = caller
        self._limits = limits
        self._lines: asyncio.Queue[Line | None] = asyncio.Queue(1)
        self._results: asyncio.Queue[LineResult | None] = asyncio.Queue(8 * limits.at_once)
        self._found: list[LineResult] = []  # that are to be written next
        self._stop = asyncio.Event()
        self._why: Why = "all"
        self._not_before = 0.0  # of the loop's time: somebody was told to wait

    @property
    def cancelled(self) -> bool:
        """Whether a call that is broken off need not go on without us: nobody will come for its result."""
        return self._job.cancelled or self._stop.is_set()

    async def run(self) -> Why:
        """Raises JobLost, StoreUnavailable, Conflict (the input file is gone)."""
        done = set(await self._rows.done(self._batch.tenant_id, self._batch.id))
        await self._look(await self._rows.find(self._batch.tenant_id, self._batch.id))
        asking = [asyncio.create_task(self._ask_lines(), name="batch-line") for _ in range(self._limits.at_once)]
        feeding = asyncio.create_task(self._feed(done), name="batch-lines")
        writing = asyncio.create_task(self._write(), name="batch-results")
        ending = asyncio.create_task(self._end_asking(feeding, asking), name="batch-end")
        tasks = [feeding, writing, ending, *asking]
        try:
            await _all_or_first_error(tasks)
        except asyncio.CancelledError:
            if not self._job.cancelled:
                raise
            await _halt(tasks)
            await self._keep_rest()
            return "cancelled"
        finally:
            await _halt(tasks)
        return self._why

    # -- lines in, results out ---------------------------------------------------------------------

    async def _feed(self, done: set[int]) -> None:
        async for line in lines_of(self._content(), self._limits.max_line_bytes):
            if self._stop.is_set():
                break
            if line.number not in done:
                await self._lines.put(line)
        for _ in range(self._limits.at_once):
            await self._lines.put(None)

    async def _ask_lines(self) -> None:
        while (line := await self._lines.get()) is not None:
            if not self._stop.is_set():
                result = await self._ask(line)
                if result is not None:
                    await self._results.put(result)

    async def _end_asking(self, feeding: "asyncio.Task[None]", asking: list["asyncio.Task[None]"]) -> None:
        """Tells the writer when no more results will come."""
        stopped = asyncio.create_task(self._stopped(), name="batch-stop")
        asked = asyncio.create_task(_ended(asking), name="batch-asked")
        try:
            await asyncio.wait([stopped, asked], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([asked], timeout=self._limits.drain_s)
        finally:
            await _halt([stopped, asked, feeding, *asking])
        await self._results.put(None)

    async def _stopped(self) -> None:
        await self._stop.wait()

    async def _write(self) -> None:
        more = True
        while more:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.look_s):
                    more = await self._take()
            if more and self._found and not self._results.full():
                await asyncio.sleep(self._limits.gather_s)
            while more and not self._results.empty():
                more = await self._take()
            await self._look(await self._record())

    async def _take(self) -> bool:
        result = await self._results.get()
        if result is None:
            return False
        self._found.append(result)
        return True

    async def _record(self) -> Batch | None:
        batch = await self._rows.record(self._batch.tenant_id, self._batch.id, self._found)
        self._found = []
        return batch

    async def _look(self, batch: Batch | None) -> None:
        if batch is None or batch.ended:
            raise JobLost  # somebody else has ended it
        if batch.cancelling_at is not None:
            self._halt_for("cancelled")
        elif batch.late and batch.completed + batch.failed < batch.total:
            self._halt_for("late")
        await self._job.progress(batch.status, batch.completed + batch.failed, batch.total)

    def _halt_for(self, why: Why) -> None:
        if not self._stop.is_set():
            self._why = why
            self._stop.set()

    async def _keep_rest(self) -> None:
        """What was answered before somebody cancelled the job."""
        while not self._results.empty():
            await self._take()
        await self._record()

    # -- one line ----------------------------------------------------------------------------------

    async def _ask(self, line: Line) -> LineResult | None:
        """None: the work was over before it had a result."""
        asked = requested(line.text)
        body = bytes(asked.body)
        refusal = not_in_a_batch(body)
        if refusal is not None:
            return result_of(line.number, asked.custom_id, self._refused(refusal))
        key = line_key(self._batch.id, line.number)
        spec, failures, pause_s = self._batch.spec, 0, self._limits.first_retry_s
        while await self._turn():
            try:
                reply = await self._caller.ask(self, spec.principal, self._endpoint, body, spec.options, key)
            except TenfoldError as not_asked:
                if not not_asked.retryable:
                    return result_of(line.number, asked.custom_id, self._refused(not_asked))
                self._wait(not_asked.retry_after_s or pause_s)
                pause_s = min(2 * pause_s, self._limits.most_retry_s)
                continue
            self._job.spent(reply.cost_nano)
            error = reply.error
            if error is None or reply.cost_nano or not error.retryable:
                return result_of(line.number, asked.custom_id, reply)
            if isinstance(error, _ROOM):
                self._wait(error.retry_after_s or self._limits.first_retry_s)
                continue
            failures += 1
            if failures >= self._limits.tries:
                return result_of(line.number, asked.custom_id, reply)
            await self._pause(error.retry_after_s or pause_s)
            pause_s = min(2 * pause_s, self._limits.most_retry_s)
        return None

    def _wait(self, seconds: float) -> None:
        """Nobody of this batch asks before."""
        until = asyncio.get_running_loop().time() + seconds
        self._not_before = max(self._not_before, until)

    async def _turn(self) -> bool:
        """Returns when a line may be asked; False: the work is over."""
        while (left_s := self._not_before - asyncio.get_running_loop().time()) > 0 and not self._stop.is_set():
            await self._pause(left_s)
        return not self._stop.is_set()

    async def _pause(self, seconds: float) -> None:
        """With jitter, so that those who wait together do not come together."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds * random.uniform(1, 1.25))  # noqa: S311

    def _refused(self, error: TenfoldError) -> LineReply:
        request_id = f"req_{uuid7().hex}"
        body = self._endpoint.dialect().encode_error(error, request_id)
        return LineReply(request_id=request_id, status=error.status, body=body, error=error)


async def _all_or_first_error(tasks: list["asyncio.Task[None]"]) -> None:
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        if not task.cancelled():
            task.result()


async def _ended(tasks: list["asyncio.Task[None]"]) -> None:
    await asyncio.wait(tasks)


async def _halt(tasks: list["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
