"""The one path: every kind of call, whoever asks, goes through these stages in this order.

1 authenticate (before: a call has a principal), 2 admit, 3 route, 4 lookup, 5 call, 6 validate, 7 settle, 8 respond.

A plain call goes through them in the task of its client. One with an `Idempotency-Key`, and one that others may share,
is answered in a flight.
"""

import asyncio
from asyncio import CancelledError
from collections.abc import Awaitable, Coroutine, Hashable
from contextlib import suppress
from time import perf_counter
from typing import Any

from tenfold.cache.exact import Answer
from tenfold.core.call import NOT_ANSWERED, Call
from tenfold.core.errors import DeadlineExceeded, TenfoldError
from tenfold.inference import respond
from tenfold.inference.admit import Admit
from tenfold.inference.call import Attempts, Question
from tenfold.inference.count import count_tokens
from tenfold.inference.degrade import Degrade
from tenfold.inference.flight import Flight, Flights
from tenfold.inference.idempotent import Idempotency, KeyedReply, replay
from tenfold.inference.lookup import Lookup
from tenfold.inference.offload import Offload
from tenfold.inference.planner import Planner, off
from tenfold.inference.ports import ClientDialect, OutcomeSink, Responder
from tenfold.inference.relay import cut, relay_stream, relay_whole
from tenfold.inference.route import Route, Router
from tenfold.inference.semantic.stage import Semantic
from tenfold.inference.settle import settle
from tenfold.inference.share import FlightFailed, follow, take_home
from tenfold.inference.structured import Structured


