"""The one path: every kind of call, whoever asks, goes through these stages in this order.

1 authenticate (before: a call has a principal), 2 admit, 3 route, 4 lookup, 5 call, 6 validate, 7 settle, 8 respond.
"""

import time
from asyncio import CancelledError
from contextlib import aclosing

from tenfold.cache.exact import Answer
from tenfold.core.call import NOT_ANSWERED, Call
from tenfold.core.errors import BrokenStream, TenfoldError, UpstreamError, UpstreamUnavailable
from tenfold.inference import respond
from tenfold.inference.admit import Admit
from tenfold.inference.call import Question, begin
from tenfold.inference.count import count_tokens
from tenfold.inference.lookup import Lookup
from tenfold.inference.ports import ClientDialect, OutcomeSink, Responder
from tenfold.inference.route import Router, Target
from tenfold.inference.settle import price, settle
from tenfold.inference.validate import PassingRelay, TranslatingRelay, check_stream_head, read_reply
from tenfold.providers.ports import Exchange


class Pipeline:
    def __init__(self, *, admit: Admit, router: Router, lookup: Lookup, sink: OutcomeSink) -> None:
        self._admit = admit
        self._router = router
        self._lookup = lookup
        self._sink = sink

    async def serve(self, call: Call, dialect: ClientDialect, responder: Responder) -> None:
        """Run one call to its reply. What goes wrong becomes a reply; only cancellation passes through, settled."""
        target: Target | None = None
        try:
            await self._admit.enter(call)
            answer = self._lookup.by_bytes(call)
            if answer is not None:
                await _replay(call, answer, responder)
                return
            peek = call.peek = dialect.peek(call.operation, call.body)
            call.model, call.stream = peek.model, peek.stream
            route = self._router.find(peek.model)
            answer = self._lookup.by_meaning(call)
            if answer is not None:
                await _replay(call, answer, responder)
                return
            question = Question(call, dialect)
            if call.operation == "count_tokens":
                tokens = await count_tokens(question, route)
                respond.whole(call, dialect.encode_count(tokens), responder)
                return
            await self._admit.reserve(call, route)
            target, exchange = await begin(question, route)
            try:
                if peek.stream:
                    await self._stream(question, target, exchange, responder)
                else:
                    await self._whole(question, target, exchange, responder)
            finally:
                exchange.abort()
        except TenfoldError as error:
            call.error = error
            respond.fail(call, error, dialect, responder)
        except responder.gone:
            _cancelled(call)
        except CancelledError:
            _cancelled(call)
            raise
        finally:
            settle(call, target)
            if call.admission is not None:
                self._admit.leave(call)
            self._sink.record(call)

    async def _whole(self, question: Question, target: Target, exchange: Exchange, responder: Responder) -> None:
        call = question.call
        body = await exchange.read()
        call.first_byte = time.perf_counter()
        call.stream_bytes = len(body)
        body = read_reply(question, target, body)
        price(call, target)
        respond.whole(call, body, responder)
        self._lookup.store(call, body)

    async def _stream(self, question: Question, target: Target, exchange: Exchange, responder: Responder) -> None:
        """Forward as it comes. From here on an error is an event of the stream: its status line is gone."""
        call = question.call
        await check_stream_head(exchange, target)
        sender = respond.begin_stream(call, responder)
        relay = (PassingRelay if question.speaks(target) else TranslatingRelay)(question, target, exchange)
        kept: list[bytes] | None = [] if call.cache_state == "miss" else None
        try:
            async with aclosing(relay.frames()) as stream:
                async for frames in stream:
                    if kept is not None:
                        kept = self._lookup.keep(kept, frames)
                    await sender.send_bytes(frames)
        except UpstreamError as error:
            # The transport cannot know that a reply had begun to reach somebody when its connection was lost.
            broken = error
            if isinstance(error, UpstreamUnavailable):
                broken = BrokenStream(error.message)
                broken.__cause__ = error
            call.status, call.error = "cut", broken
            await sender.send_bytes(question.dialect.error_frame(broken, call.request_id))
            return
        finally:
            relay.left()
        if call.error is not None:  # the upstream told of its failure in its own words, which went through
            call.status = "cut"
            return
        call.status = "ok"
        if kept is not None:
            self._lookup.store(call, b"".join(kept))


async def _replay(call: Call, answer: Answer, responder: Responder) -> None:
    call.cost_nano = 0
    if answer.stream:
        await respond.begin_stream(call, responder).send_bytes(answer.body)
        call.status = "ok"
    else:
        respond.whole(call, answer.body, responder)


def _cancelled(call: Call) -> None:
    """The client left. 499, as nginx says it, where no status line had gone out yet."""
    call.status = "cancelled"
    if call.http_status == NOT_ANSWERED:
        call.http_status = 499
