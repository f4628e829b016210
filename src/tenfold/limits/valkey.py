"""Buckets in Valkey or Redis: a script a block, by the clock of that server. All keys of a tenant share a hash slot.

The rules are those of `gcra` in microseconds. Lua counts in doubles: whole numbers are exact up to 2^53, beyond that
the error stays under a millionth of one unit.
"""

from collections.abc import Awaitable
from typing import Any, Self, cast
from uuid import UUID

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.limits.gcra import SHARE, Rate
from tenfold.limits.ports import Grant, Slots

_US = 1000  # nanoseconds

# The state is told as text: a Lua number on its way out is cut to a whole one of 14 digits.
_STATE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local amount, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local old = redis.call('HMGET', KEYS[1], 'backlog', 'at')
local backlog = math.max(0, tonumber(old[1] or '0') - math.max(0, now - tonumber(old[2] or '0')) * amount)
local function keep(backlog)
    redis.call('HSET', KEYS[1], 'backlog', string.format('%.0f', backlog), 'at', string.format('%.0f', now))
    redis.call('PEXPIRE', KEYS[1], math.min(math.ceil(backlog / amount / 1000) + 1000, 86400000 * 400))
end
"""
_TAKE = (
    _STATE
    + f"""
local burst, wanted, at_least = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local free = math.floor((burst * window - backlog) / window)
local granted = 0
if free >= at_least then
    granted = math.max(at_least, math.min(wanted, math.floor(free / {SHARE})))
    backlog = backlog + granted * window
    keep(backlog)
end
return {{string.format('%.0f', granted), string.format('%.0f', backlog)}}
"""
)
_GIVE_BACK = (
    _STATE
    + """
keep(math.max(0, backlog - tonumber(ARGV[3]) * window))
return 0
"""
)
# A hash of holder -> "held until", in microseconds.
_SLOTS = f"""
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local holder, limit, in_use, spare = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local ttl = tonumber(ARGV[5]) * 1000
local all = redis.call('HGETALL', KEYS[1])
local free = limit - in_use
for i = 1, #all, 2 do
    local held, ends = string.match(all[i + 1], '(%d+) (%d+)')
    if tonumber(ends) <= now then
        redis.call('HDEL', KEYS[1], all[i])
    elseif all[i] ~= holder then
        free = free - tonumber(held)
    end
end
local more = 0
if free > 0 then
    more = math.min(spare, math.max(1, math.floor(free / {SHARE})))
end
if in_use + more > 0 then
    redis.call('HSET', KEYS[1], holder, string.format('%.0f %.0f', in_use + more, now + ttl))
    if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[5]) then
        redis.call('PEXPIRE', KEYS[1], ARGV[5])
    end
else
    redis.call('HDEL', KEYS[1], holder)
end
return {{string.format('%.0f', in_use + more), string.format('%.0f', math.max(0, free - more))}}
"""


class ValkeyBlocks:
    """A BlockStore over Valkey or Redis. One round trip a block. Opened lazily; closed with `aclose`."""

    def __init__(self, client: Redis, *, prefix: str = "tenfold") -> None:
        self._client = client
        self._prefix = prefix
        self._take = client.register_script(_TAKE)
        self._give_back = client.register_script(_GIVE_BACK)
        self._slots = client.register_script(_SLOTS)

    @classmethod
    def at(cls, url: str, *, timeout_s: float = 0.25, prefix: str = "tenfold") -> Self:
        """`redis://`, `rediss://` (TLS) or `unix://`. Raises ValueError for another URL. Connects on first use."""
        client = Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            # A block taken twice is lost to everybody, and who waits has the local share: so nothing is tried again.
            retry=Retry(NoBackoff(), 0),
        )
        return cls(client, prefix=prefix)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def take(self, tenant_id: TenantId, bucket: str, rate: Rate, wanted: int, at_least: int) -> Grant:
        args = [rate.amount, rate.window_ns // _US, rate.burst, wanted, at_least]
        units, backlog = await self._run(self._take, tenant_id, "b", bucket, args)
        return Grant(int(units), int(backlog) * _US)

    async def give_back(self, tenant_id: TenantId, bucket: str, rate: Rate, units: int) -> None:
        await self._run(self._give_back, tenant_id, "b", bucket, [rate.amount, rate.window_ns // _US, units])

    async def slots(
        self, tenant_id: TenantId, bucket: str, holder: UUID, *, limit: int, in_use: int, spare: int, ttl_s: float
    ) -> Slots:
        args = [holder.hex, limit, in_use, spare, int(ttl_s * 1000)]
        held, free = await self._run(self._slots, tenant_id, "s", bucket, args)
        return Slots(int(held), int(free))

    async def sweep(self, tenant_id: TenantId) -> None:
        """Nothing to do: keys expire."""

    async def _run(self, script: AsyncScript, tenant_id: TenantId, kind: str, bucket: str, args: list[Any]) -> Any:
        key = f"{self._prefix}:{{{tenant_id.hex}}}:{kind}:{bucket}"
        try:
            return await cast(Awaitable[Any], script(keys=[key], args=args))
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable("The Valkey server of the limits is away.", retry_after_s=1) from error