class Pipeline:
    """`aclose` after the last `serve`. `coalesce`: identical calls in flight, of those that the cache may answer, are
    one provider call."""

    def __init__(
        self,
        *,
        admit: Admit,
        router: Router,
        lookup: Lookup,
        sink: OutcomeSink,
        idempotency: Idempotency,
        planner: Planner | None = None,
        degrade: Degrade | None = None,
        structured: Structured | None = None,
        offload: Offload | None = None,
        semantic: Semantic | None = None,
        coalesce: bool = True,
    ) -> None:
        self._admit = admit
        self._router = router
        self._lookup = lookup
        self._sink = sink
        self._idempotency = idempotency
        self._planner = planner or Planner()
        self._degrade = degrade or Degrade(lookup=lookup)
        self._structured = structured or Structured()
        self._offload = offload
        self._semantic = semantic
        self._coalesce = coalesce
        self.flights = Flights()

    async def serve(self, call: Call, dialect: ClientDialect, responder: Responder) -> None:
        """Run one call to its reply. What goes wrong becomes a reply; only cancellation passes through, settled."""
        question = Question(call, dialect)
        keyed = call.options.idempotency_key is not None
        stages = self._board(question) if keyed else self._stages(question, responder)
        flight = await self._settled(question, responder, stages)
        if flight is not None:
            with suppress(responder.gone):  # the flight knows
                await take_home(flight, question, responder)

    async def aclose(self, timeout_s: float = 10.0) -> None:
        """Calls that go on without their clients get so long to end."""
        await self.flights.aclose(timeout_s)

    async def _board(self, question: Question) -> Flight:
        return self.flights.begin(question.call, lambda flight: self._once(question, flight))

    async def _once(self, question: Question, flight: Flight) -> None:
        """The flight of a call with an `Idempotency-Key`."""
        keyed = KeyedReply(self._idempotency, question.call, flight)
        try:
            await self._settled(question, keyed, self._stages(question, keyed, keyed))
        finally:
            await keyed.end()

    async def _stages(self, question: Question, responder: Responder, keyed: KeyedReply | None = None) -> Flight | None:
        """The flight that took the call over, if one did."""
        call, dialect = question.call, question.dialect
        # 2 admit
        await self._admit.enter(call)
        if keyed is not None:
            stored = await keyed.claim()
            if stored is not None:
                await replay(call, stored, responder)
                return None
        kill = question.kill = await self._planner.kill(call)
        # 4 lookup, of the unread body
        answer = self._lookup.by_bytes(call) if kill is None else None
        if answer is not None:
            await _reuse(call, answer, responder)
            return None
        # 3 route
        peek = call.peek = dialect.peek(call.operation, call.body)
        call.model, call.stream = peek.model, peek.stream
        route = self._router.find(peek.model)
        self._planner.set_deadline(call, route)
        if peek.wants_json:
            self._structured.expect(question)
        # 4 lookup
        key = self._lookup.key(call)
        answer = None
        if key is not None and kill is None:
            answer = self._lookup.by_meaning(call, key) or await self._lookup.by_others(call, key)
        if answer is not None:
            await _reuse(call, answer, responder)
            return None
        if call.operation == "count_tokens":
            if kill is not None:
                raise off(kill)
            tokens = await count_tokens(question, route)
            respond.whole(call, dialect.encode_count(tokens), responder)
            return None
        semantic = self._semantic
        if semantic is not None and kill is None and semantic.may(call):
            answer, question.looked_up = await semantic.look_up(call)
            if answer is not None:
                await _reuse(call, answer, responder)
                return None
        offload = self._offload
        if offload is not None and kill is None and offload.may(call) and await offload.take(call, responder):
            return None
        # A call with a key has a result of its own.
        if self._coalesce and key is not None and keyed is None and kill is None and self._lookup.may_share(call):
            return await self._share(question, route, key, responder)
        await self._ask(question, route, key, responder)
        return None

    async def _share(self, question: Question, route: Route, key: Hashable, responder: Responder) -> Flight | None:
        """Follow the flight that answers the same question; when there is none, this call begins one, and it is the
        call's from then on. A flight that failed does not fail its followers: they meet in another one, once."""
        call = question.call
        at = call.principal.tenant_id, key
        may_fail = True
        while (flight := self.flights.find(at)) is not None:
            following = follow(flight, question, responder, self._admit)
            try:
                await (following if call.deadline is None else self._in_time(question, call.deadline, following))
                return None
            except FlightFailed as failed:
                if not may_fail:
                    raise failed.error from None
                may_fail = False
            except DeadlineExceeded as late:  # this call's own
                if not await self._degrade.answer(question, key, late, responder):
                    raise
                return None
        return self.flights.begin(
            call,
            lambda flight: self._settled(question, flight, self._ask(question, route, key, flight)),
            key=at,
            keep_bytes=self._lookup.max_answer_bytes,
        )

    async def _ask(self, question: Question, route: Route, key: Hashable, responder: Responder) -> None:
        """What is declared for the feature takes the place of an answer that no provider gave."""
        call = question.call
        try:
            if question.kill is not None:
                raise off(question.kill)
            answering = self._from_providers(question, route, key, responder)
            await (answering if call.deadline is None else self._in_time(question, call.deadline, answering))
        except TenfoldError as error:
            if question.sender is not None or not await self._degrade.answer(question, key, error, responder):
                raise

    async def _in_time(self, question: Question, deadline: float, answering: Coroutine[Any, Any, None]) -> None:
        """Raises DeadlineExceeded where no reply has begun; a stream ends with it."""
        try:
            async with asyncio.timeout(deadline - perf_counter()):
                await answering
        except TimeoutError:
            late = DeadlineExceeded("The deadline of this request passed before its reply was complete.")
            if question.sender is None:
                raise late from None
            await cut(question, late, question.sender)

    async def _from_providers(self, question: Question, route: Route, key: Hashable, responder: Responder) -> None:
        call = question.call
        # 3 route
        plan = self._planner.plan(call, route)
        await self._admit.reserve(call, plan.targets)
        attempts = Attempts(question, plan, self._admit)
        # 5 call, 6 validate, 8 respond
        if key is None and self._degrade.keeps_stale(call):
            key = self._lookup.stale_key(call)
        body: bytes | None
        if call.stream:
            keep = None if key is None and question.looked_up is None else self._lookup.keep
            body = await relay_stream(question, attempts, responder, self._structured, keep)
        else:
            body = await relay_whole(question, attempts, responder, self._structured)
        if body is None:
            return
        if key is not None:
            self._lookup.store(call, key, body)
        if question.looked_up is not None and self._semantic is not None:
            self._semantic.keep(call, question.looked_up, body)

    async def _settled(
        self, question: Question, responder: Responder, stages: Awaitable[Flight | None]
    ) -> Flight | None:
        """However the stages end, the call has one reply and is settled once: here, or by the flight that took it."""
        call = question.call
        flight = None
        try:
            flight = await stages
        except TenfoldError as error:
            call.error = error
            respond.fail(call, error, question.dialect, responder)
        except responder.gone:
            _cancelled(call)
        except CancelledError:
            _cancelled(call)
            raise
        finally:
            if flight is None:
                # 7 settle
                settle(call, question.target)
                if call.admission is not None:
                    self._admit.leave(call)
                self._sink.record(call)
        return flight


async def _reuse(call: Call, answer: Answer, responder: Responder) -> None:
    call.cost_nano = 0
    await respond.at_once(call, answer.body, responder)


def _cancelled(call: Call) -> None:
    """The client left. 499, as nginx says it, where no status line had gone out yet."""
    call.status = "cancelled"
    if call.http_status == NOT_ANSWERED:
        call.http_status = 499
