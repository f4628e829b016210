"""Rate limits on the path of a call: which limits hold for it, and what it takes of each.

In memory as long as what the process holds lasts: then a call suspends nowhere. See `supply` for how it gets more.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar
from uuid import UUID

from tenfold.core.errors import RateLimited, StoreUnavailable
from tenfold.core.ids import KeyId, TenantId
from tenfold.core.money import format_usd
from tenfold.core.principal import Principal
from tenfold.core.tenant_book import TenantBook
from tenfold.limits.buckets import Bucket, Seats
from tenfold.limits.headers import header_text
from tenfold.limits.ports import BlockStore
from tenfold.limits.supply import Supply
from tenfold.limits.types import Limit, Measure, Per, TenantLimits, holding

MAX_SCOPES = 100_000
_LOOKED_AT = 8  # scopes looked at for one to forget, whenever one is made
_MUCH = 1000  # units; of these a header may be wrong by what calls take in a moment
_MOMENT_NS = 10_000_000
_SEAT_RETRY_S = 1.0  # when a running call will end is not known

_Name = TypeVar("_Name")


class _Scope:
    """The buckets of one subject: a key together with its tenant, a model, an end user."""

    __slots__ = (
        "buckets",
        "requests",
        "seats",
        "tenant",
        "tokens",
        "told",
        "told_dialect",
        "told_until",
        "touched",
        "usd",
    )

    def __init__(self, tenant: "_Tenant", buckets: Iterable["Bucket | Seats"]) -> None:
        self.tenant = tenant
        self.told = self.told_dialect = ""  # the header text made last, and how long it is told again, ns
        self.told_until = 0
        self.touched = True
        self.buckets = tuple(bucket for bucket in buckets if isinstance(bucket, Bucket))
        self.seats = tuple(seats for seats in buckets if isinstance(seats, Seats))
        self.requests = self._of("requests")
        self.tokens = self._of("tokens")
        self.usd = self._of("usd")

    def _of(self, measure: Measure) -> tuple[Bucket, ...]:
        return tuple(bucket for bucket in self.buckets if bucket.limit.measure == measure)


class _Tenant:
    """A tenant's limits as they were read, and the scopes in use under them."""

    __slots__ = ("buckets", "id", "keys", "known", "models", "per", "users")

    def __init__(self, tenant_id: TenantId, known: TenantLimits, defaults: tuple[Limit, ...]) -> None:
        self.id = tenant_id
        self.known = known
        self.per = {limit.per for limit in (*known.limits, *defaults)}
        self.buckets: dict[str, Bucket | Seats] = {}
        self.keys: dict[KeyId | None, _Scope] = {}
        self.models: dict[str, _Scope] = {}
        self.users: dict[str, _Scope] = {}


class Hold:
    """What one call has taken: inference.ports.LimitHold."""

    __slots__ = ("_dialect", "_engine", "nano", "scopes", "seats", "tokens")

    def __init__(self, engine: "RateLimits | None", scopes: "tuple[_Scope, ...]", dialect: str) -> None:
        self._engine = engine
        self._dialect = dialect
        self.scopes = scopes
        self.seats: list[Seats] = []
        self.tokens: int | None = None  # reserved in each scope; None: nothing yet
        self.nano = 0

    @property
    def headers(self) -> str:
        """Header lines for the reply, made when asked for; "" without limits."""
        return "" if self._engine is None else self._engine.headers_of(self.scopes, self._dialect)


_FREE = Hold(None, (), "")  # nothing limits the tenant


