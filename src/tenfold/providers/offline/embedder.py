"""Embeds texts in a child process, so that the serving process stays small and its event loop free (numpy, onnxruntime
and the weights are 180 MB). The child starts at the first text, and again when it was killed.
"""

import asyncio
import sys
from array import array
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

import msgspec

from tenfold.core.errors import UpstreamTimeout, UpstreamUnavailable
from tenfold.providers.offline.embed_protocol import (
    LENGTH_BYTES,
    MAX_FRAME_BYTES,
    Answer,
    Embedded,
    Job,
    Ready,
    Refused,
    decode_answer,
    frame,
)
from tenfold.providers.offline.granite import (
    DIMENSIONS,
    FINGERPRINT,
    MAX_TOKENS,
    PASSAGE_TOKENS,
    UNRELATED_COSINE,
)

_WORKER = "tenfold.providers.offline.embed_worker"
_TEXTS_PER_JOB = 16  # so that a question does not wait long behind a document
_AHEAD = 64  # jobs that a question may overtake; behind older ones it waits, so that no document waits for ever
_ATTEMPTS = 2  # a child that was killed is replaced once for a job; a text that kills it does so twice


class _Job:
    def __init__(self, texts: Sequence[str], most_tokens: int) -> None:
        self.texts = texts
        self.most_tokens = most_tokens
        self.done: asyncio.Future[Embedded] = asyncio.get_running_loop().create_future()


class _ChildLost(Exception):
    """The child ended, or what it said cannot be read."""


class OfflineEmbedder:
    """Vectors of length 1. Belongs to one event loop; jobs are done in the order they came, but a single
    text, which somebody searches for, comes before documents that wait: with six files being read it waited 3 s."""

    dimensions = DIMENSIONS
    fingerprint = FINGERPRINT
    unrelated_cosine = UNRELATED_COSINE

    def __init__(self, *, weights: Path | None = None, timeout_s: float = 60.0) -> None:
        """`weights`: another copy of the pinned file than the one of the installed package."""
        self._arguments = [] if weights is None else [str(weights)]
        self._timeout_s = timeout_s
        self._jobs: asyncio.PriorityQueue[tuple[int, int, _Job]] = asyncio.PriorityQueue()
        self._numbers = count()
        self._worker: asyncio.Task[None] | None = None
        self._child: Process | None = None
        self._closed = False

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """Texts longer than 512 tokens are cut. Raises UpstreamUnavailable, UpstreamTimeout."""
        vectors, _ = await self.embed_counted(texts)
        return vectors

    async def embed_passages(self, texts: Sequence[str]) -> list[list[float]]:
        """Of each text the first 128 tokens are read: see `encoder`. Raises as `embed` does."""
        vectors, _ = await self.embed_counted(texts, most_tokens=PASSAGE_TOKENS)
        return vectors

    async def embed_counted(
        self, texts: Sequence[str], *, most_tokens: int = MAX_TOKENS
    ) -> tuple[list[list[float]], int]:
        """The vectors and the number of tokens read. Raises as `embed` does."""
        vectors: list[list[float]] = []
        tokens = 0
        for start in range(0, len(texts), _TEXTS_PER_JOB):
            embedded = await self._submit(texts[start : start + _TEXTS_PER_JOB], most_tokens)
            vectors += _rows(embedded.vectors)
            tokens += sum(embedded.tokens)
        return vectors, tokens

    @property
    def child_pid(self) -> int | None:
        """The embedding process, when it runs."""
        return None if self._child is None else self._child.pid

    async def aclose(self) -> None:
        """Ends the child. Jobs that wait fail with UpstreamUnavailable."""
        self._closed = True
        if self._worker is not None:
            self._worker.cancel()
            with suppress(asyncio.CancelledError):
                await self._worker
        while not self._jobs.empty():
            _fail(self._jobs.get_nowait()[-1], _closed())
        await self._end_child()

    async def _submit(self, texts: Sequence[str], most_tokens: int) -> Embedded:
        if self._closed:
            raise _closed()
        if self._worker is None:
            self._worker = asyncio.create_task(self._work(), name="offline-embedder")
        job, number = _Job(texts, most_tokens), next(self._numbers)
        self._jobs.put_nowait((number - _AHEAD if len(texts) == 1 else number, number, job))
        return await job.done

    # -- the task that owns the child ----------------------------------------------------------

    async def _work(self) -> None:
        """Jobs one after the other. A caller that gave up does not disturb the exchange its job is in."""
        while True:
            *_, job = await self._jobs.get()
            if job.done.done():
                continue
            try:
                embedded = await self._run(job)
            except asyncio.CancelledError:
                _fail(job, _closed())
                raise
            except Exception as error:  # whatever it is, it belongs to this job's caller and not to the next one's
                await self._end_child()
                _fail(job, error)
            else:
                if not job.done.done():
                    job.done.set_result(embedded)

    async def _run(self, job: _Job) -> Embedded:
        for _ in range(_ATTEMPTS):
            try:
                async with asyncio.timeout(self._timeout_s):
                    child = self._child or await self._start_child()
                    return await _exchange(child, job)
            except TimeoutError:
                await self._end_child()
                raise UpstreamTimeout(
                    f"The offline embedding process gave no answer in {self._timeout_s:g} s."
                ) from None
            except _ChildLost:
                await self._end_child()
        raise UpstreamUnavailable("The offline embedding process ended while it worked; its standard error says why.")

    async def _start_child(self) -> Process:
        # -P: the current folder is not searched for modules. A session of its own: Ctrl-C is for the serving process.
        self._child = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", _WORKER, *self._arguments, stdin=PIPE, stdout=PIPE, start_new_session=True
        )
        first = await _receive(self._child)
        if isinstance(first, Refused):
            await self._end_child()
            raise UpstreamUnavailable(f"The offline embedding model cannot be used. {first.reason}")
        if not isinstance(first, Ready):
            raise _ChildLost
        return self._child

    async def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        if child.returncode is None:
            with suppress(ProcessLookupError):
                child.kill()  # it holds nothing that could be lost
        await child.wait()
        if child.stdin is not None:
            child.stdin.close()


async def _exchange(child: Process, given: _Job) -> Embedded:
    assert child.stdin is not None
    # A lone surrogate (it can come out of a JSON escape) has no UTF-8 form.
    texts = [text.encode("utf-8", "replace").decode() for text in given.texts]
    job = Job(texts=texts, most_tokens=given.most_tokens)
    try:
        child.stdin.write(frame(job))
        await child.stdin.drain()
    except ConnectionError:
        raise _ChildLost from None
    answer = await _receive(child)
    if not isinstance(answer, Embedded) or len(answer.tokens) != len(texts):
        raise _ChildLost
    return answer


async def _receive(child: Process) -> Answer:
    assert child.stdout is not None
    try:
        length = int.from_bytes(await child.stdout.readexactly(LENGTH_BYTES), "little")
        if length > MAX_FRAME_BYTES:
            raise _ChildLost
        return decode_answer(await child.stdout.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError, msgspec.DecodeError):
        raise _ChildLost from None


def _rows(block: bytes) -> list[list[float]]:
    floats = array("f")
    floats.frombytes(block)
    return [floats[start : start + DIMENSIONS].tolist() for start in range(0, len(floats), DIMENSIONS)]


def _fail(job: _Job, error: Exception) -> None:
    if not job.done.done():
        job.done.set_exception(error)


def _closed() -> UpstreamUnavailable:
    return UpstreamUnavailable("The offline embedder is closed.")
