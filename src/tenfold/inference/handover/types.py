"""The values of a hand-over."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID, uuid5

from msgspec import Struct

from tenfold.core.ids import TenantId
from tenfold.inference.route import Target
from tenfold.providers.batches.ports import BatchTier
from tenfold.providers.batches.types import MAX_BYTES, MAX_LINES

State = Literal["cut", "charged", "handed", "collected"]
"""cut: its lines are being charged; charged: the vendor may have it, or not; handed: the vendor has it; collected: all
that came of it is written down, and the lines that nothing came of go the usual path."""


class Part(Struct, frozen=True, kw_only=True):
    """Lines of one batch that are one batch at a vendor."""

    tenant_id: TenantId
    batch_id: UUID
    id: UUID
    target: str  # label
    at: datetime  # of the receipts, in whole milliseconds
    lines: tuple[int, ...]
    state: State = "cut"
    vendor_id: str | None = None

    @property
    def key(self) -> str:
        """By which the vendor knows it."""
        return self.id.hex

    def receipt_id(self, line: int) -> UUID:
        """The same however often the line is charged, so that it is charged once."""
        return uuid5(self.id, str(line))


@dataclass(frozen=True, kw_only=True)
class Seat:
    """A target with a batch tier. `target` has the prices of that tier."""

    target: Target
    tier: BatchTier


@dataclass(frozen=True, kw_only=True)
class HandOverLimits:
    """Times in seconds."""

    least_window_s: float = 86_400.0  # of batches that may be handed over: vendors promise a day
    least_left_s: float = 43_200.0  # of that window
    poll_s: float = 30.0  # the longest pause between two looks at the vendor; the first ones are shorter
    look_s: float = 2.0  # between two looks at whether the batch is cancelled, or late
    drain_s: float = 900.0  # a vendor may take so long to cancel; what it has not told by then stays an estimate
    settle_s: float = 0.2  # until a receipt that was just written is looked for again; doubles, five times
    at_once: int = 8  # results that are written down together
    max_lines: int = MAX_LINES
    max_bytes: int = MAX_BYTES
