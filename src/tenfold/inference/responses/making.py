"""From a request to a stored response: what it goes on from, what the model is asked, and what is kept of it.

It asks no model: that is done on the one path, for clients that wait by the front door, for the others by
`background`.
"""

import hashlib
import logging
from contextlib import suppress
from typing import Any
from uuid import UUID

from msgspec import json, structs

from tenfold.core.call import CallOptions
from tenfold.core.clock import Clock
from tenfold.core.errors import (
    IdempotencyMismatch,
    InvalidRequest,
    StoreUnavailable,
    TenfoldError,
    TooLarge,
)
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import Principal
from tenfold.inference.responses.chain import PARAM, history_of, not_found
from tenfold.inference.responses.ports import Codec, ResponseRows
from tenfold.inference.responses.types import (
    KEEP_EVENTS_S,
    KEEP_S,
    KIND,
    MAX_CHAIN,
    MAX_INPUT_BYTES,
    Asked,
    Echo,
    JsonObject,
    NewResponse,
    Status,
    StoredResponse,
    id_of,
    public_id,
)
from tenfold.jobs.ports import Jobs
from tenfold.jobs.types import NewJob
from tenfold.ledger.idempotency.types import KEEP_S as KEY_S
from tenfold.ledger.idempotency.types import key_digest

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 12  # about six minutes in which nobody may have had an answer
MOST_RETRY_S = 60.0

_decoder: json.Decoder[Any] = json.Decoder()
_NOT_FOR_THE_MODEL = ("previous_response_id", "background", "store")


