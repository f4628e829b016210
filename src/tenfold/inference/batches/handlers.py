"""The rules of batches: what may be asked for, what can be done with one, and what becomes of old ones."""

import hashlib
import re
from uuid import UUID

from msgspec import json, structs

from tenfold.core.call import CallOptions
from tenfold.core.errors import Conflict, IdempotencyMismatch, InvalidRequest, NotFound
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.inputs import one_of
from tenfold.core.principal import Principal
from tenfold.inference.batches.ports import BatchRows
from tenfold.inference.batches.types import (
    KIND,
    KIND_DEAD,
    LEAST_WINDOW_H,
    MAX_PAGE,
    MOST_WINDOW_H,
    Batch,
    BatchPage,
    Endpoints,
    Spec,
    batch_id,
    batch_name,
)
from tenfold.inference.files.handlers import Files
from tenfold.inference.files.types import BATCH, BATCH_KEEP_S, LEAST_KEEP_S, MAX_BATCH_BYTES, MOST_KEEP_S
from tenfold.jobs.ports import Jobs
from tenfold.jobs.types import NewJob
from tenfold.webhooks.ports import Outbox
from tenfold.webhooks.types import Event

LANES = 4
"""So many batches of a tenant are done at once: each takes one slot of a worker for as long as it lasts."""

_PRIORITY = 2  # below the usual: whoever waits for a single job goes first
_ATTEMPTS = 1_000_000  # an attempt ends early only where the database or a worker goes away
_WINDOW = re.compile(r"([1-9][0-9]{0,2})h")
_MAX_METADATA, _MAX_METADATA_KEY, _MAX_METADATA_VALUE = 16, 64, 512
_OLD_AT_ONCE = 20


class Batches:
    def __init__(self, rows: BatchRows, files: Files, jobs: Jobs, outbox: Outbox, endpoints: Endpoints) -> None:
        self._rows = rows
        self._files = files
        self._jobs = jobs
        self._outbox = outbox
        self._endpoints = endpoints

    async def create(
        self,
        principal: Principal,
        *,
        input_file: str,
        endpoint: str,
        window: str,
        metadata: dict[str, str] | None = None,
        output_keep_s: int = BATCH_KEEP_S,
        options: CallOptions,
    ) -> Batch:
        """`options` are those of each line; an `idempotency_key` there is the batch's own: asked for twice, it is there
        once. Raises InvalidRequest, NotFound (no such file), IdempotencyMismatch, RateLimited, Overloaded,
        StoreUnavailable."""
        one_of(endpoint, tuple(self._endpoints), "endpoint")
        window_s = _window_s(window)
        _check_metadata(metadata)
        if not LEAST_KEEP_S <= output_keep_s <= MOST_KEEP_S:
            raise InvalidRequest(
                f"`output_expires_after.seconds` is a whole number from {LEAST_KEEP_S} to {MOST_KEEP_S}.",
                param="output_expires_after.seconds",
            )
        file = await self._files.find(principal.tenant_id, input_file)
        if file.purpose != BATCH:
            raise InvalidRequest(
                f"The purpose of this file is {file.purpose!r}. Upload the input of a batch with the purpose 'batch'.",
                param="input_file_id",
            )
        assert file.bytes <= MAX_BATCH_BYTES
        key = options.idempotency_key
        spec = Spec(
            id=uuid7(),
            job_id=uuid7(),
            principal=principal,
            input_file_id=file.id,
            input_bytes=file.bytes,
            endpoint=endpoint,
            window=window,
            window_s=window_s,
            output_keep_s=output_keep_s,
            metadata=metadata,
            options=structs.replace(options, idempotency_key=None, upstream_headers=(), traceparent=None),
        )
        job = await self._jobs.enqueue(job_of(spec, key))
        if job.id != spec.job_id:
            spec = await self._first(spec, job.id)
        return await self._rows.add(spec)

    async def find(self, tenant_id: TenantId, name: str) -> Batch:
        """By its public id. Raises NotFound, StoreUnavailable."""
        known = batch_id(name)
        batch = None if known is None else await self._rows.find(tenant_id, known)
        if batch is None:
            raise _no_batch(name)
        if batch.status == "validating":
            await self._look_after(batch)
        return batch

    async def _look_after(self, batch: Batch) -> None:
        """A job can be cancelled as such while it waits, and then nobody else would end the batch."""
        try:
            job = await self._jobs.get(batch.tenant_id, batch.spec.job_id)
        except NotFound:
            return
        if job.state == "cancelled":
            await self._jobs.enqueue(_dead_job_of(batch))

    async def list(self, tenant_id: TenantId, *, after: str | None = None, limit: int = 20) -> BatchPage:
        """The newest first. Raises InvalidRequest, StoreUnavailable."""
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidRequest(f"`limit` is a number from 1 to {MAX_PAGE}.", param="limit")
        at = None if after is None else batch_id(after)
        if after is not None and at is None:
            raise InvalidRequest("`after` is the id of a batch, as the page before ended with.", param="after")
        found = await self._rows.page(tenant_id, after=at, limit=limit + 1)
        return BatchPage(items=found[:limit], has_more=len(found) > limit)

    async def cancel(self, tenant_id: TenantId, name: str) -> Batch:
        """One that has not begun is cancelled at once; of one in progress the calls under way may end first, and what
        was answered is kept. Raises NotFound, Conflict (it has ended otherwise), StoreUnavailable."""
        known = batch_id(name)
        batch = None if known is None else await self._rows.cancel(tenant_id, known)
        if batch is None:
            raise _no_batch(name)
        if batch.ended and batch.status != "cancelled":
            raise Conflict(f"Cannot cancel a batch with status '{batch.status}'.")
        if batch.status == "cancelled":
            await self._cancel_job(batch)
        return batch

    async def _cancel_job(self, batch: Batch) -> None:
        """If it still waits it need not run; the event is told by whoever of the two ends the job."""
        event = Event(type="batch.cancelled", resource=batch.public_id, data={})
        then = await self._outbox.jobs_for(batch.spec.principal, event)
        try:
            job = await self._jobs.get(batch.tenant_id, batch.spec.job_id)
            if job.state == "queued":
                await self._jobs.cancel(batch.tenant_id, batch.spec.job_id, then=then)
        except (NotFound, Conflict):
            return

    async def expire(self) -> int:
        """Deletes batches that ended long ago, of all tenants, and ends those that are overdue; how many. Raises
        StoreUnavailable."""
        count = 0
        for tenant_id in await self._rows.tenants_old():
            for batch in await self._rows.overdue(tenant_id, limit=_OLD_AT_ONCE):
                await self._jobs.enqueue(_dead_job_of(batch))
                count += 1
            while deleted := await self._rows.expire(tenant_id, limit=_OLD_AT_ONCE):
                count += deleted
        return count

    async def _first(self, again: Spec, job_id: UUID) -> Spec:
        """What was asked for first under the same `Idempotency-Key`."""
        asked = await self._jobs.input(again.principal.tenant_id, job_id)
        first = None if asked is None else json.decode(asked, type=Spec)
        same = None
        if first is not None:
            same = structs.replace(again, id=first.id, job_id=first.job_id, principal=first.principal)
        if first is None or same != first:
            raise IdempotencyMismatch(
                "This Idempotency-Key was used before with another batch. Use one key for each batch."
            )
        return first


