"""RolloutRows in memory, for tests of whatever stands on flags and switches."""

from collections.abc import Callable
from uuid import UUID

from msgspec import json

from tenfold.core.errors import Conflict, StoreUnavailable
from tenfold.core.ids import TenantId
from tenfold.rollout.types import MAX_FLAG_BYTES, MAX_FLAGS, MAX_KILLS, Change, Flag, Kill, Rollout


class FakeRolloutRows:
    """Set `away` to make every method raise StoreUnavailable. `told` are those whose flags or switches were told to
    have changed, in order: tenants, and None for the installation; `followers` are called with the same, at once."""

    def __init__(self) -> None:
        self.away = False
        self.reads = 0
        self.told: list[TenantId | None] = []
        self.followers: list[Callable[[TenantId | None], None]] = []
        self._flags: dict[UUID, Flag] = {}
        self._kills: dict[UUID, Kill] = {}
        self._changes: list[Change] = []

    async def add_flag(self, flag: Flag, change: Change) -> None:
        self._answer()
        mine = self._flags_of(flag.tenant_id)
        if len(mine) >= MAX_FLAGS:
            raise Conflict(f"There are {MAX_FLAGS} flags at most.")
        self._check_room([*mine, flag])
        if any(each.key == flag.key for each in mine):
            raise Conflict(f"There is a flag '{flag.key}' already.", param="key")
        self._flags[flag.id] = flag
        self._log(change)

    async def change_flag(self, flag: Flag, change: Change) -> bool:
        self._answer()
        old = self._flags.get(flag.id)
        if old is None or old.tenant_id != flag.tenant_id or old.revision != flag.revision - 1:
            return False
        self._check_room([each for each in self._flags_of(flag.tenant_id) if each.id != flag.id] + [flag])
        self._flags[flag.id] = flag
        self._log(change)
        return True

    async def end_flag(self, flag: Flag, change: Change) -> bool:
        self._answer()
        old = self._flags.get(flag.id)
        if old is None or old.tenant_id != flag.tenant_id or old.revision != flag.revision:
            return False
        del self._flags[flag.id]
        self._log(change)
        return True

    async def flag(self, tenant_id: TenantId | None, key: str) -> Flag | None:
        self._answer()
        return next((flag for flag in self._flags_of(tenant_id) if flag.key == key), None)

    async def flags(self, tenant_id: TenantId | None, *, before: UUID | None, limit: int) -> list[Flag]:
        self._answer()
        return [flag for flag in self._flags_of(tenant_id) if before is None or flag.id < before][:limit]

    async def add_kill(self, kill: Kill, change: Change) -> Kill:
        self._answer()
        mine = self._kills_of(kill.tenant_id)
        for each in mine:
            if (each.owner, each.scope, each.subject) == (kill.owner, kill.scope, kill.subject):
                return each
        if len(mine) >= MAX_KILLS:
            raise Conflict(f"There are {MAX_KILLS} switches at most.")
        self._kills[kill.id] = kill
        self._log(change)
        return kill

    async def end_kill(self, kill: Kill, change: Change) -> bool:
        if await self.kill(kill.tenant_id, kill.id) is None:
            return False
        del self._kills[kill.id]
        self._log(change)
        return True

    async def kill(self, tenant_id: TenantId | None, kill_id: UUID) -> Kill | None:
        self._answer()
        found = self._kills.get(kill_id)
        return found if found is not None and found.tenant_id == tenant_id else None

    async def kills(self, tenant_id: TenantId | None, *, before: UUID | None, limit: int) -> list[Kill]:
        self._answer()
        return [kill for kill in self._kills_of(tenant_id) if before is None or kill.id < before][:limit]

    async def changes(
        self, tenant_id: TenantId | None, *, subject: str | None, before: UUID | None, limit: int
    ) -> list[Change]:
        self._answer()
        mine = [
            change
            for change in self._changes
            if change.tenant_id == tenant_id
            and subject in (None, change.subject)
            and (before is None or change.id < before)
        ]
        return sorted(mine, key=lambda change: change.id, reverse=True)[:limit]

    async def read(self, tenant_id: TenantId | None) -> Rollout:
        self._answer()
        self.reads += 1
        return Rollout(flags=tuple(self._flags_of(tenant_id)), kills=tuple(self._kills_of(tenant_id)))

    def _flags_of(self, tenant_id: TenantId | None) -> list[Flag]:
        mine = [flag for flag in self._flags.values() if flag.tenant_id == tenant_id]
        return sorted(mine, key=lambda flag: flag.id, reverse=True)

    def _kills_of(self, tenant_id: TenantId | None) -> list[Kill]:
        mine = [kill for kill in self._kills.values() if kill.tenant_id == tenant_id]
        return sorted(mine, key=lambda kill: kill.id, reverse=True)

    def _check_room(self, flags: list[Flag]) -> None:
        if sum(len(json.encode(flag.definition)) for flag in flags) > MAX_FLAG_BYTES:
            raise Conflict(f"All flags together have at most {MAX_FLAG_BYTES} bytes.")

    def _log(self, change: Change) -> None:
        self._changes.append(change)
        self.told.append(change.tenant_id)
        for forget in self.followers:
            forget(change.tenant_id)

    def _answer(self) -> None:
        if self.away:
            raise StoreUnavailable("The database is away.", retry_after_s=1)
