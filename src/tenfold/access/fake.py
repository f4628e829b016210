"""Access rows in memory, for tests of whatever stands on access; under the contract suite of the real ones."""

import asyncio
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

from tenfold.access.types import ApiKey, KeyChanges, KeyRecord, SessionRow, Tenant, User
from tenfold.core.errors import Conflict, NotFound, StoreUnavailable
from tenfold.core.ids import KeyId, TenantId, UserId


class FakeAccessRows:
    """Set `away` to make every call raise StoreUnavailable; `queries` counts the calls that were answered."""

    def __init__(self) -> None:
        self.away = False
        self.queries = 0
        self._tenants: dict[TenantId, Tenant] = {}
        self._users: dict[UserId, User] = {}
        self._keys: dict[KeyId, ApiKey] = {}
        self._sessions: dict[bytes, SessionRow] = {}
        self._directory: dict[bytes, KeyRecord] = {}
        self._feed: list[bytes] = []

    # -- tenants -----------------------------------------------------------------------------

    async def add_tenant(self, tenant: Tenant, owner: User | None = None) -> None:
        self._answer()
        if any(other.slug == tenant.slug for other in self._tenants.values()):
            raise Conflict("This slug is taken.", param="slug")
        if owner is not None and any(other.login == owner.login for other in self._users.values()):
            raise Conflict("This login is taken.", param="login")
        self._tenants[tenant.id] = tenant
        if owner is not None:
            self._users[owner.id] = owner

    async def tenant_by_slug(self, slug: str) -> Tenant | None:
        self._answer()
        return next((tenant for tenant in self._tenants.values() if tenant.slug == slug), None)

    async def tenant_by_id(self, tenant_id: TenantId) -> Tenant | None:
        self._answer()
        return self._tenants.get(tenant_id)

    async def tenants(self, *, after: str | None, limit: int) -> list[Tenant]:
        self._answer()
        ordered = sorted(self._tenants.values(), key=lambda tenant: tenant.slug)
        return [tenant for tenant in ordered if after is None or tenant.slug > after][:limit]

    async def set_plan(self, tenant_id: TenantId, plan: str | None) -> Tenant | None:
        self._answer()
        tenant = self._tenants.get(tenant_id)
        if tenant is None:
            return None
        changed = self._tenants[tenant_id] = replace(tenant, plan=plan)
        for record in list(self._directory.values()):
            if record.tenant_id == tenant_id:
                self._write(replace(record, plan=plan))
        return changed

    # -- keys --------------------------------------------------------------------------------

    async def add_key(self, key: ApiKey, digest: bytes) -> ApiKey:
        self._answer()
        tenant = self._tenants.get(key.tenant_id)
        if tenant is None:
            raise NotFound("There is no such tenant.")
        earlier = self._directory.get(digest)
        if earlier is not None:
            if earlier.tenant_id != key.tenant_id:
                raise Conflict("This key belongs to another tenant.")
            return self._keys[earlier.key_id]
        self._keys[key.id] = key
        self._write(
            KeyRecord(
                digest=digest,
                tenant_id=key.tenant_id,
                tenant_slug=tenant.slug,
                key_id=key.id,
                scopes=key.scopes,
                expires_at=key.expires_at,
                plan=tenant.plan,
            )
        )
        return key

    async def key(self, tenant_id: TenantId, key_id: KeyId) -> ApiKey | None:
        self._answer()
        key = self._keys.get(key_id)
        return key if key is not None and key.tenant_id == tenant_id else None

    async def keys(self, tenant_id: TenantId, *, before: KeyId | None, limit: int) -> list[ApiKey]:
        self._answer()
        mine = [key for key in self._keys.values() if key.tenant_id == tenant_id]
        mine.sort(key=lambda key: key.id, reverse=True)
        return [key for key in mine if before is None or key.id < before][:limit]

    async def revoke_key(self, tenant_id: TenantId, key_id: KeyId, at: datetime) -> ApiKey | None:
        self._answer()
        key = self._keys.get(key_id)
        if key is None or key.tenant_id != tenant_id:
            return None
        if key.revoked_at is not None:
            return key
        revoked = self._keys[key_id] = replace(key, revoked_at=at)
        for record in list(self._directory.values()):
            if record.key_id == key_id:
                self._write(replace(record, revoked_at=at))
        return revoked

    async def find_keys(self, digests: Collection[bytes]) -> list[KeyRecord]:
        self._answer()
        return [self._directory[digest] for digest in digests if digest in self._directory]

    async def changed_keys(self, since: int | None) -> KeyChanges:
        self._answer()
        changed = self._feed[since:] if since is not None else []
        return KeyChanges(records=[self._directory[digest] for digest in changed], position=len(self._feed))

    # -- users and sessions ------------------------------------------------------------------

    async def user_by_login(self, login: str) -> tuple[User, Tenant] | None:
        self._answer()
        user = next((user for user in self._users.values() if user.login == login), None)
        return None if user is None else (user, self._tenants[user.tenant_id])

    async def set_password_hash(self, tenant_id: TenantId, user_id: UserId, password_hash: str) -> None:
        self._answer()
        user = self._users.get(user_id)
        if user is not None and user.tenant_id == tenant_id:
            self._users[user_id] = replace(user, password_hash=password_hash)

    async def add_session(self, session: SessionRow) -> None:
        self._answer()
        self._sessions[session.digest] = session

    async def session(self, digest: bytes) -> tuple[SessionRow, User, Tenant] | None:
        self._answer()
        row = self._sessions.get(digest)
        return None if row is None else (row, self._users[row.user_id], self._tenants[row.tenant_id])

    async def touch_session(self, tenant_id: TenantId, digest: bytes, at: datetime) -> None:
        self._answer()
        row = self._sessions.get(digest)
        if row is not None and row.tenant_id == tenant_id:
            self._sessions[digest] = replace(row, seen_at=at)

    async def end_session(self, digest: bytes) -> None:
        self._answer()
        self._sessions.pop(digest, None)

    async def sweep_sessions(self, tenant_id: TenantId, before: datetime, seen_before: datetime) -> int:
        self._answer()
        ended = [
            row.digest
            for row in self._sessions.values()
            if row.tenant_id == tenant_id and (row.expires_at <= before or row.seen_at <= seen_before)
        ]
        for digest in ended:
            del self._sessions[digest]
        return len(ended)

    def _answer(self) -> None:
        if self.away:
            raise StoreUnavailable("The database is away.", retry_after_s=1)
        self.queries += 1

    def _write(self, record: KeyRecord) -> None:
        self._directory[record.digest] = record
        self._feed.append(record.digest)


class FakeHint:
    """A hint that comes when `ring` is called."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._rung.wait()
        except TimeoutError:
            return
        self._rung.clear()
