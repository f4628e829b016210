"""The values of a vendor's batch tier."""

from typing import Literal

from msgspec import Struct

MAX_LINES = 10_000  # of one batch at a vendor: they take 50,000 (OpenAI) and 100,000 (Anthropic)
MAX_BYTES = 16 * 1024 * 1024
"""Of the bodies of one batch, which is in memory while it is handed over; the vendors take 200 and 256 MB."""

Outcome = Literal["answered", "refused", "expired", "cancelled"]


class TierLine(Struct, frozen=True, kw_only=True):
    """One request, in the vendor's dialect. All of a batch have the same `path` (as in `WireRequest`)."""

    number: int  # unique in its batch
    path: str
    body: bytes  # JSON


class TierState(Struct, frozen=True, kw_only=True):
    """How far a batch is. `ended`: there will be no more results than there are; `why` it failed as a whole, if it
    did."""

    ended: bool
    done: int = 0  # lines, as far as the vendor tells before the end
    why: str | None = None


class TierResult(Struct, frozen=True, kw_only=True):
    """What came of one line. `status` and `body` are as the vendor would have replied to it; of one that expired or was
    cancelled they say so."""

    number: int
    outcome: Outcome
    status: int
    body: bytes
