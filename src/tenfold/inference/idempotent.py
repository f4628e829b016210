"""`Idempotency-Key`: the call is made once, and its reply kept, before the end of it goes out, for whoever asks again.

A call with a key is answered in a flight that goes on when its client leaves, so that a retry finds the result.
What cost nothing is not kept: the key is free again.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

from tenfold.core.call import Call
from tenfold.core.errors import (
    IdempotencyInFlight,
    IdempotencyInterrupted,
    IdempotencyMismatch,
    IdempotencyReplyLost,
    StoreUnavailable,
    TenfoldError,
    UpstreamError,
)
from tenfold.inference import respond
from tenfold.inference.flight import Flight
from tenfold.inference.ports import Responder
from tenfold.inference.route import served_by
from tenfold.ledger.idempotency.ports import IdempotencyRows
from tenfold.ledger.idempotency.types import KEEP_S, Claim, Found, StoredReply, key_digest

logger = logging.getLogger(__name__)

MAX_REPLY_BYTES = 4 * 1024 * 1024

# What a piece of a stream holds that may be its last: the ends and the errors of the dialects. One that only looks so
# waits for the piece after it.
_MAY_END = (
    b"[DONE]",
    b"message_stop",
    b'"response.completed"',
    b'"response.incomplete"',
    b'"error"',
    b'"ended"',
    b'"failed"',
)
_NO_ERROR = b'"error":null'  # a Response says so from its first event on

_LAST_RETRY_S = 10.0

_REFUSALS: Final[dict[Found, Callable[[], TenfoldError]]] = {
    "in_flight": lambda: IdempotencyInFlight(
        "The first call with this Idempotency-Key is still running. Ask again for its result.", retry_after_s=1
    ),
    "interrupted": lambda: IdempotencyInterrupted(
        "The first call with this Idempotency-Key was broken off after the provider may have been asked; it is charged"
        " once and has no result. To ask again, use another key."
    ),
    "too_large": lambda: IdempotencyReplyLost(
        "The first call with this Idempotency-Key was answered and charged, but its reply was too large to be kept. To"
        " ask again, use another key."
    ),
    "mismatch": lambda: IdempotencyMismatch(
        "This Idempotency-Key was used before with another request. Use one key for each request."
    ),
}


class Idempotency:
    """What all calls with keys have in common. `holder` is this process (store.Members.id)."""

    def __init__(
        self,
        rows: IdempotencyRows,
        holder: UUID,
        *,
        max_reply_bytes: int = MAX_REPLY_BYTES,
        keep_s: float = KEEP_S,
        first_retry_s: float = 0.25,
    ) -> None:
        self.rows = rows
        self.holder = holder
        self.max_reply_bytes = max_reply_bytes
        self.keep_s = keep_s
        self.first_retry_s = first_retry_s


class KeyedReply:
    """One call with a key, and the reply to it on its way to the flight: a Responder and its Sender.

    Passes a stream on as it comes, but for its end; that, and a whole reply, go out with `end`."""

    def __init__(self, idempotency: Idempotency, call: Call, flight: Flight) -> None:
        self.gone = flight.gone
        self._all = idempotency
        self._rows = idempotency.rows
        self._call = call
        self._flight = flight
        self._claim: Claim | None = None  # ours, or it may be
        self._pieces: list[bytes] = []
        self._size = 0
        self._held = b""
        self._whole: tuple[int, str, bytes] | None = None

    async def claim(self) -> StoredReply | None:
        """None: the call is ours to make. Else what was sent before. Raises IdempotencyInFlight,
        IdempotencyInterrupted, IdempotencyMismatch, StoreUnavailable; then there is nothing to make."""
        self._flight.goes_on = True  # a claim that was sent must be seen through
        claim = self._claim = _claim_of(self._call, self._all.holder)
        claimed = await self._rows.claim(claim, keep_s=self._all.keep_s)
        if claimed.found == "new":
            return None
        self._claim = None
        if claimed.reply is not None:
            return claimed.reply
        refusal = _REFUSALS[claimed.found]()
        if isinstance(refusal, IdempotencyInterrupted):
            refusal.first = claimed.first
        raise refusal

    # -- what the stages call --------------------------------------------------------------------

    def whole(self, status: int, headers: str, body: bytes) -> None:
        self._keep(body)
        self._whole = status, headers, body

    def stream(self, status: int, headers: str) -> "KeyedReply":
        self._flight.stream(status, headers)
        return self

    async def send_bytes(self, data: bytes) -> None:
        self._keep(data)
        if _may_end(data):
            ready, self._held = self._held, data
        else:
            ready, self._held = self._held + data, b""
        if ready:
            await self._flight.send_bytes(ready)

    # -- the end ---------------------------------------------------------------------------------

    async def end(self) -> None:
        """Once the call has settled: what came of it is written down, and then the end of the reply goes out. Should
        the database be away it goes out all the same, and the writing is tried again until it is done; a process that
        ends before leaves the key to `settle_keys_of`."""
        try:
            if self._claim is not None:
                write = self._outcome(self._claim)
                away = isinstance(self._call.error, StoreUnavailable)  # whether the claim was made is not known
                if away or not await _done(write):
                    await self._let_go()
                    self._flight.end(_failed if self._has_failed else None)
                    await self._see_through(write)
        finally:
            await self._let_go()

    @property
    def _has_failed(self) -> bool:
        """By a bug: there is no reply, or half of one."""
        return self._call.status == "error" and self._call.error is None

    def _outcome(self, claim: Claim) -> Callable[[], Awaitable[None]]:
        """What is to be written: the reply; that there is none to keep; or that the key is free again."""
        call, rows = self._call, self._rows
        if call.status == "cancelled" or self._has_failed:
            if call.admission is not None and call.admission.begun:  # a provider may have been asked
                return lambda: rows.interrupt(claim, "interrupted")
            return lambda: rows.release(claim)
        if call.ticket is not None and not call.degraded:
            return lambda: rows.release(claim)  # its job is there once for the key, and tells how far it is
        if call.status == "error" and call.usage is None and not call.cost_nano:
            return lambda: rows.release(claim)
        if not call.cost_nano and ("template" in call.degraded or "stale" in call.degraded):
            return lambda: rows.release(claim)  # it may be asked anew when a provider is up again
        if self._size > self._all.max_reply_bytes:
            return lambda: rows.interrupt(claim, "too_large")
        reply = StoredReply(
            ended=call.status,
            http_status=call.http_status,
            stream=self._whole is None,
            model=call.model,
            provider=call.provider,
            upstream_model=call.upstream_model,
            upstream_request_id=call.upstream_request_id,
            ignored=call.ignored,
            body=b"".join(self._pieces),
        )
        return lambda: rows.finish(claim, reply)

    async def _see_through(self, write: Callable[[], Awaitable[None]]) -> None:
        pause_s = self._all.first_retry_s
        while not await _done(write):
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LAST_RETRY_S)

    async def _let_go(self) -> None:
        held, self._held = self._held, b""
        if held:
            await self._flight.send_bytes(held)
        if self._whole is not None and not self._flight.status:
            self._flight.whole(*self._whole)

    def _keep(self, data: bytes) -> None:
        if self._claim is None:
            return
        self._size += len(data)
        if self._size <= self._all.max_reply_bytes:
            self._pieces.append(data)
        else:
            self._pieces.clear()


async def replay(call: Call, reply: StoredReply, responder: Responder) -> None:
    """What was sent before, once more: the same status and bytes. This call itself used and cost nothing."""
    call.model, call.stream, call.ignored = reply.model, reply.stream, reply.ignored
    call.provider, call.upstream_model = reply.provider, reply.upstream_model
    call.upstream_request_id = reply.upstream_request_id
    if reply.provider is not None:
        call.served_by = served_by(reply.provider, reply.upstream_model or "")
    call.cost_nano = call.input_cost_nano = call.output_cost_nano = 0
    call.replayed = True
    if reply.ended != "ok":
        call.error = UpstreamError("The first call with this Idempotency-Key failed.", status=reply.http_status)
    call.http_status = reply.http_status
    sender = respond.replay(call, responder, body=None if reply.stream else reply.body)
    if sender is not None:
        await sender.send_bytes(reply.body)
    call.status = reply.ended


def _may_end(data: bytes) -> bool:
    looked_at = data.replace(_NO_ERROR, b"")
    return any(mark in looked_at for mark in _MAY_END)


def _failed() -> TenfoldError:
    return TenfoldError("Tenfold failed to handle this request; it has been logged.")


async def _done(write: Callable[[], Awaitable[None]]) -> bool:
    """False: the database is away, or was while it answered."""
    try:
        await write()
    except StoreUnavailable as error:
        logger.warning("the outcome of an idempotent call waits for the database: %s", error.message)
        return False
    return True


def _claim_of(call: Call, holder: UUID) -> Claim:
    assert call.options.idempotency_key is not None
    asked = hashlib.sha256(repr((call.operation, call.dialect, call.options.upstream_headers)).encode())
    asked.update(call.body)
    return Claim(
        tenant_id=call.principal.tenant_id,
        key=key_digest(call.options.idempotency_key),
        request_hash=asked.digest(),
        call_id=call.id,
        call_at=call.at,
        holder=holder,
    )
