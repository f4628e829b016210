"""What a vendor's batch says of a line, as the result that the batch here has for it, and what that cost."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

from tenfold.core.errors import TenfoldError, UpstreamError
from tenfold.inference.batches.lines import Line, requested
from tenfold.inference.batches.ports import LineReply
from tenfold.inference.batches.results import result_of
from tenfold.inference.batches.types import LineResult
from tenfold.inference.call import Question
from tenfold.inference.handover.charging import Charging
from tenfold.inference.handover.types import Part, Seat
from tenfold.inference.structured import Structured
from tenfold.inference.validate import read_reply
from tenfold.providers.batches.types import TierResult


class Collecting:
    """The results of one part. `question` makes a line the call that it is."""

    def __init__(
        self,
        charging: Charging,
        structured: Structured,
        part: Part,
        seat: Seat,
        question: Callable[[Line], Question],
    ) -> None:
        self._charging = charging
        self._structured = structured
        self._part = part
        self._seat = seat
        self._question = question

    async def results(
        self, told: AsyncIterator[TierResult], lines: Mapping[int, Line], at_once: int
    ) -> AsyncIterator[list[LineResult]]:
        """In groups, as they come. Lines that are not in them have no result: whatever they were charged is to be
        given back. Raises as `told`, StoreUnavailable."""
        group = list[TierResult]()
        async for result in told:
            if result.number in lines:
                group.append(result)
            if len(group) >= at_once:
                yield await self._all(group, lines)
                group = []
        yield await self._all(group, lines)

    async def _all(self, group: list[TierResult], lines: Mapping[int, Line]) -> list[LineResult]:
        found = await asyncio.gather(*(self._result(one, lines[one.number]) for one in group))
        return [result for result in found if result is not None]

    async def _result(self, told: TierResult, line: Line) -> LineResult | None:
        """None: the usual path may do better."""
        question = self._question(line)
        if told.outcome == "answered":
            reply = await self._answered(question, told)
        elif told.outcome == "refused":
            error = self._error(told)
            if error.retryable or error.status in (401, 403):
                return None
            await self._charging.void(self._part, told.number)
            reply = self._refused(question, told.number, error)
        else:
            return None
        return result_of(line.number, requested(line.text).custom_id, reply)

    async def _answered(self, question: Question, told: TierResult) -> LineReply:
        """One that cannot be read may be billed all the same: what it did not tell stays an estimate."""
        target, call = self._seat.target, question.call
        error: TenfoldError | None = None
        try:
            body = read_reply(question, target, told.body)
            if call.peek is not None and call.peek.wants_json:
                self._structured.expect(question)
                body = self._structured.alone(question, target, told.body, body)
        except UpstreamError as unreadable:
            error = unreadable
            body = question.dialect.encode_error(error, self._request_id(told.number))
        cost_nano = 0
        if call.usage is not None:
            cost_nano = await self._charging.correct(self._part, told.number, call.usage, target)
        return LineReply(
            request_id=self._request_id(told.number),
            status=200 if error is None else error.status,
            body=body,
            cost_nano=cost_nano,
            error=error,
        )

    def _error(self, told: TierResult) -> UpstreamError:
        return self._seat.target.provider.wire.decode_error(told.status, [], told.body)

    def _refused(self, question: Question, number: int, error: UpstreamError) -> LineReply:
        request_id = self._request_id(number)
        body = question.dialect.encode_error(error, request_id)
        return LineReply(request_id=request_id, status=error.status, body=body, error=error)

    def _request_id(self, number: int) -> str:
        return f"req_{self._part.receipt_id(number).hex}"
