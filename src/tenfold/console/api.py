"""The JSON API beside the pages: ask, manage keys. Bearer keys only: no browser sends those unasked."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from tenfold.access.types import ApiKey
from tenfold.assistant.types import AnswerEnd, Citation
from tenfold.console.api_parts import MISSING, PROBLEMS, Body, Word, bearer
from tenfold.console.asking import answer_stream, degraded_header
from tenfold.console.services import ConsoleServices
from tenfold.core.errors import PermissionDenied
from tenfold.core.money import format_usd
from tenfold.core.principal import SCOPE_INFERENCE, SCOPE_KEYS, Principal


class AskBody(Body):
    question: str = Field(max_length=10_000)
    stream: bool = Field(False, description="Answer as server-sent events `delta` and `end`.")


class Source(BaseModel):
    number: int = Field(description="The mark [n] in the text.")
    title: str
    url: str
    heading: str
    span: tuple[int, int] = Field(description="Where it stands in the document, in characters.")
    excerpt: str


class AnswerBody(BaseModel):
    text: str
    outcome: Literal["answered", "abstained", "degraded"]
    notice: str | None
    citations: list[Source]
    nearest: list[Source] = Field(description="What the search found, where the text cites nothing.")
    latency_ms: int
    cost_usd: str | None = Field(description="Decimal; null when no price is known or no model was called.")
    cache: str | None
    model: str | None
    provider: str | None


class NewKeyBody(Body):
    name: str = Field(max_length=1000)
    scopes: list[str] = Field(default=[SCOPE_INFERENCE], max_length=20)
    expires_at: datetime | None = None
    origins: list[Word] = Field(
        default=[], max_length=20, description="Makes it a publishable key: the sites whose pages it may stand in."
    )


class KeyBody(BaseModel):
    id: str
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    origins: list[str] = Field(description="Of a publishable key: the sites whose pages it may stand in.")


class CreatedKeyBody(KeyBody):
    secret: str = Field(description="Shown this once.")


class KeyPage(BaseModel):
    data: list[KeyBody]
    next_cursor: str | None


def api_routes(services: ConsoleServices) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", responses=PROBLEMS)
    caller = Annotated[Principal, Depends(bearer(services))]

    @routes.post("/ask", response_model=AnswerBody, tags=["assistant"], summary="Ask the documents")
    async def ask(body: AskBody, who: caller) -> Response:
        who.require(SCOPE_INFERENCE)  # a publishable key asks by tickets, where it is slowed down
        if body.stream:
            return await answer_stream(services.assistant.ask(who, body.question), _end_as_json)
        answer = await services.assistant.answer(who, body.question)
        content = answer_body(answer.text, answer.end).model_dump_json()
        return Response(content, media_type="application/json", headers=_answer_headers(answer.end))

    @routes.get("/keys", tags=["keys"], summary="List the tenant's keys")
    async def list_keys(
        who: caller, cursor: str | None = None, limit: Annotated[int, Query(ge=1, le=100)] = 20
    ) -> KeyPage:
        who.require(SCOPE_KEYS)
        page = await services.keys.list_keys(who.tenant_id, cursor=cursor, limit=limit)
        return KeyPage(data=[KeyBody(**_fields(key)) for key in page.items], next_cursor=page.cursor)

    @routes.post("/keys", status_code=201, tags=["keys"], summary="Create a key")
    async def create_key(body: NewKeyBody, who: caller) -> CreatedKeyBody:
        who.require(SCOPE_KEYS)
        if not set(body.scopes) <= who.scopes:
            raise PermissionDenied("A key cannot give scopes it does not have.")
        created = await services.keys.create_key(who.tenant_id, body.name, body.scopes, body.expires_at, body.origins)
        return CreatedKeyBody(**_fields(created.key), secret=created.secret)

    @routes.delete("/keys/{key_id}", tags=["keys"], summary="Revoke a key", responses=MISSING)
    async def revoke_key(request: Request, key_id: str, who: caller) -> KeyBody:
        who.require(SCOPE_KEYS)
        return KeyBody(**_fields(await services.keys.revoke_key(who.tenant_id, key_id)))

    return routes


def answer_body(text: str, end: AnswerEnd) -> AnswerBody:
    call = end.call
    return AnswerBody(
        text=text,
        outcome=end.outcome,
        notice=end.notice,
        citations=[_source(citation) for citation in end.citations],
        nearest=[_source(citation) for citation in end.nearest],
        latency_ms=end.latency_ms,
        cost_usd=format_usd(call.cost_nano) if call and call.cost_nano is not None else None,
        cache=call.cache if call else None,
        model=call.model if call else None,
        provider=call.provider if call else None,
    )


def _source(citation: Citation) -> Source:
    return Source(**msgspec.structs.asdict(citation))


def _end_as_json(text: str, end: AnswerEnd) -> bytes:
    return answer_body(text, end).model_dump_json().encode()


def _answer_headers(end: AnswerEnd) -> dict[str, str]:
    headers = degraded_header(end)
    if end.call is not None:
        headers |= {"tenfold-cache": end.call.cache, "tenfold-model": end.call.model}
        if end.call.provider is not None:
            headers["tenfold-provider"] = end.call.provider
        if end.call.cost_nano is not None:
            headers["tenfold-cost-usd"] = format_usd(end.call.cost_nano)
    return headers


def _fields(key: ApiKey) -> dict[str, object]:
    return {
        "id": str(key.id),
        "name": key.name,
        "prefix": key.prefix,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "origins": sorted(key.origins),
    }
