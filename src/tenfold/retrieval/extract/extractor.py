"""Reads files in child processes: what is untrusted never meets the serving process. A child is kept warm from file to
file, and killed for one that takes too long; a file that ends it has ended nothing else.
"""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from typing import Final

import msgspec

from tenfold.core.errors import Overloaded
from tenfold.retrieval.extract.protocol import (
    LENGTH_BYTES,
    Answer,
    File,
    Read,
    Ready,
    Refused,
    decode_answer,
    frame,
    max_answer_bytes,
)
from tenfold.retrieval.extract.types import Extracted, Limits, UnreadableFile

_WORKER: Final = "tenfold.retrieval.extract.worker"
_START_S: Final = 30.0
_PIECE: Final = 256 * 1024  # of a file on its way to the child
_NAME_CHARS: Final = 300
_ATTEMPTS: Final = 2  # a child that something else killed is replaced once
_ENVIRONMENT: Final = ("PATH", "PYTHONPATH", "PYTHONHOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH")


class _ChildLost(Exception):
    """The child ended, or what it said cannot be read."""


class Extractor:
    """Belongs to one event loop. `processes`: files that are read at once; others wait. `idle_s`: how long a child is
    kept without work. The limits hold for each file."""

    def __init__(self, *, limits: Limits | None = None, processes: int = 1, idle_s: float = 60.0) -> None:
        self._limits = limits or Limits()
        self._idle_s = idle_s
        self._room = asyncio.Semaphore(processes)
        self._idle: list[Process] = []
        self._running: set[Process] = set()  # all that were started and are not known to have ended
        self._resting: asyncio.TimerHandle | None = None
        self._closed = False

    async def extract(self, data: bytes, *, filename: str, content_type: str = "") -> Extracted:
        """See ports.FileExtractor."""
        if not data:
            raise UnreadableFile("The file is empty.", "invalid_file")
        if len(data) > self._limits.max_bytes:
            raise UnreadableFile(
                f"The file is larger than {self._limits.max_bytes / 1024**2:g} MB. Split it and upload its parts.",
                "invalid_file",
            )
        async with self._room:
            for _ in range(_ATTEMPTS):
                child = await self._child()
                try:
                    answer = await self._ask(child, data, filename, content_type)
                except _ChildLost:
                    if child.returncode == -signal.SIGKILL:
                        continue  # not by us, and not for what it did itself
                    raise _killed(child.returncode, self._limits) from None
                return _extracted(answer)
        raise _killed(-signal.SIGKILL, self._limits)

    @property
    def child_pids(self) -> list[int]:
        return [child.pid for child in self._running if child.returncode is None]

    async def aclose(self) -> None:
        """Ends the children. Files that are being read fail with Overloaded."""
        self._closed = True
        if self._resting is not None:
            self._resting.cancel()
        self._idle.clear()
        for child in list(self._running):
            await self._end(child)

    async def _ask(self, child: Process, data: bytes, filename: str, content_type: str) -> Read | Refused:
        """The child's answer; it waits for the next file after it, or has ended."""
        file = File(size=len(data), filename=_named(filename), content_type=_named(content_type))
        kept = False
        try:
            async with asyncio.timeout(self._limits.wall_s):
                await _send(child, file, data)
                answer = await _receive(child, max_answer_bytes(self._limits))
            if isinstance(answer, Ready):
                raise _ChildLost
            kept = not answer.last
            return answer
        except TimeoutError:
            raise UnreadableFile(
                f"The file could not be read in {self._limits.wall_s:g} s. Split it and upload its parts.",
                "invalid_file",
            ) from None
        except _ChildLost:
            await self._ended(child)
            if self._closed:
                raise _closing() from None
            raise
        finally:
            if kept and not self._closed:
                self._keep(child)
            else:
                await self._end(child)

    # -- children ------------------------------------------------------------------------------

    async def _child(self) -> Process:
        if self._closed:
            raise _closing()
        while self._idle:
            child = self._idle.pop()
            if child.returncode is None:
                return child
            await self._end(child)
        # -P: the current folder is not searched for modules. A session of its own: Ctrl-C is for the serving process.
        # Of the environment only what it needs to start: what provider keys and the database are called stays here.
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", _WORKER, msgspec.json.encode(self._limits).decode()),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            start_new_session=True,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        )
        self._running.add(child)
        try:
            async with asyncio.timeout(_START_S):
                ready = isinstance(await _receive(child, _PIECE), Ready)
        except (_ChildLost, TimeoutError):
            ready = False
        except BaseException:
            await self._end(child)
            raise
        if not ready:
            await self._end(child)
            raise Overloaded(
                f"The process that reads files did not start; `python -m {_WORKER}` says why. Nothing is wrong with "
                "the file: upload it again later."
            )
        return child

    def _keep(self, child: Process) -> None:
        self._idle.append(child)
        if self._resting is not None:
            self._resting.cancel()
        self._resting = asyncio.get_running_loop().call_later(self._idle_s, self._rest)

    def _rest(self) -> None:
        """Nothing was read for a while: the children see the end of their input and go."""
        for child in self._idle:
            assert child.stdin is not None
            child.stdin.close()
        self._idle.clear()

    async def _ended(self, child: Process) -> None:
        """Waits for what a child that is gone left as its reason."""
        assert child.stdin is not None
        child.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await child.wait()

    async def _end(self, child: Process) -> None:
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.kill()  # it holds nothing that could be lost
        await child.wait()
        self._running.discard(child)
        if child.stdin is not None:
            child.stdin.close()


def _named(said: str) -> str:
    """A lone surrogate (it can come out of a JSON escape) has no UTF-8 form."""
    return said[-_NAME_CHARS:].encode("utf-8", "replace").decode()


async def _send(child: Process, file: File, data: bytes) -> None:
    assert child.stdin is not None
    try:
        child.stdin.write(frame(file))
        for start in range(0, len(data), _PIECE):
            child.stdin.write(data[start : start + _PIECE])
            await child.stdin.drain()
    except (ConnectionError, RuntimeError):
        raise _ChildLost from None


async def _receive(child: Process, most: int) -> Answer:
    assert child.stdout is not None
    try:
        length = int.from_bytes(await child.stdout.readexactly(LENGTH_BYTES), "little")
        if length > most:
            raise _ChildLost
        return decode_answer(await child.stdout.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError, msgspec.DecodeError):
        raise _ChildLost from None


def _extracted(answer: Read | Refused) -> Extracted:
    if isinstance(answer, Refused):
        raise UnreadableFile(answer.message, answer.fault)
    return Extracted(text=answer.text, title=answer.title, pages=answer.pages)


def _killed(returncode: int | None, limits: Limits) -> UnreadableFile:
    if returncode == -signal.SIGXCPU:
        return UnreadableFile(
            f"The file could not be read in {limits.cpu_s} s of computing. Split it and upload its parts.",
            "invalid_file",
        )
    return UnreadableFile(
        "The file ended the process that read it: it is broken, or needs too much memory. Save it anew, or in "
        "parts, and upload that.",
        "invalid_file",
    )


def _closing() -> Overloaded:
    return Overloaded("This process is stopping; the file can be read by another.")
