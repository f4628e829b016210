"""Anthropic's batch tier: Message Batches. A batch has no name of ours there but in the ids of its requests, which are
told again with its results alone."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Raw, Struct, json
from msgspec.json import Decoder

from tenfold.core.errors import UpstreamError
from tenfold.providers.batches.http import Channel, malformed, read_json
from tenfold.providers.batches.types import Outcome, TierLine, TierResult, TierState

_BATCHES = "/v1/messages/batches"
_NO_JSON = Raw(b"")
_PAGE = 100
_MOST_PAGES = 50
_CLOCKS_APART = timedelta(minutes=5)
_NOT_TOLD_YET_S = 60.0


class _Counts(Struct):
    processing: int = 0
    succeeded: int = 0
    errored: int = 0
    canceled: int = 0
    expired: int = 0

    @property
    def ended(self) -> int:
        return self.succeeded + self.errored + self.canceled + self.expired


class _Batch(Struct):
    id: str
    processing_status: str
    created_at: datetime
    request_counts: _Counts


class _Page(Struct):
    data: list[_Batch]
    has_more: bool = False


class _Answer(Struct):
    type: str
    message: Raw = _NO_JSON
    error: Raw = _NO_JSON


class _Result(Struct):
    custom_id: str
    result: _Answer


class _Kind(Struct):
    type: str = "api_error"


class _Error(Struct):
    error: _Kind


_BATCH, _PAGES, _RESULT, _ERROR = Decoder(_Batch), Decoder(_Page), Decoder(_Result), Decoder(_Error)
_OUTCOMES: dict[str, Outcome] = {"expired": "expired", "canceled": "cancelled"}
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}


class AnthropicBatches:
    """See `BatchTier`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def takes(self, path: str) -> bool:
        return path == "/v1/messages"

    async def submit(self, key: str, lines: Sequence[TierLine]) -> str:
        requests = [{"custom_id": f"{key}-{line.number}", "params": Raw(line.body)} for line in lines]
        return read_json(_BATCH, await self._channel.post(_BATCHES, json.encode({"requests": requests}))).id

    async def find(self, key: str, since: datetime, count: int) -> str | None:
        """Of those as large as this one the results tell whose they are, once there are any."""
        undecided = False
        earliest = since.astimezone(UTC) - _CLOCKS_APART
        path = f"{_BATCHES}?limit={_PAGE}"
        for _ in range(_MOST_PAGES):
            page = read_json(_PAGES, await self._channel.get(path))
            for batch in page.data:
                counts = batch.request_counts
                if batch.created_at < earliest or counts.processing + counts.ended != count:
                    continue
                if batch.processing_status != "ended":
                    undecided = True
                elif await self._is_of(batch.id, key):
                    return batch.id
            if not page.has_more or not page.data or page.data[-1].created_at < earliest:
                break
            path = f"{_BATCHES}?limit={_PAGE}&after_id={page.data[-1].id}"
        else:
            raise malformed("more batches than can be looked through")
        if undecided:
            raise UpstreamError(
                "Whether this batch was handed over is known when one that may be it has ended.",
                status=503,
                retry_after_s=_NOT_TOLD_YET_S,
            )
        return None

    async def state(self, batch_id: str) -> TierState:
        batch = read_json(_BATCH, await self._channel.get(f"{_BATCHES}/{batch_id}"))
        return TierState(ended=batch.processing_status == "ended", done=batch.request_counts.ended)

    async def results(self, batch_id: str) -> AsyncIterator[TierResult]:
        async for line in self._channel.lines(f"{_BATCHES}/{batch_id}/results"):
            yield _result(line)

    async def cancel(self, batch_id: str) -> None:
        try:
            await self._channel.post(f"{_BATCHES}/{batch_id}/cancel", b"{}")
        except UpstreamError as error:
            if error.status not in (400, 409) or not (await self.state(batch_id)).ended:
                raise

    async def _is_of(self, batch_id: str, key: str) -> bool:
        lines = self._channel.lines(f"{_BATCHES}/{batch_id}/results")
        try:
            async for line in lines:
                return read_json(_RESULT, line).custom_id.startswith(f"{key}-")
            return False
        finally:
            await lines.aclose()


def _result(line: bytes) -> TierResult:
    told = read_json(_RESULT, line)
    digits = told.custom_id.rpartition("-")[2]
    if not digits.isdecimal():
        raise malformed("a result of nobody's")
    number, result = int(digits), told.result
    if result.type == "succeeded":
        return TierResult(number=number, outcome="answered", status=200, body=bytes(result.message))
    if result.type == "errored":
        body = bytes(result.error)
        status = _STATUSES.get(read_json(_ERROR, body).error.type, 500)
        return TierResult(number=number, outcome="refused", status=status, body=body)
    outcome = _OUTCOMES.get(result.type, "refused")
    error = {"type": "error", "error": {"type": "api_error", "message": f"The request is {result.type}."}}
    return TierResult(number=number, outcome=outcome, status=500, body=json.encode(error))