class RateLimits:
    """inference.ports.CallLimits. `defaults` come from the settings and hold for every tenant unless the operator set
    others for it. `refused` counts by what was limited. Run `supply.run` beside it, and close it with `aclose`."""

    def __init__(
        self,
        book: TenantBook[TenantLimits],
        blocks: BlockStore,
        *,
        holder: UUID,
        defaults: Iterable[Limit] = (),
        alive: Callable[[], int] = lambda: 1,
        now_ns: Callable[[], int] = time.monotonic_ns,
        wall_s: Callable[[], float] = time.time,
        max_scopes: int = MAX_SCOPES,
        timeout_s: float = 0.5,
    ) -> None:
        self._book = book
        self._defaults = tuple(defaults)
        self._wall_s = wall_s
        self._max_scopes = max_scopes
        self._tenants: dict[TenantId, _Tenant] = {}
        self._scopes: deque[tuple[_Scope, Callable[[], object]]] = deque()
        self.supply = Supply(blocks, holder=holder, alive=alive, now_ns=now_ns, timeout_s=timeout_s)
        self.refused: dict[tuple[Per, Measure], int] = {}

    async def enter(self, principal: Principal, dialect: str = "openai") -> Hold:
        """One request of key and tenant, and one of their calls at once. `dialect` is the client's: whose headers it
        reads. Raises RateLimited, StoreUnavailable (the tenant's limits were never read)."""
        tenant_id = principal.tenant_id
        known = self._book.get(tenant_id)
        if known is None:
            known = await self._read(tenant_id)
        if not known.limits and not self._defaults:
            return _FREE
        tenant = self._tenants.get(tenant_id)
        if tenant is None or tenant.known is not known:
            tenant = self._known_anew(tenant_id, known)
        scope = tenant.keys.get(principal.key_id)
        if scope is None:
            scope = self._key_scope(tenant, principal.key_id)
        scope.touched = True
        hold = Hold(self, (scope,), dialect)
        try:
            await self._occupy(hold, scope)
        except RateLimited as refusal:
            refusal.headers = hold.headers  # the call is admitted nowhere, so nobody else would tell
            raise
        return hold

    async def reserve(self, hold: object, *, model: str, end_user: str | None, tokens: int, nano: int) -> None:
        """What only model and end user limit, and the tokens and the money (10^-9 USD) of all. Raises RateLimited; the
        call is counted nowhere then."""
        assert isinstance(hold, Hold)
        if hold is _FREE:
            return
        tenant = hold.scopes[0].tenant
        per = tenant.per
        if "model" in per:
            hold.scopes += (self._scope(tenant, tenant.models, "model", model),)
        if "end_user" in per and end_user:
            hold.scopes += (self._scope(tenant, tenant.users, "end_user", end_user),)
        taken: list[tuple[Bucket, int]] = []
        seats = len(hold.seats)
        try:
            for scope in hold.scopes[1:]:
                await self._occupy(hold, scope)
                taken += [(bucket, 1) for bucket in scope.requests]
            for scope in hold.scopes:
                for bucket in scope.tokens:
                    left = bucket.available - tokens
                    if left > bucket.low:
                        bucket.available = left
                    else:
                        await self._draw(bucket, tokens)
                    taken.append((bucket, tokens))
                for bucket in scope.usd:
                    await self._draw(bucket, nano)
                    taken.append((bucket, nano))
        except BaseException:
            taken += [(bucket, 1) for bucket in hold.scopes[0].requests]  # a refused call counts nowhere
            for bucket, units in taken:
                bucket.available += units
            while len(hold.seats) > seats:
                self._stand_up(hold.seats.pop())
            raise
        hold.tokens, hold.nano = tokens, nano

    def leave(self, hold: object, *, tokens: int, nano: int) -> None:
        """The call has ended; what it really used takes the place of what was reserved."""
        assert isinstance(hold, Hold)
        if hold is _FREE:
            return
        for seats in hold.seats:
            self._stand_up(seats)
        if hold.tokens is None:
            return
        more_tokens, more_nano = hold.tokens - tokens, hold.nano - nano
        for scope in hold.scopes:
            for bucket in scope.tokens:
                bucket.available += more_tokens
                if not 0 <= bucket.available <= bucket.most:
                    self.supply.balance(bucket)
            for bucket in scope.usd:
                bucket.available += more_nano
                if not 0 <= bucket.available <= bucket.most:
                    self.supply.balance(bucket)

    async def aclose(self) -> None:
        """Gives back what the process holds. Calls have ended."""
        await self.supply.aclose()

    def headers_of(self, scopes: tuple[_Scope, ...], dialect: str) -> str:
        """Where much is left, calls that end within a moment are told the same: the text costs more than the limits."""
        now_ns = self.supply.now_ns()
        first = scopes[0]
        if len(scopes) == 1 and now_ns < first.told_until and first.told_dialect == dialect:
            return first.told
        buckets = [bucket for scope in scopes for bucket in scope.buckets]
        seats = [seats for scope in scopes for seats in scope.seats]
        text = header_text(buckets, seats, dialect=dialect, now_ns=now_ns, wall_s=self._wall_s())
        if len(scopes) == 1:
            much = all(bucket.stand(now_ns)[0] > _MUCH for bucket in buckets)
            much = much and all(one.limit.amount - one.in_use > _MUCH for one in seats)
            first.told, first.told_dialect = text, dialect
            first.told_until = now_ns + _MOMENT_NS if much else 0
        return text

    # -- taking ------------------------------------------------------------------------------

    async def _occupy(self, hold: Hold, scope: _Scope) -> None:
        """One request and one seat of everything in the scope, or nothing."""
        taken: list[Bucket] = []
        seats_before = len(hold.seats)
        try:
            for bucket in scope.requests:
                left = bucket.available - 1
                if left > bucket.low:
                    bucket.available = left
                else:
                    await self._draw(bucket, 1)
                taken.append(bucket)
            for seats in scope.seats:
                if seats.in_use < seats.held:
                    seats.in_use += 1
                    if seats.in_use > seats.peak:
                        seats.peak = seats.in_use
                    if seats.in_use == seats.held and not seats.tight:
                        self.supply.more_seats(seats)
                elif not await self.supply.sit(seats):
                    raise self._no_seat(seats.limit)
                hold.seats.append(seats)
        except BaseException:
            for bucket in taken:
                bucket.available += 1
            while len(hold.seats) > seats_before:
                self._stand_up(hold.seats.pop())
            raise

    async def _draw(self, bucket: Bucket, units: int) -> None:
        left = bucket.available - units
        if left > bucket.low:
            bucket.available = left
        elif not await self.supply.draw(bucket, units):
            raise self._too_many(bucket, units)

    def _stand_up(self, seats: Seats) -> None:
        seats.in_use -= 1
        if seats.tight:
            self.supply.stood_up(seats)

    # -- refusing ----------------------------------------------------------------------------

    def _too_many(self, bucket: Bucket, units: int) -> RateLimited:
        limit = bucket.limit
        self._count(limit)
        wait_s = bucket.wait_ns(units, self.supply.now_ns()) / 10**9
        rule = f"{_amount(limit)} in {limit.window_s} s for {_whose(limit)}"
        if units > bucket.rate.burst:
            most = _amount(limit, bucket.rate.burst)
            return RateLimited(
                f"This call may use {_amount(limit, units)}; the limit is {rule}, of which one call may use {most}. "
                "Lower max_tokens or shorten the input.",
                retry_after_s=wait_s,
            )
        return RateLimited(
            f"Rate limit reached: {rule}. Try again in {max(wait_s, 0.001):.3f} s.", retry_after_s=wait_s
        )

    def _no_seat(self, limit: Limit) -> RateLimited:
        self._count(limit)
        return RateLimited(
            f"Rate limit reached: {limit.amount} calls at once for {_whose(limit)}. Try again when one has ended.",
            retry_after_s=_SEAT_RETRY_S,
        )

    def _count(self, limit: Limit) -> None:
        kind = limit.per, limit.measure
        self.refused[kind] = self.refused.get(kind, 0) + 1

    # -- scopes ------------------------------------------------------------------------------

    async def _read(self, tenant_id: TenantId) -> TenantLimits:
        try:
            return await self._book.load(tenant_id)
        except StoreUnavailable:
            old = self._tenants.get(tenant_id)
            if old is None:
                raise
            return old.known  # better than none, and the change will be heard of

    def _known_anew(self, tenant_id: TenantId, known: TenantLimits) -> _Tenant:
        """Buckets of limits that are still there are kept: what was used of them stays used."""
        tenant = _Tenant(tenant_id, known, self._defaults)
        old = self._tenants.get(tenant_id)
        if old is not None:
            ids = {limit.id for limit in (*known.limits, *self._defaults)}
            tenant.buckets = {key: bucket for key, bucket in old.buckets.items() if bucket.limit.id in ids}
        self._tenants[tenant_id] = tenant
        return tenant

    def _key_scope(self, tenant: _Tenant, key_id: KeyId | None) -> _Scope:
        buckets = self._buckets(tenant, "tenant", None)
        if key_id is not None:
            buckets += self._buckets(tenant, "key", str(key_id))
        return self._keep(tenant.keys, key_id, _Scope(tenant, buckets))

    def _scope(self, tenant: _Tenant, scopes: dict[str, _Scope], per: Per, subject: str) -> _Scope:
        scope = scopes.get(subject)
        if scope is None:
            scope = self._keep(scopes, subject, _Scope(tenant, self._buckets(tenant, per, subject)))
        scope.touched = True
        return scope

    def _buckets(self, tenant: _Tenant, per: Per, subject: str | None) -> list[Bucket | Seats]:
        found = []
        for limit in holding(tenant.known.limits, self._defaults, per, subject):
            fresh = (Seats if limit.measure == "concurrency" else Bucket)(tenant.id, limit, subject)
            found.append(tenant.buckets.setdefault(fresh.key, fresh))
        return found

    def _keep(self, scopes: dict[_Name, _Scope], name: _Name, scope: _Scope) -> _Scope:
        """Bounded: a scope that was not used since it was looked at last is forgotten (second chance)."""
        scopes[name] = scope
        self._scopes.append((scope, lambda: scopes.pop(name, None)))
        for _ in range(_LOOKED_AT if len(self._scopes) > self._max_scopes else 0):
            old, forget = self._scopes.popleft()
            if old is scope or old.touched or any(seats.in_use for seats in old.seats):
                old.touched = False
                self._scopes.append((old, forget))
            else:
                forget()
                self._forget_buckets(old)
        return scope

    def _forget_buckets(self, scope: _Scope) -> None:
        """What they hold goes back when it has been idle: see Supply.keep_house."""
        tenant = scope.tenant
        if self._tenants.get(tenant.id) is tenant and not (tenant.keys or tenant.models or tenant.users):
            del self._tenants[tenant.id]
        buckets: list[Bucket | Seats] = [*scope.buckets, *scope.seats]
        for bucket in buckets:
            if bucket.limit.per != "tenant":
                tenant.buckets.pop(bucket.key, None)


def _amount(limit: Limit, amount: int | None = None) -> str:
    amount = limit.amount if amount is None else amount
    return f"{format_usd(amount)} USD" if limit.measure == "usd" else f"{amount} {limit.measure}"


def _whose(limit: Limit) -> str:
    return "this end user" if limit.per == "end_user" else f"this {limit.per}"