class Making:
    """`max_input_bytes`: of one stored response, and of all together that one goes on from."""

    def __init__(
        self,
        rows: ResponseRows,
        jobs: Jobs,
        codec: Codec,
        clock: Clock,
        *,
        keep_s: float = KEEP_S,
        max_input_bytes: int = MAX_INPUT_BYTES,
        max_chain: int = MAX_CHAIN,
    ) -> None:
        self.codec = codec
        self._rows = rows
        self._jobs = jobs
        self._clock = clock
        self._keep_s = keep_s
        self._max_input_bytes = max_input_bytes
        self._max_chain = max_chain

    async def ask(self, principal: Principal, request: JsonObject, sent: bytes, options: CallOptions) -> Asked:
        """`request` is the checked body, `sent` its bytes. One with an `Idempotency-Key` that was stored before gets
        the same id. Raises InvalidRequest (there is nothing to go on from), TooLarge, IdempotencyMismatch,
        StoreUnavailable."""
        tenant_id = principal.tenant_id
        store = request.get("store") is not False
        background = request.get("background") is True
        if background and not store:
            raise InvalidRequest("A response of the background is stored: leave `store` out.", param="background")
        previous = request.get(PARAM)
        previous_id = None if previous is None else id_of(previous)
        if previous is not None and previous_id is None:
            raise not_found(previous)
        key = request_hash = None
        response_id = uuid7()
        if options.idempotency_key is not None:
            key, request_hash = key_digest(options.idempotency_key), hashlib.sha256(sent).digest()
            response_id = await self._id_of(tenant_id, key, request_hash, store=store) or response_id
        items = json.encode(self.codec.input_items(request, public_id(response_id))) if store else b""
        if len(items) > self._max_input_bytes:
            raise TooLarge(
                f"The input is larger than {self._max_input_bytes} bytes, the most that is stored. Send it with"
                " `store: false`."
            )
        return Asked(
            tenant_id=tenant_id,
            id=response_id,
            previous_id=previous_id,
            echo=Echo(
                id=public_id(response_id),
                created_at=int(self._clock.now().timestamp()),
                previous_response_id=previous,
                store=store,
                background=background,
                request=request,
            ),
            sent=sent,
            body=sent if previous_id is None and not background else await self.body_of(tenant_id, request),
            stream=request.get("stream") is True,
            input=items,
            key=key,
            request_hash=request_hash,
        )

    async def _id_of(self, tenant_id: TenantId, key: bytes, request_hash: bytes, *, store: bool) -> UUID | None:
        """Of the response of this key. Raises IdempotencyMismatch, StoreUnavailable."""
        if not store:  # nothing is known of it, and the same request gets the same id
            return UUID(bytes=hashlib.sha256(tenant_id.bytes + key + request_hash).digest()[:16], version=4)
        known = await self._rows.keyed(tenant_id, key, key_s=KEY_S)
        if known is None:
            return None
        if known.request_hash != request_hash:
            raise IdempotencyMismatch(
                "This Idempotency-Key was used before with another request. Use one key for each request."
            )
        return known.id

    async def body_of(self, tenant_id: TenantId, request: JsonObject) -> bytes:
        """What the model is asked: this request, after all that it goes on from. Raises InvalidRequest,
        StoreUnavailable."""
        asked = {name: member for name, member in request.items() if name not in _NOT_FOR_THE_MODEL}
        previous = request.get(PARAM)
        if previous is not None:
            asked["input"] = await self.history(tenant_id, previous) + _as_items(request.get("input"))
        return json.encode(asked)

    async def history(self, tenant_id: TenantId, previous: str) -> list[JsonObject]:
        """Items of the response of this id and of all that it goes on from. Raises InvalidRequest,
        StoreUnavailable."""
        previous_id = id_of(previous)
        if previous_id is None:
            raise not_found(previous)
        most, most_bytes = self._max_chain, self._max_input_bytes
        links = await self._rows.chain(tenant_id, previous_id, most=most, most_bytes=most_bytes)
        return history_of(links, previous, most=most, most_bytes=most_bytes)

    async def keep(self, asked: Asked, response: JsonObject) -> bool:
        """Store one that has ended. False: the database is away, and it is not stored."""
        new = _new(asked, response["status"], json.encode(response), background=False)
        try:
            await self._rows.add(new, keep_s=self._keep_s, key_s=KEY_S)
        except StoreUnavailable as error:
            logger.warning("the response %s is not stored, the database is away: %s", asked.echo.id, error.message)
            return False
        return True

    async def accept(
        self, principal: Principal, asked: Asked, options: CallOptions, *, somebody_waits: bool = False
    ) -> StoredResponse:
        """One for the background. Raises as `Jobs.enqueue`; then there is none."""
        blank = json.encode(self.codec.blank(asked.echo, "queued"))
        row = await self._rows.add(_new(asked, "queued", blank, background=True), keep_s=self._keep_s, key_s=KEY_S)
        if row.status != "queued":
            return row
        job = NewJob(
            id=row.id,  # with the same key it is the same job
            kind=KIND,
            principal=principal,
            input=json.encode(_that_still_hold(options)),
            subject=row.public_id,
            max_attempts=MAX_ATTEMPTS,
            most_retry_s=MOST_RETRY_S,
            keep_s=KEEP_EVENTS_S,
        )
        try:
            await (self._jobs.start(job) if somebody_waits else self._jobs.enqueue(job))
        except StoreUnavailable:
            raise  # it may be in the queue
        except TenfoldError:
            with suppress(StoreUnavailable):
                await self._rows.remove(row.tenant_id, row.id)
            raise
        return row


def _new(asked: Asked, status: Status, response: bytes, *, background: bool) -> NewResponse:
    return NewResponse(
        tenant_id=asked.tenant_id,
        id=asked.id,
        previous_id=asked.previous_id,
        background=background,
        stream=asked.stream,
        status=status,
        model=str(asked.echo.request.get("model", "")),
        request=asked.sent if background else b"",
        input=asked.input,
        response=response,
        key=asked.key,
        request_hash=asked.request_hash,
    )


def _as_items(given: Any) -> list[JsonObject]:
    if not given:
        return []
    return [{"role": "user", "content": given}] if isinstance(given, str) else given


def _that_still_hold(options: CallOptions) -> CallOptions:
    """Later there is no client that waits, and the keys are the job's."""
    return structs.replace(
        options,
        idempotency_key=None,
        deadline_ms=None,
        respond_async=False,
        wait_s=0.0,
        client_retry=False,
        tell_budget=False,
        explain=frozenset(),
    )
