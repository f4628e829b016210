"""OpenAI's batch tier: a file of requests, a batch over it, and files of results. Files there are gone after three
days, whoever forgets them."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta

from msgspec import Raw, Struct, json
from msgspec.json import Decoder

from tenfold.core.errors import UpstreamError
from tenfold.core.ids import uuid7
from tenfold.providers.batches.http import Channel, malformed, read_json
from tenfold.providers.batches.types import Outcome, TierLine, TierResult, TierState

KEY = "tenfold_key"  # of a batch's metadata
KEPT_S = 3 * 86_400
_PATHS = frozenset(("/chat/completions", "/embeddings", "/responses"))
_NO_JSON = Raw(b"")
_PAGE = 100
_MOST_PAGES = 50
_CLOCKS_APART = timedelta(minutes=5)
_ENDED = frozenset(("completed", "failed", "expired", "cancelled"))


class _Named(Struct):
    id: str


class _Counts(Struct):
    completed: int = 0
    failed: int = 0


class _Error(Struct):
    code: str | None = None
    message: str | None = None


class _Errors(Struct):
    data: list[_Error] | None = None


class _Batch(Struct):
    id: str
    status: str
    created_at: int = 0
    metadata: dict[str, str] | None = None
    request_counts: _Counts | None = None
    errors: _Errors | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None


class _Page(Struct):
    data: list[_Batch]
    has_more: bool = False


class _Response(Struct):
    status_code: int
    body: Raw = _NO_JSON


class _Result(Struct):
    custom_id: str
    response: _Response | None = None
    error: _Error | None = None


_NAMED, _BATCH, _PAGES, _RESULT = Decoder(_Named), Decoder(_Batch), Decoder(_Page), Decoder(_Result)
_OUTCOMES: dict[str | None, Outcome] = {"batch_expired": "expired", "batch_cancelled": "cancelled"}


class OpenAIBatches:
    """See `BatchTier`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def takes(self, path: str) -> bool:
        return path in _PATHS

    async def submit(self, key: str, lines: Sequence[TierLine]) -> str:
        boundary = uuid7().hex
        content_type = f"multipart/form-data; boundary={boundary}".encode()
        upload = await self._channel.post("/files", _form(key, lines, boundary), [(b"content-type", content_type)])
        asked = {
            "input_file_id": read_json(_NAMED, upload).id,
            "endpoint": f"/v1{lines[0].path}",
            "completion_window": "24h",
            "metadata": {KEY: key},
            "output_expires_after": {"anchor": "created_at", "seconds": KEPT_S},
        }
        return read_json(_BATCH, await self._channel.post("/batches", json.encode(asked))).id

    async def find(self, key: str, since: datetime, count: int) -> str | None:
        """`count` is not needed: the batch says whose it is."""
        earliest = (since - _CLOCKS_APART).timestamp()
        path = f"/batches?limit={_PAGE}"
        for _ in range(_MOST_PAGES):
            page = read_json(_PAGES, await self._channel.get(path))
            for batch in page.data:
                if batch.metadata is not None and batch.metadata.get(KEY) == key:
                    return batch.id
            if not page.has_more or not page.data or page.data[-1].created_at < earliest:
                return None
            path = f"/batches?limit={_PAGE}&after={page.data[-1].id}"
        raise malformed("more batches than can be looked through")

    async def state(self, batch_id: str) -> TierState:
        batch = await self._batch(batch_id)
        counts = batch.request_counts or _Counts()
        return TierState(
            ended=batch.status in _ENDED,
            done=counts.completed + counts.failed,
            why=_why(batch) if batch.status == "failed" else None,
        )

    async def results(self, batch_id: str) -> AsyncIterator[TierResult]:
        batch = await self._batch(batch_id)
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id is not None:
                async for line in self._channel.lines(f"/files/{file_id}/content"):
                    yield _result(line)

    async def cancel(self, batch_id: str) -> None:
        try:
            await self._channel.post(f"/batches/{batch_id}/cancel", b"{}")
        except UpstreamError as error:
            if error.status not in (400, 409) or not (await self.state(batch_id)).ended:
                raise

    async def _batch(self, batch_id: str) -> _Batch:
        return read_json(_BATCH, await self._channel.get(f"/batches/{batch_id}"))


def _form(key: str, lines: Sequence[TierLine], boundary: str) -> bytes:
    fields = {"purpose": "batch", "expires_after[anchor]": "created_at", "expires_after[seconds]": str(KEPT_S)}
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{key}.jsonl"\r\n'
        "Content-Type: application/jsonl\r\n\r\n".encode()
    )
    for line in lines:
        asked = {"custom_id": str(line.number), "method": "POST", "url": f"/v1{line.path}", "body": _on_one_line(line)}
        parts += (json.encode(asked), b"\n")
    return b"".join((*parts, f"\r\n--{boundary}--\r\n".encode()))


def _on_one_line(line: TierLine) -> Raw:
    """No newline can stand inside a JSON string, so those there are mean nothing."""
    return Raw(line.body.replace(b"\n", b" ").replace(b"\r", b" "))


def _result(line: bytes) -> TierResult:
    result = read_json(_RESULT, line)
    if not result.custom_id.isdecimal():
        raise malformed("a result of nobody's")
    number = int(result.custom_id)
    if result.response is not None and result.response.status_code:
        status = result.response.status_code
        outcome: Outcome = "answered" if status < 300 else "refused"
        return TierResult(number=number, outcome=outcome, status=status, body=bytes(result.response.body))
    error = result.error or _Error()
    outcome = _OUTCOMES.get(error.code, "refused")
    told = {"error": {"message": error.message or "", "type": "batch_error", "code": error.code, "param": None}}
    return TierResult(number=number, outcome=outcome, status=500, body=json.encode(told))


def _why(batch: _Batch) -> str:
    told = [error.message for error in (batch.errors.data if batch.errors else None) or [] if error.message]
    return "; ".join(told[:3])[:1000] or "the provider says no more"
