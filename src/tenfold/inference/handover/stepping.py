"""One part of a batch, one step on: charged, handed over, looked after, collected."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from msgspec import structs

from tenfold.core.clock import Clock
from tenfold.core.errors import StoreUnavailable, TenfoldError, UpstreamError
from tenfold.inference.batches.lines import Line, lines_of, requested
from tenfold.inference.batches.ports import BatchRows
from tenfold.inference.batches.types import Batch, Endpoint, LineResult
from tenfold.inference.call import Question
from tenfold.inference.handover.charging import Charging, question_of
from tenfold.inference.handover.collecting import Collecting
from tenfold.inference.handover.cutting import Cutting
from tenfold.inference.handover.ports import PartRows
from tenfold.inference.handover.types import HandOverLimits, Part, Seat
from tenfold.inference.structured import Structured
from tenfold.providers.batches.types import TierLine

logger = logging.getLogger(__name__)

_RECORDED_AT_ONCE = 100
_OURS = (401, 403)  # of our key: it may be put right


class Content(Protocol):
    def __call__(self) -> AsyncIterator[bytes]: ...


class Watch(Protocol):
    """Who looks after the batch that the part is of."""

    @property
    def stopping(self) -> bool:
        """Whether nothing more is to be begun."""
        ...

    async def look(self) -> None:
        """Raises JobLost, StoreUnavailable."""
        ...

    async def record(self, results: list[LineResult]) -> None:
        """The same."""
        ...


@dataclass(frozen=True, kw_only=True)
class Means:
    """What all hand-overs of a process share. `seats`: by the label of a target, those that have a batch tier."""

    parts: PartRows
    rows: BatchRows
    cutting: Cutting
    charging: Charging
    seats: dict[str, Seat]
    clock: Clock
    max_line_bytes: int = 20 * 1024 * 1024
    structured: Structured = field(default_factory=Structured)
    limits: HandOverLimits = field(default_factory=HandOverLimits)


class Steps:
    """Of the parts of one batch. `doubtful`: those that a vendor may have got, and nobody knows; `done`: lines that
    vendors told of, by part."""

    def __init__(
        self, means: Means, batch: Batch, endpoint: Endpoint, content: Content, watch: Watch, doubtful: set[UUID]
    ) -> None:
        self._means = means
        self._batch = batch
        self._endpoint = endpoint
        self._content = content
        self._watch = watch
        self._doubtful = doubtful
        self.done: dict[UUID, int] = {}

    async def step(self, part: Part) -> Part:
        """As it is now; whatever may pass is tried again by the next step. Raises JobLost, StoreUnavailable, Conflict
        (the input file is gone)."""
        seat = self._means.seats.get(part.target)
        if seat is None:
            logger.error("a target of a handed-over batch is not configured (any more): %s", part.target)
            return part
        try:
            if part.state == "cut":
                return await self._charge(part, seat)
            if part.vendor_id is None:
                return await self._submit(part, seat)
            return await self._watched(part, part.vendor_id, seat)
        except UpstreamError as error:
            if error.retryable or (part.state == "handed" and error.status in _OURS):
                logger.warning("the batch tier of %s could not be asked: %s", part.target, error.message)
                return part
            logger.error("the batch tier of %s took no batch: %s", part.target, error.message)
            return await self._give_up(part)

    async def cancel(self, part: Part) -> bool:
        """Whether the vendor knows."""
        seat = self._means.seats.get(part.target)
        if seat is None or part.vendor_id is None:
            return True
        try:
            await seat.tier.cancel(part.vendor_id)
        except UpstreamError as error:
            logger.warning("a batch at %s could not be cancelled: %s", part.target, error.message)
            return not error.retryable
        return True

    def lines(self) -> AsyncIterator[Line]:
        """All of the input file."""
        return lines_of(self._content(), self._means.max_line_bytes)

    # -- the steps -----------------------------------------------------------------------------

    async def _charge(self, part: Part, seat: Seat) -> Part:
        """A line that there is no money for is left to the usual path, which tells it so."""
        if self._watch.stopping:
            return await self._give_up(part)
        charged = list[int]()
        for number, line in (await self._lines_of(part)).items():
            if await self._is_charged(part, line, seat):
                charged.append(number)
            elif part.id in self._doubtful:
                await self._means.charging.void(part, number)
        self._doubtful.discard(part.id)
        return await self._put(part, lines=tuple(charged), state="charged" if charged else "collected")

    async def _is_charged(self, part: Part, line: Line, seat: Seat) -> bool:
        while True:
            await asyncio.sleep(0)  # others have their turn
            try:
                await self._means.charging.charge(part, line.number, self._question(line), seat.target)
                return True
            except StoreUnavailable:
                raise
            except TenfoldError as error:
                if not error.retryable or self._watch.stopping:
                    return False
                await asyncio.sleep(min(error.retry_after_s or 1.0, self._means.limits.poll_s))
                await self._watch.look()

    async def _submit(self, part: Part, seat: Seat) -> Part:
        vendor_id = None
        if part.id in self._doubtful:
            vendor_id = await seat.tier.find(part.key, part.at, len(part.lines))
        if vendor_id is None and self._watch.stopping:
            return await self._give_up(part)
        if vendor_id is None:
            lines = list[TierLine]()
            for number, line in (await self._lines_of(part)).items():
                request = self._question(line).encode(seat.target)
                lines.append(TierLine(number=number, path=request.path, body=request.body))
            self._doubtful.add(part.id)
            vendor_id = await seat.tier.submit(part.key, lines)
        self._doubtful.discard(part.id)
        return await self._put(part, vendor_id=vendor_id, state="handed")

    async def _watched(self, part: Part, vendor_id: str, seat: Seat) -> Part:
        state = await seat.tier.state(vendor_id)
        self.done[part.id] = state.done
        if state.why is not None:
            logger.warning("a batch at %s failed: %s", part.target, state.why)
        return await self._collect(part, vendor_id, seat) if state.ended else part

    async def _collect(self, part: Part, vendor_id: str, seat: Seat) -> Part:
        means = self._means
        left = set(part.lines) - set(await means.rows.done(part.tenant_id, part.batch_id))
        lines = await self._lines_of(part)
        collecting = Collecting(means.charging, means.structured, part, seat, self._question)
        found = list[LineResult]()
        async for results in collecting.results(seat.tier.results(vendor_id), lines, means.limits.at_once):
            left.difference_update(result.line for result in results)
            found += results
            if len(found) >= _RECORDED_AT_ONCE:
                await self._watch.record(found)
                found = []
        await self._watch.record(found)
        self.done.pop(part.id, None)
        for number in left:
            await means.charging.void(part, number)
        return await self._put(part, state="collected")

    async def _give_up(self, part: Part) -> Part:
        """Nothing comes of it at the vendor: its lines go the usual path."""
        for number in part.lines:
            await self._means.charging.void(part, number)
        return await self._put(part, state="collected")

    async def _put(self, part: Part, **changes: Any) -> Part:
        changed = structs.replace(part, **changes)
        await self._means.parts.put(changed)
        return changed

    def _question(self, line: Line) -> Question:
        spec = self._batch.spec
        return question_of(spec.principal, self._endpoint, bytes(requested(line.text).body), spec.options)

    async def _lines_of(self, part: Part) -> dict[int, Line]:
        """In memory: a part is at most so large."""
        wanted = set(part.lines)
        return {line.number: line async for line in self.lines() if line.number in wanted}
