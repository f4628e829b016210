"""What a process knows of flags and switches: the installation's all the time, a tenant's from its first call on.

Asked on the path of a call, so nothing here waits once a tenant is known. While the database is away, what was known
last holds on.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.core.tenant_book import MAX_KNOWN, TenantBook
from tenfold.rollout.evaluation import Evaluation, effective, evaluate, known_context
from tenfold.rollout.ports import RolloutRows
from tenfold.rollout.types import NOTHING, Flag, FlagType, Kill, Rollout, Scope

logger = logging.getLogger(__name__)

RETRY_S = 0.3


class _Known:
    """Rows in the form in which they are asked for."""

    __slots__ = ("_holding", "asked", "flags", "kills")

    def __init__(self, rollout: Rollout, asked: int = 0) -> None:
        self.asked = asked  # reads that began later know more
        self.flags = rollout.flags
        self._holding: tuple[_Known, dict[str, Flag]] | None = None
        # The oldest last, so that of the operator's and the tenant's own it is the one that came first that is told.
        self.kills: dict[tuple[Scope, str], Kill] = {(kill.scope, kill.subject): kill for kill in rollout.kills}

    def holding(self, installation: "_Known") -> dict[str, Flag]:
        """Made once for both."""
        if self._holding is None or self._holding[0] is not installation:
            self._holding = installation, effective(installation.flags, self.flags)
        return self._holding[1]


class RolloutBook:
    """`Changes.follow(TOPIC, book.forget)`, and after `Changes.start` `await start()`; then `run` until cancelled."""

    def __init__(self, rows: RolloutRows, *, max_known: int = MAX_KNOWN, retry_s: float = RETRY_S) -> None:
        self._rows = rows
        self._retry_s = retry_s
        self._max_known = max_known
        self._installation = self._nobody = _Known(NOTHING)
        self._asked = 0
        self._tenants: TenantBook[_Known] = TenantBook(self._read, max_known=max_known)
        self._last: dict[TenantId, _Known] = {}  # also of those that are to be read again
        self._switched: set[TenantId] = set()  # tenants that have switches
        self._changed = asyncio.Event()
        self.any_kill = False
        """Whether any switch is known to be thrown."""

    async def start(self) -> None:
        """Raises StoreUnavailable."""
        self._changed.clear()
        self._installation = _Known(await self._rows.read(None))
        self._count()

    async def run(self) -> None:
        """Reads the installation's anew whenever they have changed."""
        while True:
            await self._changed.wait()
            try:
                await self.start()
            except StoreUnavailable as error:
                self._changed.set()
                logger.info("flags are not read anew, the database is away: %s", error.message)
                await asyncio.sleep(self._retry_s)

    def forget(self, tenant_id: TenantId | None) -> None:
        """What is known of the tenant has changed; None: of the installation, or of anybody."""
        self._tenants.forget(tenant_id)
        if tenant_id is None:
            self._changed.set()

    def knows(self, tenant_id: TenantId) -> bool:
        return self._tenants.get(tenant_id) is not None

    async def ready(self, tenant_id: TenantId) -> None:
        """The tenant is known. Raises StoreUnavailable, when it never was and the database is away."""
        if self._tenants.get(tenant_id) is not None:
            return
        try:
            await self._tenants.load(tenant_id)
        except StoreUnavailable:
            if tenant_id not in self._last:
                raise  # else what was known last holds: better than none, and the change will be heard of

    def killed(
        self, tenant_id: TenantId, tenant: str, *, feature: str | None, model: str | None, provider: str | None
    ) -> Kill | None:
        """Of several switches, the one of the widest scope."""
        known = self._last.get(tenant_id)
        asked: tuple[tuple[Scope, str | None], ...] = (
            ("tenant", tenant),
            ("feature", feature),
            ("model", model),
            ("provider", provider),
        )
        for scope, subject in asked:
            if subject is None:
                continue
            kill = self._installation.kills.get((scope, subject))
            if kill is None and known is not None:
                kill = known.kills.get((scope, subject))
            if kill is not None:
                return kill
        return None

    def flags(self, tenant_id: TenantId) -> dict[str, Flag]:
        """Those that hold for the tenant, by key."""
        return self._last.get(tenant_id, self._nobody).holding(self._installation)

    async def _read(self, tenant_id: TenantId) -> _Known:
        self._asked += 1
        asked = self._asked
        known = _Known(await self._rows.read(tenant_id), asked)
        last = self._last.get(tenant_id)
        if last is not None and last.asked > asked:
            return known
        if last is None and len(self._last) >= self._max_known:
            oldest = next(iter(self._last))
            del self._last[oldest]
            self._switched.discard(oldest)
            self._tenants.forget(oldest)
        self._last[tenant_id] = known
        (self._switched.add if known.kills else self._switched.discard)(tenant_id)
        self._count()
        return known

    def _count(self) -> None:
        self.any_kill = bool(self._installation.kills or self._switched)


class Switches:
    """inference.ports.Switches on the book."""

    __slots__ = ("_book",)

    def __init__(self, book: RolloutBook) -> None:
        self._book = book

    @property
    def any(self) -> bool:
        """Whether any switch is known to be thrown, of whomever. A tenant's are known once it is `ready`."""
        return self._book.any_kill

    def knows(self, principal: Principal) -> bool:
        """Whether the tenant's own switches are known."""
        return self._book.knows(principal.tenant_id)

    async def ready(self, principal: Principal) -> None:
        """The tenant's own switches are known. Raises StoreUnavailable."""
        await self._book.ready(principal.tenant_id)

    def killed(
        self, principal: Principal, *, feature: str | None, model: str | None = None, provider: str | None = None
    ) -> Kill | None:
        """The switch that forbids this, if there is one. No I/O: `ready` comes before."""
        if not self._book.any_kill:
            return None
        return self._book.killed(
            principal.tenant_id, principal.tenant_slug, feature=feature, model=model, provider=provider
        )


class Flags:
    """What flags say to a tenant. Raises StoreUnavailable only for a tenant that was never known."""

    def __init__(self, book: RolloutBook) -> None:
        self._book = book

    async def evaluate(
        self, principal: Principal, key: str, context: Mapping[str, Any], expected: FlagType | None = None
    ) -> Evaluation:
        await self._book.ready(principal.tenant_id)
        flag = self._book.flags(principal.tenant_id).get(key)
        return evaluate(key, flag, _known(principal, context), expected)

    async def evaluate_all(self, principal: Principal, context: Mapping[str, Any]) -> list[Evaluation]:
        """By key."""
        await self._book.ready(principal.tenant_id)
        known = _known(principal, context)
        flags = self._book.flags(principal.tenant_id)
        return [evaluate(key, flags[key], known) for key in sorted(flags)]


def _known(principal: Principal, context: Mapping[str, Any]) -> dict[str, Any]:
    return known_context(context, tenant=principal.tenant_slug, plan=principal.plan)
