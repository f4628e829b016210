"""Tool calls of a stream, one after the other: this protocol's clients expect a block to end before the next begins.

Other dialects number their calls and may name several, or grow them in turn. A call's block stays open until its
arguments are a whole JSON value and another call has something to say; till then the others wait.
"""

import msgspec
from msgspec import Struct, field

from tenfold.core.chat import OpaquePart, ToolCallDelta


class PendingCall(Struct, kw_only=True):
    slot: int
    id: str = ""
    name: str = ""
    signature: str | None = None
    native: OpaquePart | None = None
    waiting: list[str] = field(default_factory=list)  # fragments not yet written
    written: list[str] = field(default_factory=list)

    def is_whole(self) -> bool:
        try:
            msgspec.json.decode("".join(self.written))
        except msgspec.DecodeError:
            return False
        return True


class ToolQueue:
    """The calls of one reply that are not yet written in full, in the order they were named."""

    def __init__(self) -> None:
        self._calls: list[PendingCall] = []
        self._done: set[int] = set()

    def add(self, delta: ToolCallDelta) -> bool:
        """False for arguments of a call whose block has ended: they cannot be told any more."""
        if delta.slot in self._done:
            return not delta.arguments.strip()
        call = next((call for call in self._calls if call.slot == delta.slot), None)
        if call is None:
            call = PendingCall(slot=delta.slot)
            self._calls.append(call)
        call.id, call.name = call.id or delta.id or "", call.name or delta.name or ""
        call.native, call.signature = call.native or delta.native, call.signature or delta.signature
        if delta.arguments:
            call.waiting.append(delta.arguments)
        return True

    def head(self) -> PendingCall | None:
        return self._calls[0] if self._calls else None

    def may_close_head(self) -> bool:
        return any(call.waiting for call in self._calls[1:]) and self._calls[0].is_whole()

    def close_head(self) -> None:
        self._done.add(self._calls.pop(0).slot)
