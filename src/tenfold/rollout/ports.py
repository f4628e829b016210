"""The seam of this part: flags, switches and the log of their changes at rest.

Where `tenant_id` is None, it is the installation's. Whoever writes adds the line of the log in the same step, and tells
every process. Every method raises StoreUnavailable while the store is away. `fake.FakeRolloutRows` is the in-memory
twin, under one contract suite with `queries.PostgresRolloutRows`.
"""

from typing import Protocol
from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.rollout.types import Change, Flag, Kill, Owner, Rollout

TOPIC = "flags"
"""Of a tenant's flags and switches, and, told with no tenant, of the installation's."""


class RolloutRows(Protocol):
    async def add_flag(self, flag: Flag, change: Change) -> None:
        """Raises Conflict (the key is taken; too many flags, or too large ones), NotFound (no such tenant)."""
        ...

    async def change_flag(self, flag: Flag, change: Change) -> bool:
        """Whether the flag was as it is in the revision before; nothing is written otherwise. Raises Conflict (too
        large)."""
        ...

    async def end_flag(self, flag: Flag, change: Change) -> bool:
        """Whether it was there, in this revision."""
        ...

    async def flag(self, tenant_id: TenantId | None, key: str) -> Flag | None: ...

    async def flags(self, tenant_id: TenantId | None, *, before: UUID | None, limit: int) -> list[Flag]:
        """The newest first, from the one before `before`; with a tenant, its own alone."""
        ...

    async def add_kill(self, kill: Kill, change: Change) -> Kill:
        """The switch that stands: an older one of the same owner, scope and subject, or this one. Raises Conflict (too
        many), NotFound (no such tenant)."""
        ...

    async def end_kill(self, kill: Kill, change: Change) -> bool:
        """Whether it was there."""
        ...

    async def kill(self, tenant_id: TenantId | None, kill_id: UUID) -> Kill | None: ...

    async def kills(self, tenant_id: TenantId | None, *, before: UUID | None, limit: int) -> list[Kill]:
        """The newest first, from the one before `before`; with a tenant, its own alone."""
        ...

    async def changes(
        self, tenant_id: TenantId | None, *, subject: str | None, before: UUID | None, limit: int
    ) -> list[Change]:
        """The newest first, from the one before `before`; of one subject, or of all."""
        ...

    async def read(self, tenant_id: TenantId | None) -> Rollout:
        """All that a process needs to know: of a tenant, its own alone."""
        ...


MAY: dict[Owner, frozenset[Owner]] = {
    "operator": frozenset({"operator", "tenant"}),
    "tenant": frozenset({"tenant"}),
}
"""Whose flags and switches each may change and end."""
