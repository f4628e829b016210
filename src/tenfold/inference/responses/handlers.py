"""What may be done to stored responses: looked at, followed, cancelled, deleted."""

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any
from uuid import UUID

from msgspec import json

from tenfold.core.clock import Clock
from tenfold.core.errors import Conflict, InvalidRequest, NotFound, TenfoldError
from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.inference.responses.making import Making
from tenfold.inference.responses.ports import Codec, ResponseRows
from tenfold.inference.responses.telling import beginning, ending, number_of
from tenfold.inference.responses.types import (
    KIND_FORGET,
    Echo,
    ItemPage,
    JsonObject,
    Status,
    StoredResponse,
    id_of,
    public_id,
)
from tenfold.jobs.ports import Jobs
from tenfold.jobs.types import NewJob
from tenfold.store import expire
from tenfold.webhooks.ports import Outbox
from tenfold.webhooks.types import Event

DEFAULT_PAGE = 20
MAX_PAGE = 100
LOST_AFTER_S = 60.0  # accepted so long ago without a job: its process died in between
FORGET_AFTER_S = 5.0

_decoder: json.Decoder[Any] = json.Decoder()
_EXPIRED_AT_ONCE = 100  # a response may have megabytes


class Responses:
    def __init__(self, rows: ResponseRows, jobs: Jobs, outbox: Outbox, making: Making, clock: Clock) -> None:
        self.making = making
        self.codec = making.codec
        self._rows = rows
        self._jobs = jobs
        self._outbox = outbox
        self._clock = clock

    async def expire(self) -> int:
        """Deletes what was kept for long enough, of all tenants; how many. Raises StoreUnavailable."""
        return await expire(self._rows, batch=_EXPIRED_AT_ONCE)

    async def get(self, tenant_id: TenantId, name: str) -> StoredResponse:
        """Raises NotFound, for another tenant's too; StoreUnavailable."""
        row = await self._rows.find(tenant_id, _id(name))
        if row is None:
            raise _no_such(name)
        return row if row.ended else await self._as_its_job_is(row)

    async def wait(self, row: StoredResponse, timeout_s: float) -> StoredResponse:
        """As it is when it has ended, or after so long. Raises NotFound, StoreUnavailable."""
        with suppress(NotFound):
            await self._jobs.wait(row.tenant_id, row.id, timeout_s)
        return await self.get(row.tenant_id, row.public_id)

    def told(self, row: StoredResponse) -> JsonObject:
        """The Response object as it is now."""
        if not row.ended:
            return self.codec.blank(echo_of(row), row.status)
        response: JsonObject = _decoder.decode(row.response)
        return response | {"status": row.status}

    def age_s(self, row: StoredResponse) -> float:
        return (self._clock.now() - row.created_at).total_seconds()

    async def check_followed(self, row: StoredResponse) -> None:
        """Raises InvalidRequest: its stream cannot be had, or no more; StoreUnavailable."""
        if not (row.background and row.stream):
            raise InvalidRequest(
                "Only a response that was created with `background: true` and `stream: true` can be streamed"
                " afterwards: retrieve it without `stream`.",
                param="stream",
            )
        try:
            await self._jobs.get(row.tenant_id, row.id)
        except NotFound:
            raise InvalidRequest(
                "The stream of this response is no longer kept: retrieve it without `stream`.", param="stream"
            ) from None

    async def follow(self, row: StoredResponse, *, after: int = -1) -> AsyncGenerator[bytes, None]:
        """The events of its stream after this one, as they come. Raises NotFound (it was deleted), StoreUnavailable."""
        for number, frame in enumerate(beginning(self.codec, _as_queued(self.told(row), row.model))):
            if number > after:
                yield frame
        last = 0
        async with aclosing(self._jobs.follow(row.tenant_id, row.id, after=max(0, after - 1))) as events:
            async for event in events:
                last = event.seq
                if event.kind == "output" and event.data and number_of(last) > after:
                    yield event.data
        ended = await self.get(row.tenant_id, row.public_id)
        if last:  # else all was told before
            yield ending(self.codec, self.told(ended), last)

    async def cancel(self, principal: Principal, name: str) -> StoredResponse:
        """One that has ended stays as it is. Raises NotFound, InvalidRequest (it is not of the background),
        StoreUnavailable."""
        tenant_id = principal.tenant_id
        row = await self.get(tenant_id, name)
        if not row.background:
            raise InvalidRequest("Cannot cancel a synchronous response.", param="response_id")
        if row.ended:
            return row
        event = Event(type="response.cancelled", resource=row.public_id)
        then = await self._outbox.jobs_for(principal, event)
        await self._rows.finish(tenant_id, row.id, "cancelled", None)
        with suppress(NotFound, Conflict):
            await self._jobs.cancel(tenant_id, row.id, then=then)
        return await self.get(tenant_id, name)

    async def delete(self, principal: Principal, name: str) -> None:
        """With its input, output and events; a job that makes it is cancelled. Raises NotFound, StoreUnavailable."""
        tenant_id = principal.tenant_id
        row = await self._rows.remove(tenant_id, _id(name))
        if row is None:
            raise _no_such(name)
        if not row.background:
            return
        with suppress(NotFound, Conflict):
            await self._jobs.cancel(tenant_id, row.id)
        try:
            await self._jobs.discard(tenant_id, row.id)
        except NotFound:
            return
        except Conflict:  # it still runs
            forget = NewJob(
                kind=KIND_FORGET,
                principal=principal,
                input=row.id.hex.encode(),
                subject=row.public_id,
                delay_s=FORGET_AFTER_S,
                max_attempts=20,
            )
            await self._jobs.enqueue(forget)

    async def input_items(
        self,
        tenant_id: TenantId,
        name: str,
        *,
        after: str | None = None,
        limit: int = DEFAULT_PAGE,
        newest_first: bool = True,
    ) -> ItemPage:
        """What the response was made of: the items it goes on from, as far as they are still there, and its own. Raises
        NotFound, InvalidRequest, StoreUnavailable."""
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidRequest(f"A page has 1 to {MAX_PAGE} items.", param="limit")
        row = await self.get(tenant_id, name)
        items: list[JsonObject] = []
        if row.previous_id is not None:
            with suppress(InvalidRequest):
                items += await self.making.history(tenant_id, public_id(row.previous_id))
        items += _decoder.decode(row.input)
        if newest_first:
            items.reverse()
        if after is not None:
            place = next((place for place, item in enumerate(items) if item.get("id") == after), None)
            if place is None:
                raise InvalidRequest("There is no such item in the input of this response.", param="after")
            items = items[place + 1 :]
        return ItemPage(items=items[:limit], has_more=len(items) > limit)

    # -- inside ----------------------------------------------------------------------------------

    async def _as_its_job_is(self, row: StoredResponse) -> StoredResponse:
        """Its job may have died, or never have been: then the response has failed, and nobody waits for ever."""
        tenant_id = row.tenant_id
        error: TenfoldError | None = TenfoldError("The response was accepted, and its work was lost.")
        status: Status = "failed"
        died = False
        try:
            job = await self._jobs.get(tenant_id, row.id)
        except NotFound:
            if self.age_s(row) < LOST_AFTER_S:
                return row
        else:
            if job.state == "failed":
                error, died = died_of(job.error_code, job.error_message), True
            elif job.state == "cancelled":
                status, error = "cancelled", None
            elif job.state != "done":
                return row
        await self._rows.finish(tenant_id, row.id, status, failed_object(self.codec, row, error), died=died)
        return await self._rows.find(tenant_id, row.id) or row