def job_of(spec: Spec, key: str | None = None) -> NewJob:
    """The job that does a batch; with a `key`, one job however often it is asked for."""
    return NewJob(
        kind=KIND,
        principal=spec.principal,
        input=json.encode(spec),
        id=spec.job_id,
        subject=batch_name(spec.id),
        priority=_PRIORITY,
        max_attempts=_ATTEMPTS,
        most_retry_s=30.0,
        dedup=None if key is None else hashlib.sha256(key.encode()).hexdigest(),
        order_key=f"batch-{spec.id.int % LANES}",
    )


def _dead_job_of(batch: Batch) -> NewJob:
    return NewJob(
        kind=KIND_DEAD,
        principal=batch.spec.principal,
        input=batch.spec.job_id.hex.encode(),
        subject=batch.public_id,
        dedup=batch.id.hex,
    )


def _window_s(window: str) -> float:
    found = _WINDOW.fullmatch(window)
    if found is None or not LEAST_WINDOW_H <= int(found[1]) <= MOST_WINDOW_H:
        raise InvalidRequest(
            f"`completion_window` is `24h`, or another number of hours from {LEAST_WINDOW_H} to {MOST_WINDOW_H}.",
            param="completion_window",
        )
    return int(found[1]) * 3600.0


def _check_metadata(metadata: dict[str, str] | None) -> None:
    pairs = list((metadata or {}).items())
    if len(pairs) > _MAX_METADATA or any(
        len(name) > _MAX_METADATA_KEY or len(value) > _MAX_METADATA_VALUE or "\0" in name + value
        for name, value in pairs
    ):
        raise InvalidRequest(
            f"`metadata` has at most {_MAX_METADATA} pairs, of at most {_MAX_METADATA_KEY} and {_MAX_METADATA_VALUE}"
            " characters, and no NUL.",
            param="metadata",
        )


def _no_batch(name: str) -> NotFound:
    return NotFound(f"No batch found with id '{name[:80]}'.", param="batch_id")
