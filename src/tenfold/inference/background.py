"""Calls of jobs: the one path, with a key for each step of a job, so that a step that was done is never paid again.

A worker that is killed while a provider works on a call leaves it interrupted: nobody knows its result, and it is
charged as an estimate. The step is then asked again under the key of the next round. At the provider it has the same
`Idempotency-Key` in every round: one that heeds it gives the first answer and takes nothing for the second, and then
the estimate is taken back.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import structs

from tenfold.core.call import DEFAULT_OPTIONS, Call, CallOptions, Operation
from tenfold.core.errors import (
    IdempotencyInFlight,
    IdempotencyInterrupted,
    IdempotencyReplyLost,
    InvalidRequest,
    NotFound,
    Overloaded,
    StoreUnavailable,
)
from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.inference.pipeline import Pipeline
from tenfold.inference.ports import ClientDialect, Responder

MOST_ROUNDS = 12  # a step that was interrupted, or failed, so often ends in the error that says so
_NOT_ASKED = (StoreUnavailable, Overloaded, IdempotencyInFlight)


class NobodyLeaves(Exception):
    """Never raised: nobody hangs up on a job."""


class Recorder:
    """The Responder of a call without a client. A reply in one piece is in `body`; so is a stream, unless `on_bytes`
    takes its pieces as they come."""

    gone: type[Exception] = NobodyLeaves

    def __init__(self, on_bytes: Callable[[bytes], Awaitable[None]] | None = None) -> None:
        self.status = 0
        self.headers = ""
        self.is_stream = False
        self._on_bytes = on_bytes
        self._pieces: list[bytes] = []

    @property
    def body(self) -> bytes:
        return b"".join(self._pieces)

    def whole(self, status: int, headers: str, body: bytes) -> None:
        self.status, self.headers, self._pieces = status, headers, [body]

    def stream(self, status: int, headers: str) -> "Recorder":
        self.status, self.headers, self.is_stream = status, headers, True
        return self

    async def send_bytes(self, data: bytes) -> None:
        if self._on_bytes is not None:
            await self._on_bytes(data)
        else:
            self._pieces.append(data)


class Estimates(Protocol):
    """See tenfold.ledger.reports.corrections."""

    async def void(self, tenant_id: TenantId, receipt_id: UUID, receipt_at: datetime, *, source: str) -> None:
        """The receipt counts as nothing from now on. Raises NotFound, StoreUnavailable."""
        ...


class Cancellable(Protocol):
    """What is looked at of a job. See tenfold.jobs.ports.JobContext."""

    @property
    def cancelled(self) -> bool: ...


class BackgroundCaller:
    """`heeds_keys`: whether all providers of a model give the first answer to a request that comes again with the same
    `Idempotency-Key`. `repeat` False: what was interrupted is not asked again, and ends in that error."""

    def __init__(
        self,
        pipeline: Pipeline,
        estimates: Estimates | None = None,
        *,
        heeds_keys: Callable[[str], bool] = lambda _model: False,
        repeat: bool = True,
    ) -> None:
        self._pipeline = pipeline
        self._estimates = estimates
        self._heeds_keys = heeds_keys
        self._repeat = repeat

    async def call(
        self,
        principal: Principal,
        operation: Operation,
        dialect: ClientDialect,
        body: bytes,
        responder: Responder,
        *,
        key: str,
        options: CallOptions = DEFAULT_OPTIONS,
        job: Cancellable | None = None,
        waited_s: float = 0.0,
    ) -> Call:
        """The call when it has ended, well or not: an error is on it, and `responder` has it as the dialect says it.
        `waited_s`: in a queue before, which counts in what the call took. What failed and was paid for all the same is
        asked anew when the step is called again. Raises StoreUnavailable, Overloaded, IdempotencyInFlight: nothing was
        asked, try again later. Cancelled, a call of a job that somebody wants cancelled ends at once; any other goes
        on, and whoever has the job next finds its result."""
        interrupted: list[tuple[UUID, datetime]] = []
        upstream_key = key
        for number in range(MOST_ROUNDS):
            of_round = key if number == 0 else f"{key}:{number}"
            call = Call(
                principal=principal,
                operation=operation,
                dialect=dialect.name,
                body=body,
                options=structs.replace(options, idempotency_key=of_round, upstream_key=upstream_key),
            )
            call.waited_s = waited_s
            try:
                await self._pipeline.serve(call, dialect, responder)
            except asyncio.CancelledError:
                if job is not None and job.cancelled:
                    await self._pipeline.flights.stop(call)
                raise
            error = call.error
            if isinstance(error, _NOT_ASKED) and call.asked is None:
                raise error
            if error is not None and call.replayed:  # this attempt is the one after it
                upstream_key = f"{key}:{number + 1}"
            elif isinstance(error, IdempotencyInterrupted) and not isinstance(error, IdempotencyReplyLost):
                if not self._repeat:
                    break
                if error.first is not None:
                    interrupted.append(error.first)
            else:
                break
        if interrupted and call.error is None and self._heeds_keys(call.model):
            await self._take_back(principal.tenant_id, interrupted)
        return call

    async def _take_back(self, tenant_id: TenantId, interrupted: list[tuple[UUID, datetime]]) -> None:
        """Raises StoreUnavailable: the step is asked again, which costs nothing, and they are taken back then."""
        if self._estimates is None:
            return
        for receipt_id, receipt_at in interrupted:
            try:
                await self._estimates.void(tenant_id, receipt_id, receipt_at, source="repeated")
            except (NotFound, InvalidRequest):  # it stays an estimate, which is what it is
                continue
