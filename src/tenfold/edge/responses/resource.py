"""`/v1/responses`: created, whole or streamed or in the background; retrieved, followed, cancelled, deleted."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from msgspec import json

from tenfold.core.call import Call, CallOptions
from tenfold.core.errors import InvalidRequest, Overloaded, TenfoldError, UnsupportedParameter
from tenfold.core.headers import header_lines, still_holds
from tenfold.core.ids import uuid7
from tenfold.core.principal import Principal
from tenfold.edge.dialects.responses import look
from tenfold.edge.http import Request
from tenfold.edge.lists import no_route, number_of, page_of, query_of
from tenfold.edge.options import read_options
from tenfold.edge.responses.reply import StoredReply
from tenfold.inference import respond
from tenfold.inference.pipeline import Pipeline
from tenfold.inference.ports import Responder
from tenfold.inference.responses.file_search import FileSearch, alone, is_wanted
from tenfold.inference.responses.handlers import DEFAULT_PAGE, Responses
from tenfold.inference.responses.types import Asked, JsonObject, StoredResponse

QUIET_S = 15.0  # a stream in which nothing happens says so often that it lives
_MOST_RETRY_AFTER_S = 10
_COMMENT = b": \n\n"


class Models(Protocol):
    """See tenfold.inference.route.Router."""

    def find(self, model: str) -> object:
        """Raises ModelNotFound."""
        ...


class ResponsesResource:
    """Implements `edge.gateway.Resource`. `stop` before the server stops: whoever follows then goes on elsewhere."""

    prefix = "/v1/responses"
    routes = (
        ("POST", "/v1/responses"),
        ("POST", "/v1/responses/input_tokens"),
        ("GET", "/v1/responses/{response}"),
        ("DELETE", "/v1/responses/{response}"),
        ("POST", "/v1/responses/{response}/cancel"),
        ("GET", "/v1/responses/{response}/input_items"),
    )

    def __init__(
        self,
        responses: Responses,
        pipeline: Pipeline,
        models: Models,
        *,
        max_body_bytes: int,
        quiet_s: float = QUIET_S,
        files: FileSearch | None = None,
    ) -> None:
        self._responses = responses
        self._making = responses.making
        self._dialect = responses.codec.dialect
        self._pipeline = pipeline
        self._models = models
        self._max_body_bytes = max_body_bytes
        self._quiet_s = quiet_s
        self._files = files
        self._stopped = False
        self._followers: set[asyncio.Future[None]] = set()  # each is done when its client is to go elsewhere

    def stop(self) -> None:
        self._stopped = True
        for follower in self._followers:
            if not follower.done():
                follower.set_result(None)

    async def handle(self, request: Request, principal: Principal) -> None:
        """Raises TenfoldError, ClientGone, CancelledError."""
        match request.method, request.path.removeprefix(self.prefix).split("/")[1:]:
            case "POST", []:
                await self._create(request, principal)
            case "POST", ["input_tokens"]:
                await self._count(request, principal)
            case "GET" | "HEAD", [name]:
                await self._retrieve(request, principal, name)
            case "DELETE", [name]:
                await self._responses.delete(principal, name)
                self._answer(request, {"id": name, "object": "response", "deleted": True})
            case "POST", [name, "cancel"]:
                row = await self._responses.cancel(principal, name)
                self._answer(request, self._responses.told(row))
            case "GET" | "HEAD", [name, "input_items"]:
                await self._list_items(request, principal, name)
            case _:
                raise no_route(request.method, request.path)

    # -- making one ------------------------------------------------------------------------------

    async def _create(self, request: Request, principal: Principal) -> None:
        options = read_options(request.headers)
        body = await request.body(self._max_body_bytes)
        value, typed = look(body)
        # RFC 7240: the client would take it later. What it wants as a stream, or not stored, it wants now.
        later = options.respond_async and not (typed.background or typed.stream or typed.store is False)
        if later:
            value = value | {"background": True}
        if self._files is None and is_wanted(value):
            raise UnsupportedParameter("There are no vector stores here to search.", param="tools")
        asked = await self._making.ask(principal, value, body, options)
        if later:
            await self._accept_later(request, principal, asked, options)
        elif asked.echo.background:
            if asked.stream:
                self._check_stopped()
            row = await self._accepted(principal, asked, options, somebody_waits=asked.stream)
            if row.stream:
                await self._follow(request, row, -1)
            else:
                self._answer(request, self._responses.told(row))
        else:
            reply = StoredReply(request, self._making, asked)
            if is_wanted(value):
                await self._search(principal, asked, options, reply)
            else:
                await self._pipeline.serve(self._call(principal, asked.body, options), self._dialect, reply)
            await reply.end()

    async def _search(self, principal: Principal, asked: Asked, options: CallOptions, reply: StoredReply) -> None:
        """In as many calls as the model needs. Raises what the search does, where nothing was told yet."""

        async def ask(body: bytes, responder: Responder, of_round: CallOptions, name: str) -> Call:
            call = self._call(principal, body, of_round)
            await self._pipeline.serve(call, self._dialect, responder)
            return call

        assert self._files is not None
        answered = await self._files.answer(principal, asked.echo, asked.body, options, reply, ask)
        if answered.error is not None and not answered.told:
            raise answered.error

    async def _accept_later(self, request: Request, principal: Principal, asked: Asked, options: CallOptions) -> None:
        """202, or the response itself where it has ended while the client would wait."""
        row = await self._accepted(principal, asked, options, somebody_waits=options.wait_s > 0)
        if options.wait_s > 0:
            row = await self._responses.wait(row, options.wait_s)
        if row.ended:
            self._answer(request, self._responses.told(row))
            return
        lines = header_lines(
            [
                ("location", f"{self.prefix}/{row.public_id}"),
                ("preference-applied", "respond-async"),
                ("retry-after", self._soon(row)),
            ]
        )
        self._answer(request, self._responses.told(row), lines, status=202)

    async def _accepted(
        self, principal: Principal, asked: Asked, options: CallOptions, *, somebody_waits: bool
    ) -> StoredResponse:
        """What cannot be done is refused now, not later."""
        body = alone(asked.body) if is_wanted(asked.echo.request) else asked.body
        peek = self._dialect.peek("chat", body)
        self._dialect.decode_chat(body)
        self._models.find(peek.model)
        return await self._making.accept(principal, asked, options, somebody_waits=somebody_waits)

    async def _count(self, request: Request, principal: Principal) -> None:
        options = read_options(request.headers)
        body = await request.body(self._max_body_bytes)
        value, typed = look(body)
        if typed.previous_response_id is not None:
            body = await self._making.body_of(principal.tenant_id, value)
        call = Call(
            principal=principal, operation="count_tokens", dialect=self._dialect.name, body=body, options=options
        )
        await self._pipeline.serve(call, self._dialect, request)

    def _call(self, principal: Principal, body: bytes, options: CallOptions) -> Call:
        return Call(principal=principal, operation="chat", dialect=self._dialect.name, body=body, options=options)

    # -- looking at one --------------------------------------------------------------------------

    async def _retrieve(self, request: Request, principal: Principal, name: str) -> None:
        query = query_of(request.query)
        row = await self._responses.get(principal.tenant_id, name)
        if query.get("stream", "false").lower() == "true":
            self._check_stopped()
            after = number_of(query, "starting_after", -1)
            await self._responses.check_followed(row)
            await self._follow(request, row, after)
            return
        if "starting_after" in query:
            raise InvalidRequest("`starting_after` goes with `stream=true`.", param="starting_after")
        tag = f'"{row.version}"'
        lines = header_lines([("etag", tag)] if row.ended else [("etag", tag), ("retry-after", self._soon(row))])
        if still_holds(request.header(b"if-none-match"), tag):
            request.whole(304, lines + _ids(), b"")
        else:
            self._answer(request, self._responses.told(row), lines)

    async def _list_items(self, request: Request, principal: Principal, name: str) -> None:
        query = query_of(request.query)
        order = query.get("order", "desc")
        if order not in ("asc", "desc"):
            raise InvalidRequest("`order` is 'asc' or 'desc'.", param="order")
        page = await self._responses.input_items(
            principal.tenant_id,
            name,
            after=query.get("after"),
            limit=number_of(query, "limit", DEFAULT_PAGE),
            newest_first=order == "desc",
        )
        self._answer(request, page_of(page.items, page.has_more))

    async def _follow(self, request: Request, row: StoredResponse, after: int) -> None:
        """To the end of it, or until the client leaves: the response is made all the same."""
        sender = request.stream(200, respond.EVENT_STREAM + _ids())
        stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._stopped:
            stopped.set_result(None)
        self._followers.add(stopped)
        try:
            events = self._responses.follow(row, after=after)
            async with aclosing(_until(stopped, events, self._quiet_s)) as frames:
                async for frame in frames:
                    await sender.send_bytes(_COMMENT if frame is None else frame)
        except (TenfoldError, _Stopped):  # deleted, the database away: the client must see that this is not all
            request.abort()
        finally:
            self._followers.discard(stopped)

    # -- inside ----------------------------------------------------------------------------------

    def _check_stopped(self) -> None:
        """Raises Overloaded: another process is to be followed on."""
        if self._stopped:
            raise Overloaded("This process is stopping. Try again.", retry_after_s=1)

    def _soon(self, row: StoredResponse) -> str:
        """In a tenth of the time it has taken so far, as whoever waits longer can wait longer."""
        return str(min(_MOST_RETRY_AFTER_S, max(1, round(self._responses.age_s(row) / 10))))

    def _answer(self, request: Request, value: JsonObject, lines: str = "", status: int = 200) -> None:
        request.whole(status, respond.JSON + _ids() + lines, json.encode(value))


class _Stopped(Exception):
    """This process goes."""


async def _until(
    stopped: asyncio.Future[None], frames: AsyncGenerator[bytes, None], quiet_s: float
) -> AsyncGenerator[bytes | None, None]:
    """None for each time that so long nothing came. Raises _Stopped."""
    waiting = asyncio.create_task(_next(frames), name="responses-follow")
    try:
        while True:
            await asyncio.wait((waiting, stopped), timeout=quiet_s, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                frame = waiting.result()
                if frame is None:
                    return
                yield frame
                waiting = asyncio.create_task(_next(frames), name="responses-follow")
            elif stopped.done():
                raise _Stopped
            else:
                yield None
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await frames.aclose()


async def _next(frames: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(frames, None)


def _ids() -> str:
    return respond.request_id_lines("openai", f"req_{uuid7().hex}")