def died_of(code: str | None, message: str | None) -> TenfoldError:
    """What a job died of, as the response tells it."""
    error = TenfoldError(message or "The response could not be made.")
    error.code = code or error.code
    return error


def echo_of(row: StoredResponse) -> Echo:
    """That of one in the background. Of a request that is kept no more, only what the Response object says itself is
    known."""
    request: JsonObject = _decoder.decode(row.request) if row.request else {}
    return Echo(
        id=row.public_id,
        created_at=int(row.created_at.timestamp()),
        previous_response_id=None if row.previous_id is None else public_id(row.previous_id),
        background=True,
        request=request,
    )


def failed_object(codec: Codec, row: StoredResponse, error: TenfoldError | None) -> bytes | None:
    """The Response object with this error; None: as it is."""
    if error is None:
        return None
    return json.encode(codec.blank(echo_of(row), "failed", error))


def _as_queued(response: JsonObject, model: str) -> JsonObject:
    """As it was when it was accepted."""
    since = ("usage", "completed_at")
    queued = {name: member for name, member in response.items() if name not in since}
    return queued | {"model": model, "status": "queued", "output": [], "error": None, "incomplete_details": None}


def _id(name: str) -> UUID:
    found = id_of(name)
    if found is None:
        raise _no_such(name)
    return found


def _no_such(name: str) -> NotFound:
    return NotFound(f"Response with id '{name[:80]}' not found.")
