"""The seams of this part: rows at rest, the key directory as a running process follows it, and its wake-up hint.

Every method raises StoreUnavailable while the database is away. `AccessRows` is told what to write; the rules are
in `handlers`. `fake.FakeAccessRows` is the in-memory twin of `queries.PostgresAccessRows`, under one contract suite.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from tenfold.access.types import ApiKey, KeyChanges, KeyRecord, SessionRow, Tenant, User
from tenfold.core.ids import KeyId, TenantId, UserId


class KeyDirectory(Protocol):
    async def find_keys(self, digests: Collection[bytes]) -> list[KeyRecord]:
        """The rows of these digests, revoked and expired ones included; unknown digests have none."""
        ...

    async def changed_keys(self, since: int | None) -> KeyChanges:
        """Rows written since the position, none of which is ever left out; rows may repeat. None: only the
        position of now. A position smaller than `since` says the feed began anew and may have lost rows."""
        ...


class ChangeHint(Protocol):
    async def wait(self, timeout_s: float) -> None:
        """Returns when something may have changed, at the latest after the timeout. Never raises for a lost
        connection: it is a hint, whoever waits on it also polls."""
        ...


class TenantRows(Protocol):
    async def add_tenant(self, tenant: Tenant, owner: User | None = None) -> None:
        """All of it or nothing. Raises Conflict with `param` "slug" or "login" when that is taken."""
        ...

    async def tenant_by_slug(self, slug: str) -> Tenant | None: ...

    async def tenant_by_id(self, tenant_id: TenantId) -> Tenant | None: ...

    async def tenants(self, *, after: str | None, limit: int) -> list[Tenant]:
        """In the order of their slugs, from the one after `after`."""
        ...

    async def set_plan(self, tenant_id: TenantId, plan: str | None) -> Tenant | None:
        """The tenant as it is now; the feed of keys tells of every key that it has. None: there is no such tenant."""
        ...


class KeyRows(Protocol):
    async def add_key(self, key: ApiKey, digest: bytes) -> ApiKey:
        """The key as stored: the earlier one when this tenant has the same secret already.
        Raises Conflict when another tenant has it, NotFound when there is no such tenant."""
        ...

    async def key(self, tenant_id: TenantId, key_id: KeyId) -> ApiKey | None: ...

    async def keys(self, tenant_id: TenantId, *, before: KeyId | None, limit: int) -> list[ApiKey]:
        """The newest first, from the one before `before`."""
        ...

    async def revoke_key(self, tenant_id: TenantId, key_id: KeyId, at: datetime) -> ApiKey | None:
        """Refused everywhere from here on; the first time stands. None when the tenant has no such key."""
        ...


class UserRows(Protocol):
    async def user_by_login(self, login: str) -> tuple[User, Tenant] | None: ...

    async def set_password_hash(self, tenant_id: TenantId, user_id: UserId, password_hash: str) -> None: ...

    async def add_session(self, session: SessionRow) -> None: ...

    async def session(self, digest: bytes) -> tuple[SessionRow, User, Tenant] | None: ...

    async def touch_session(self, tenant_id: TenantId, digest: bytes, at: datetime) -> None: ...

    async def end_session(self, digest: bytes) -> None: ...

    async def sweep_sessions(self, tenant_id: TenantId, before: datetime, seen_before: datetime) -> int:
        """Removes the tenant's sessions that ended by either rule; says how many."""
        ...


class AccountRows(TenantRows, UserRows, Protocol):
    """What people's accounts need."""


class AccessRows(TenantRows, KeyRows, UserRows, KeyDirectory, Protocol):
    """All of it, as one database gives it."""
