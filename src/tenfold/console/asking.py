"""Routes of the question: a form that works everywhere, and the same answer as a stream where scripts run."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tenfold.assistant.types import AnswerDelta, AnswerEnd, AskEvent
from tenfold.console.problems import problem
from tenfold.console.site import Site, see_other
from tenfold.console.views import FormError, answer_view
from tenfold.core.errors import InvalidRequest, RateLimited, TenfoldError, Unauthenticated
from tenfold.core.sse import sse

EncodeEnd = Callable[[str, AnswerEnd], bytes]


def asking_routes(site: Site) -> APIRouter:
    routes = APIRouter(include_in_schema=False)
    services = site.services

    @routes.get("/ask")
    async def ask_form() -> Response:
        return see_other("/")

    @routes.post("/ask")
    async def ask(request: Request) -> Response:
        visitor = await site.visitors.visitor(request)
        if visitor.session is None:
            return see_other("/login")
        fields = await site.visitors.form(request, visitor)
        question = fields.get("question", "")
        principal = visitor.session.principal
        try:
            answer = await services.assistant.answer(principal, question)
        except (InvalidRequest, RateLimited) as error:
            refused = FormError(message=error.message, field="question")
            page = await site.ask_page(principal, question=question, error=refused)
            return site.show(request, page, visitor, error.status)
        page = await site.ask_page(principal, question=question, answer=answer_view(answer.text, answer.end))
        response = site.show(request, page, visitor)
        response.headers.update(degraded_header(answer.end))
        return response

    @routes.post("/ask/stream")
    async def ask_stream(request: Request) -> Response:
        """The script's way. Refusals are problem+json, since there is no page to show them on."""
        visitor = await site.visitors.visitor(request)
        if visitor.session is None:
            return problem(request, Unauthenticated("Please log in again."))
        try:
            fields = await site.visitors.form(request, visitor)
            events = services.assistant.ask(visitor.session.principal, fields.get("question", ""))
            return await answer_stream(events, end_as_html)
        except TenfoldError as error:
            return problem(request, error)

    def end_as_html(text: str, end: AnswerEnd) -> bytes:
        return msgspec.json.encode({"html": site.renderer.answer(answer_view(text, end))})

    return routes


def degraded_header(end: AnswerEnd) -> dict[str, str]:
    """`search` stands for the passages in the place of an answer; before it are the steps the call itself took."""
    steps = [*(end.call.degraded if end.call else ()), *(["search"] if end.outcome == "degraded" else [])]
    return {"tenfold-degraded": ", ".join(steps)} if steps else {}


async def answer_stream(events: AsyncGenerator[AskEvent, None], encode_end: EncodeEnd) -> Response:
    """Server-sent events `delta` ({"text"}) and `end`. Raises what the first step raises, before any of it is sent.
    That it is degraded stands in a header where it is known by then."""
    first = await anext(events)
    headers = {"x-accel-buffering": "no"} | (degraded_header(first) if isinstance(first, AnswerEnd) else {})
    return StreamingResponse(_frames(first, events, encode_end), media_type="text/event-stream", headers=headers)


async def _frames(
    first: AskEvent, events: AsyncGenerator[AskEvent, None], encode_end: EncodeEnd
) -> AsyncIterator[bytes]:
    text = ""
    async with aclosing(events):
        event: AskEvent | None = first
        while event is not None:
            if isinstance(event, AnswerDelta):
                text += event.text
                yield sse(msgspec.json.encode({"text": event.text}), b"delta")
            else:
                yield sse(encode_end(text, event), b"end")
            event = await anext(events, None)
