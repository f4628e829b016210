"""The routes below `/v1/batches`."""

from datetime import datetime
from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType, ValidationError, convert, json

from tenfold.core.errors import InvalidRequest
from tenfold.core.headers import header_lines, still_holds
from tenfold.core.ids import uuid7
from tenfold.core.json_guard import load_json
from tenfold.core.money import format_usd
from tenfold.core.principal import SCOPE_INFERENCE, Principal
from tenfold.edge.http import Request
from tenfold.edge.lists import no_route, number_of, page_of, query_of
from tenfold.edge.options import read_options
from tenfold.inference import respond
from tenfold.inference.batches.handlers import Batches
from tenfold.inference.batches.types import Batch, LineError
from tenfold.inference.files.types import BATCH_KEEP_S, file_name

_MAX_BODY_BYTES = 64 * 1024
_ENDS = ("completed", "failed", "expired", "cancelled")
_LEAST_RETRY_S, _MOST_RETRY_S = 1, 60


class _ExpiresAfter(Struct, forbid_unknown_fields=True):
    anchor: Literal["created_at"]
    seconds: int


class _Asked(Struct, forbid_unknown_fields=True):
    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: dict[str, str] | None = None
    output_expires_after: _ExpiresAfter | UnsetType | None = UNSET


class BatchesResource:
    """Implements `edge.gateway.Resource`."""

    prefix = "/v1/batches"
    routes = (
        ("POST", "/v1/batches"),
        ("GET", "/v1/batches"),
        ("GET", "/v1/batches/{batch}"),
        ("POST", "/v1/batches/{batch}/cancel"),
    )

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    async def handle(self, request: Request, principal: Principal) -> None:
        """Raises TenfoldError, ClientGone, CancelledError."""
        principal.require(SCOPE_INFERENCE)
        match request.method, request.path.removeprefix(self.prefix).split("/")[1:]:
            case "POST", []:
                _tell(request, await self._create(request, principal))
            case "GET" | "HEAD", []:
                await self._list(request, principal)
            case "GET" | "HEAD", [name]:
                _tell(request, await self._batches.find(principal.tenant_id, name))
            case "POST", [name, "cancel"]:
                _tell(request, await self._batches.cancel(principal.tenant_id, name))
            case _:
                raise no_route(request.method, request.path)

    async def _create(self, request: Request, principal: Principal) -> Batch:
        options = read_options(request.headers)
        asked = _read(await request.body(_MAX_BODY_BYTES))
        keep = asked.output_expires_after or None
        return await self._batches.create(
            principal,
            input_file=asked.input_file_id,
            endpoint=asked.endpoint,
            window=asked.completion_window,
            metadata=asked.metadata,
            output_keep_s=BATCH_KEEP_S if keep is None else keep.seconds,
            options=options,
        )

    async def _list(self, request: Request, principal: Principal) -> None:
        options = query_of(request.query)
        page = await self._batches.list(
            principal.tenant_id, after=options.get("after"), limit=number_of(options, "limit", 20)
        )
        body = json.encode(page_of([told(batch) for batch in page.items], page.has_more))
        request.whole(200, respond.JSON + _request_id(), body)


def _read(body: bytes) -> _Asked:
    try:
        return convert(load_json(body), _Asked)
    except ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        raise InvalidRequest(f"{what}.", param=where.rstrip("`") or None) from None


def _tell(request: Request, batch: Batch) -> None:
    """With what a client that polls heeds: it need not read again what has not changed, nor ask too often."""
    tag = f'"{batch.version}"'
    pairs = [("etag", tag), ("cache-control", "no-cache"), ("tenfold-cost-usd", format_usd(batch.cost_nano))]
    if not batch.ended:
        pairs.append(("retry-after", str(_retry_s(batch))))
    lines = _request_id() + header_lines(pairs)
    if request.method != "POST" and still_holds(request.header(b"if-none-match"), tag):
        request.whole(304, lines, b"")
    else:
        request.whole(200, respond.JSON + lines, json.encode(told(batch)))


def _retry_s(batch: Batch) -> int:
    """A quarter of what is left at the rate so far."""
    done = batch.completed + batch.failed
    if not done:
        return 5 if batch.status == "in_progress" else 1
    left_s = batch.running_s / done * (batch.total - done)
    return int(min(max(left_s / 4, _LEAST_RETRY_S), _MOST_RETRY_S))


def _request_id() -> str:
    return respond.request_id_lines("openai", f"req_{uuid7().hex}")


def told(batch: Batch) -> dict[str, Any]:
    """A batch as OpenAI tells it."""
    spec, tokens = batch.spec, batch.tokens
    ended = None if batch.ended_at is None else int(batch.ended_at.timestamp())
    by_status = {status: ended if batch.status == status else None for status in _ENDS}
    return {
        "id": batch.public_id,
        "object": "batch",
        "endpoint": spec.endpoint,
        "model": batch.model,
        "errors": {"object": "list", "data": [_error(one) for one in batch.errors]} if batch.errors else None,
        "input_file_id": file_name(spec.input_file_id),
        "completion_window": spec.window,
        "status": batch.status,
        "output_file_id": None if batch.output_file_id is None else file_name(batch.output_file_id),
        "error_file_id": None if batch.error_file_id is None else file_name(batch.error_file_id),
        "created_at": int(batch.created_at.timestamp()),
        "in_progress_at": _seconds(batch.in_progress_at),
        "expires_at": int(batch.expires_at.timestamp()),
        "finalizing_at": _seconds(batch.finalizing_at),
        "completed_at": by_status["completed"],
        "failed_at": by_status["failed"],
        "expired_at": by_status["expired"],
        "cancelling_at": _seconds(batch.cancelling_at),
        "cancelled_at": by_status["cancelled"],
        "request_counts": {"total": batch.total, "completed": batch.completed, "failed": batch.failed},
        "usage": {
            "input_tokens": tokens.input,
            "input_tokens_details": {"cached_tokens": tokens.cached},
            "output_tokens": tokens.output,
            "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
            "total_tokens": tokens.input + tokens.output,
        },
        "metadata": spec.metadata,
    }


def _error(error: LineError) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "param": error.param, "line": error.line}


def _seconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())
