"""Which lines of a batch may be handed over, to whom, and in what pieces."""

import asyncio
from collections.abc import AsyncIterator, Mapping

from tenfold.core.errors import TenfoldError
from tenfold.inference.batches.lines import Line, not_in_a_batch, requested
from tenfold.inference.batches.types import Endpoint, Spec
from tenfold.inference.handover.charging import question_of
from tenfold.inference.handover.types import HandOverLimits, Seat
from tenfold.inference.planner import Planner
from tenfold.inference.route import Router
from tenfold.inference.structured import Structured

_DIALECTS = frozenset(("openai", "anthropic"))  # those whose replies leave nothing behind here
_OTHERS_TURN = 32  # lines, then others have their turn


class Cutting:
    """A line goes where the usual path would first send it, if that target has a batch tier. Nobody is asked."""

    def __init__(
        self,
        router: Router,
        planner: Planner,
        seats: Mapping[str, Seat],
        *,
        structured: Structured,
        limits: HandOverLimits,
    ) -> None:
        self._router = router
        self._planner = planner
        self._seats = seats
        self._structured = structured
        self._limits = limits

    async def pieces(
        self, spec: Spec, endpoint: Endpoint, lines: AsyncIterator[Line], but: set[int]
    ) -> AsyncIterator[tuple[str, tuple[int, ...]]]:
        """The label of a target, and numbers of lines for it; none of `but`. Raises as `lines`, StoreUnavailable."""
        open_: dict[str, tuple[list[int], int]] = {}
        seen = 0
        async for line in lines:
            seen += 1
            if seen % _OTHERS_TURN == 0:
                await asyncio.sleep(0)
            if line.number in but:
                continue
            label, size = await self._place(spec, endpoint, line) or ("", 0)
            if not label:
                continue
            numbers, bytes_ = open_.get(label, ([], 0))
            if numbers and (bytes_ + size > self._limits.max_bytes or len(numbers) >= self._limits.max_lines):
                yield label, tuple(numbers)
                numbers, bytes_ = [], 0
            numbers.append(line.number)
            open_[label] = numbers, bytes_ + size
        for label, (numbers, _) in open_.items():
            yield label, tuple(numbers)

    async def _place(self, spec: Spec, endpoint: Endpoint, line: Line) -> tuple[str, int] | None:
        """The label, and the bytes of its request there. None: the usual path does it, or says why not."""
        body = bytes(requested(line.text).body)
        if not_in_a_batch(body) is not None:
            return None
        try:
            question = question_of(spec.principal, endpoint, body, spec.options)
            if question.dialect.name not in _DIALECTS or await self._planner.kill(question.call) is not None:
                return None
            if question.call.peek is not None and question.call.peek.wants_json:
                self._structured.expect(question)
            target = self._planner.plan(question.call, self._router.find(question.call.model)).choices[0].target
            seat = self._seats.get(target.label)
            if seat is None or seat.target.quote(question.call.started_at) is None:
                return None
            request = question.encode(seat.target)
        except TenfoldError:
            return None
        if not seat.tier.takes(request.path) or len(request.body) > self._limits.max_bytes:
            return None
        return target.label, len(request.body)
