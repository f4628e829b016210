"""Answers that processes share, in Valkey or Redis: behind the memory of each, before any provider.

A value that cannot be read is one of another version, or somebody else's: it is taken for none.
"""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic, time
from typing import Final, Self
from uuid import UUID

from msgspec import DecodeError, Struct, msgpack, structs
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from tenfold.cache.exact import Answer

logger = logging.getLogger(__name__)

_VERSION: Final = b"1"  # of what a value looks like; part of each key
_MOST_WAITING: Final = 256  # answers on their way; what comes beyond is not kept
_AWAY_S: Final = 1.0  # a server that failed is left alone for so long

_AWAY = (RedisError, OSError, TimeoutError)


class _Kept(Struct, frozen=True, array_like=True):
    at: float  # Unix seconds
    answer: Answer


class ValkeyAnswers:
    """SharedAnswers. Connects on first use; one task writes, and no call waits for it."""

    def __init__(
        self,
        client: Redis,
        *,
        ttl_s: float,
        prefix: str = "tenfold",
        clock: Callable[[], float] = time,
        monotonic_clock: Callable[[], float] = monotonic,
    ) -> None:
        self._client = client
        self._ttl_s = ttl_s
        self._prefix = prefix.encode()
        self._clock = clock
        self._monotonic = monotonic_clock
        self._waiting: asyncio.Queue[tuple[bytes, bytes] | None] = asyncio.Queue(_MOST_WAITING)
        self._writer: asyncio.Task[None] | None = None
        self._away_until = 0.0
        self.hits = 0
        self.misses = 0
        self.faults = 0

    @classmethod
    def at(cls, url: str, *, ttl_s: float, timeout_s: float = 0.1) -> Self:
        """`redis://`, `rediss://` (TLS) or `unix://`. Raises ValueError for another URL."""
        client = Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),  # the provider answers in the time that another try would take
        )
        return cls(client, ttl_s=ttl_s)

    async def get(self, tenant_id: UUID, key: bytes) -> tuple[Answer, float] | None:
        found = None
        if self._monotonic() >= self._away_until:
            try:
                found = await self._client.get(self._name(tenant_id, key))
            except _AWAY as error:
                self._failed(error)
        kept = None if found is None else _read(found)
        age_s = 0.0 if kept is None else max(0.0, self._clock() - kept.at)
        if kept is None or age_s > self._ttl_s:
            self.misses += 1
            return None
        self.hits += 1
        return kept.answer, age_s

    def put(self, tenant_id: UUID, key: bytes, answer: Answer) -> None:
        if self._monotonic() < self._away_until or self._waiting.full():
            return
        value = _encoder.encode(_Kept(self._clock(), structs.replace(answer, stored_s=0.0)))
        self._waiting.put_nowait((self._name(tenant_id, key), value))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())

    async def aclose(self) -> None:
        if self._writer is not None:
            while not self._waiting.empty():
                self._waiting.get_nowait()
            self._waiting.put_nowait(None)
            await self._writer  # not cancelled: the client may lose that; a command under way has its time limit
        await self._client.aclose()

    async def _write(self) -> None:
        while (waiting := await self._waiting.get()) is not None:
            try:
                await self._client.set(*waiting, px=max(1, int(self._ttl_s * 1000)))
            except _AWAY as error:
                self._failed(error)

    def _name(self, tenant_id: UUID, key: bytes) -> bytes:
        """Of one tenant all in one hash slot, as the limits are."""
        return b"%b:{%b}:a%b:%b" % (self._prefix, tenant_id.hex.encode(), _VERSION, key)

    def _failed(self, error: Exception) -> None:
        self.faults += 1
        if self._monotonic() >= self._away_until:
            logger.warning("the shared cache is away, and left alone for %g s: %s", _AWAY_S, error)
        self._away_until = self._monotonic() + _AWAY_S


_encoder = msgpack.Encoder()
_decoder = msgpack.Decoder(_Kept)


def _read(value: bytes | str) -> _Kept | None:
    try:
        return _decoder.decode(value if isinstance(value, bytes) else value.encode())
    except (DecodeError, ValueError):
        return None
