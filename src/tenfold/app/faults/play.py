"""An answer on the wire, with what its fate does to it there: silence, resets, cuts, drips, and bytes without end."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from typing import NoReturn

from tenfold.app.faults.answers import Answer
from tenfold.app.faults.fate import Fate
from tenfold.app.faults.http import LAST_CHUNK, Line, chunk, head

Pause = Callable[[float], Awaitable[object]]

_DRIP_BYTES = 8
_ENDLESS = b"x" * 16384
_BOMB_MIB = 1024
_FLOOD_PAUSE_S = 0.0015


def _bomb_block() -> bytes:
    """A MiB of blanks, compressed and flushed whole: repeated, it goes on as valid deflate."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(b" " * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)


_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_GZIP_MIB = _bomb_block()


class Player:
    """One answer. `on_head` is told the status when a head goes out; `pause` waits so many seconds."""

    def __init__(self, line: Line, fate: Fate, on_head: Callable[[int], None], pause: Pause) -> None:
        self._line = line
        self._fate = fate
        self._on_head = on_head
        self._pause = pause

    async def play(self, answer: Answer) -> bool:
        """Whether the reply came to its end and the connection can be used again."""
        ending = self._fate.ending
        name, mode = ("", "") if ending is None else (ending.name, ending.mode)
        match name, mode:
            case "hang", "before-head":
                await self._line.silence()
            case "reset", "before-head":
                self._line.reset()
                return False
            case "oversize", "header":
                await self._endless_head(answer)
            case "oversize", _:
                await self._endless_body(answer, one_event=mode == "event")
            case "gzip-bomb", _:
                return await self._bomb(answer)
            case "empty", _:
                answer = Answer(headers=answer.headers, frames=() if answer.frames is not None else None)
            case "malformed", _:
                answer = _malformed(answer, whole=mode == "body")
        return await (self._whole(answer) if answer.frames is None else self._stream(answer, answer.frames))

    # -- replies -------------------------------------------------------------------------------

    async def _whole(self, answer: Answer) -> bool:
        body, name = answer.body, self._at()
        if name == "mid-stream-end":  # in order for HTTP
            body = body[: len(body) // 2]
        first = self._head(answer, len(body))
        if name in ("", "mid-stream-end", "error-event"):
            await self._write(first + body)
            return True
        await self._write(first if name == "after-head" else first + body[: len(body) // 2])
        return await self._break(name)

    async def _stream(self, answer: Answer, frames: tuple[bytes, ...]) -> bool:
        fate, name = self._fate, self._at()
        shown = len(frames) if not name else 0 if name == "after-head" else self._frames_shown(len(frames))
        written = self._head(answer, None)
        for frame in frames[:shown]:
            if fate.pace_s or fate.drip_s:
                await self._write(written)
                await self._pause(fate.pace_s)
                written = b""
            written += chunk(frame)
        if name == "error-event":
            written += chunk(answer.error_event)
        if not name or name in ("mid-stream-end", "error-event"):
            await self._write(written + LAST_CHUNK)
            return True
        await self._write(written)
        return await self._break(name)

    def _at(self) -> str:
        """Where in the body it breaks: "" when it does not."""
        ending = self._fate.ending
        if ending is None:
            return ""
        if ending.name in ("hang", "reset"):
            return ending.mode if ending.mode == "after-head" else ending.name
        return ending.name if ending.name in ("mid-stream-cut", "mid-stream-end", "error-event") else ""

    def _frames_shown(self, frames: int) -> int:
        ending = self._fate.ending
        assert ending is not None
        return min(int(ending.numbers[0]), frames) if ending.numbers else max(1, frames // 2)

    async def _break(self, name: str) -> bool:
        if name == "reset":
            self._line.reset()
        elif name in ("hang", "after-head"):
            await self._line.silence()
        return False

    # -- too much ------------------------------------------------------------------------------

    async def _endless_head(self, answer: Answer) -> NoReturn:
        first = head(answer.status, answer.headers, None)
        await self._line.write(first.removesuffix(b"\r\n"))
        while True:
            await self._flood(b"x-more: %b\r\n" % _ENDLESS[:1000])

    async def _endless_body(self, answer: Answer, *, one_event: bool) -> NoReturn:
        """Of a stream: events without end, or one that never ends; of a whole reply: a text that never ends."""
        await self._line.write(self._head(answer, None))
        if answer.frames is None:
            await self._line.write(chunk(answer.body.rstrip(b"}")[:-1]))
        elif one_event:
            await self._line.write(chunk(answer.frames[0].rstrip().rstrip(b"}")[:-1]))
        else:
            middle = answer.frames[len(answer.frames) // 2]
            await self._line.write(b"".join(chunk(frame) for frame in answer.frames[: len(answer.frames) // 2]))
            many = chunk(middle * (len(_ENDLESS) // len(middle) + 1))
            while True:  # well-formed as they are nobody refuses them: some 10 MB a second are enough to see that
                await self._flood(many)
                await self._pause(_FLOOD_PAUSE_S)
        while True:
            await self._flood(chunk(_ENDLESS))

    async def _bomb(self, answer: Answer) -> bool:
        """A GiB in a MB."""
        self._on_head(answer.status)
        headers = (*answer.headers, ("content-encoding", "gzip"))
        await self._line.write(head(answer.status, headers, None) + chunk(_GZIP_HEAD))
        for _ in range(_BOMB_MIB):
            await self._flood(chunk(_GZIP_MIB))
        await self._line.write(LAST_CHUNK)
        return True

    async def _flood(self, data: bytes) -> None:
        """Lets others have their turn, and itself be cancelled, however fast the client reads."""
        await self._line.write(data)
        await asyncio.sleep(0)

    # -- bytes ---------------------------------------------------------------------------------

    def _head(self, answer: Answer, length: int | None) -> bytes:
        self._on_head(answer.status)
        return head(answer.status, answer.headers, length)

    async def _write(self, data: bytes) -> None:
        drip_s = self._fate.drip_s
        if not drip_s:
            await self._line.write(data)
            return
        for at in range(0, len(data), _DRIP_BYTES):
            await self._line.write(data[at : at + _DRIP_BYTES])
            await self._pause(drip_s)


def _malformed(answer: Answer, *, whole: bool) -> Answer:
    if answer.frames is None:
        return Answer(headers=answer.headers, body=answer.body[: len(answer.body) // 2] + b"\x00]")
    spoiled = range(len(answer.frames)) if whole else [len(answer.frames) // 2]
    frames = [
        frame.replace(b"{", b"{,", 1) if number in spoiled else frame for number, frame in enumerate(answer.frames)
    ]
    return Answer(headers=answer.headers, frames=tuple(frames), error_event=answer.error_event)
