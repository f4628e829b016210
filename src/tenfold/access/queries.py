"""Access rows in Postgres: the SQL of tenants, keys, people and sessions, and the hint that a key has changed.

A tenant's directory rows are written in the same transaction as its own rows, so neither exists without the other.
"""

import asyncio
from collections.abc import Collection
from datetime import datetime

from tenfold.access.types import ApiKey, KeyChanges, KeyRecord, SessionRow, Tenant, User
from tenfold.core.errors import Conflict, NotFound
from tenfold.core.ids import KeyId, TenantId, UserId
from tenfold.store import Row, Store

KEYS_CHANNEL = "tenfold_keys"

_ADD_TENANT = """
INSERT INTO tenants (id, slug, name, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (slug) DO NOTHING RETURNING id
"""
_ADD_LOGIN = """
INSERT INTO login_directory (login, tenant_id, user_id) VALUES ($1, $2, $3)
ON CONFLICT (login) DO NOTHING RETURNING login
"""
_ADD_USER = "INSERT INTO users (tenant_id, id, login, password_hash, created_at) VALUES ($1, $2, $3, $4, $5)"
_TENANT_BY_SLUG = "SELECT id, slug, name, created_at, plan FROM tenants WHERE slug = $1"
_TENANT_BY_ID = "SELECT id, slug, name, created_at, plan FROM tenants WHERE id = $1"
# A key that is added while the plan changes has the new one, or its row is there to be told of the change.
_TENANT_OF_KEY = "SELECT id FROM tenants WHERE id = $1 FOR SHARE"
_TENANTS = """
SELECT id, slug, name, created_at, plan FROM tenants WHERE slug COLLATE "C" > $1 ORDER BY slug COLLATE "C" LIMIT $2
"""
_SET_PLAN = "UPDATE tenants SET plan = $2 WHERE id = $1 RETURNING id, slug, name, created_at, plan"
_TELL_OF_KEYS = """
UPDATE key_directory SET changed_xid = pg_current_xact_id()
WHERE digest IN (SELECT digest FROM api_keys WHERE tenant_id = $1)
"""

_CLAIM_DIGEST = """
INSERT INTO key_directory (digest, tenant_id, key_id, scopes, expires_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (digest) DO NOTHING RETURNING key_id
"""
_HOLDER_OF_DIGEST = "SELECT tenant_id, key_id FROM key_directory WHERE digest = $1"
_ADD_KEY = """
INSERT INTO api_keys (tenant_id, id, digest, name, prefix, scopes, created_at, expires_at, origins)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_KEY_COLUMNS = "tenant_id, id, digest, name, prefix, scopes, created_at, expires_at, revoked_at, origins"
_KEY = f"SELECT {_KEY_COLUMNS} FROM api_keys WHERE tenant_id = $1 AND id = $2"  # noqa: S608 - our own constants
_KEYS = f"""
SELECT {_KEY_COLUMNS} FROM api_keys
WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3
"""  # noqa: S608 - our own constants
_REVOKE_KEY = f"""
UPDATE api_keys SET revoked_at = coalesce(revoked_at, $3) WHERE tenant_id = $1 AND id = $2 RETURNING {_KEY_COLUMNS}
"""  # noqa: S608 - our own constants
_REVOKE_DIGEST = """
UPDATE key_directory SET revoked_at = $2, changed_xid = pg_current_xact_id() WHERE digest = $1 AND revoked_at IS NULL
"""

_RECORD_COLUMNS = "k.digest, k.tenant_id, t.slug, t.plan, k.key_id, k.scopes, k.expires_at, k.revoked_at"
_FIND_KEYS = f"""
SELECT {_RECORD_COLUMNS} FROM key_directory k JOIN tenants t ON t.id = k.tenant_id WHERE k.digest = ANY($1::bytea[])
"""  # noqa: S608 - our own constants
_POSITION = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"
# Left join: the position comes also when nothing has changed.
_CHANGED_KEYS = f"""
SELECT now_at.position::text, {_RECORD_COLUMNS}
FROM (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS position) now_at
LEFT JOIN (key_directory k JOIN tenants t ON t.id = k.tenant_id) ON k.changed_xid >= $1::text::xid8
"""  # noqa: S608 - our own constants

_LOGIN = "SELECT tenant_id, user_id FROM login_directory WHERE login = $1"
_USER = "SELECT tenant_id, id, login, password_hash, created_at FROM users WHERE tenant_id = $1 AND id = $2"
_SET_PASSWORD = "UPDATE users SET password_hash = $3 WHERE tenant_id = $1 AND id = $2"  # noqa: S105 - no password
_ADD_SESSION = """
INSERT INTO sessions (tenant_id, digest, user_id, created_at, seen_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
"""
_ADD_SESSION_ENTRY = "INSERT INTO session_directory (digest, tenant_id) VALUES ($1, $2)"
_SESSION_TENANT = "SELECT tenant_id FROM session_directory WHERE digest = $1"
_SESSION = """
SELECT tenant_id, digest, user_id, created_at, seen_at, expires_at FROM sessions WHERE tenant_id = $1 AND digest = $2
"""
_TOUCH_SESSION = "UPDATE sessions SET seen_at = $3 WHERE tenant_id = $1 AND digest = $2"
_END_SESSION = "DELETE FROM sessions WHERE tenant_id = $1 AND digest = $2"
_SWEEP_SESSIONS = """
DELETE FROM sessions WHERE tenant_id = $1 AND (expires_at <= $2 OR seen_at <= $3) RETURNING digest
"""
_END_SESSION_ENTRIES = "DELETE FROM session_directory WHERE digest = ANY($1::bytea[])"


class PostgresAccessRows:
    """`AccessRows` on the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # -- tenants -----------------------------------------------------------------------------

    async def add_tenant(self, tenant: Tenant, owner: User | None = None) -> None:
        async with self._store.tenant(tenant.id) as tx:
            if await tx.fetchval(_ADD_TENANT, tenant.id, tenant.slug, tenant.name, tenant.created_at) is None:
                raise Conflict("This slug is taken.", param="slug")
            if owner is None:
                return
            if await tx.fetchval(_ADD_LOGIN, owner.login, tenant.id, owner.id) is None:
                raise Conflict("This login is taken.", param="login")
            await tx.execute(_ADD_USER, tenant.id, owner.id, owner.login, owner.password_hash, owner.created_at)

    async def tenant_by_slug(self, slug: str) -> Tenant | None:
        async with self._store.directory(readonly=True) as tx:
            row = await tx.fetchrow(_TENANT_BY_SLUG, slug)
        return None if row is None else _tenant(row)

    async def tenant_by_id(self, tenant_id: TenantId) -> Tenant | None:
        async with self._store.directory(readonly=True) as tx:
            row = await tx.fetchrow(_TENANT_BY_ID, tenant_id)
        return None if row is None else _tenant(row)

    async def tenants(self, *, after: str | None, limit: int) -> list[Tenant]:
        async with self._store.directory(readonly=True) as tx:
            return [_tenant(row) for row in await tx.fetch(_TENANTS, after or "", limit)]

    async def set_plan(self, tenant_id: TenantId, plan: str | None) -> Tenant | None:
        async with self._store.tenant(tenant_id) as tx:
            row = await tx.fetchrow(_SET_PLAN, tenant_id, plan)
            if row is None:
                return None
            await tx.execute(_TELL_OF_KEYS, tenant_id)
            await tx.notify(KEYS_CHANNEL)
        return _tenant(row)

    # -- keys --------------------------------------------------------------------------------

    async def add_key(self, key: ApiKey, digest: bytes) -> ApiKey:
        scopes = sorted(key.scopes)
        async with self._store.tenant(key.tenant_id) as tx:
            if await tx.fetchrow(_TENANT_OF_KEY, key.tenant_id) is None:
                raise NotFound("There is no such tenant.")
            if await tx.fetchval(_CLAIM_DIGEST, digest, key.tenant_id, key.id, scopes, key.expires_at) is None:
                holder = await tx.fetchrow(_HOLDER_OF_DIGEST, digest)
                earlier = holder and await tx.fetchrow(_KEY, key.tenant_id, holder["key_id"])
                if earlier is None:
                    raise Conflict("This key belongs to another tenant.")
                return _api_key(earlier)
            await tx.execute(
                _ADD_KEY,
                key.tenant_id,
                key.id,
                digest,
                key.name,
                key.prefix,
                scopes,
                key.created_at,
                key.expires_at,
                sorted(key.origins),
            )
            await tx.notify(KEYS_CHANNEL)
        return key

    async def key(self, tenant_id: TenantId, key_id: KeyId) -> ApiKey | None:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            row = await tx.fetchrow(_KEY, tenant_id, key_id)
        return None if row is None else _api_key(row)

    async def keys(self, tenant_id: TenantId, *, before: KeyId | None, limit: int) -> list[ApiKey]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return [_api_key(row) for row in await tx.fetch(_KEYS, tenant_id, before, limit)]

    async def revoke_key(self, tenant_id: TenantId, key_id: KeyId, at: datetime) -> ApiKey | None:
        async with self._store.tenant(tenant_id) as tx:
            row = await tx.fetchrow(_REVOKE_KEY, tenant_id, key_id, at)
            if row is None:
                return None
            await tx.execute(_REVOKE_DIGEST, row["digest"], at)
            await tx.notify(KEYS_CHANNEL)
        return _api_key(row)

    async def find_keys(self, digests: Collection[bytes]) -> list[KeyRecord]:
        async with self._store.directory(readonly=True) as tx:
            return [_record(row) for row in await tx.fetch(_FIND_KEYS, list(digests))]

    async def changed_keys(self, since: int | None) -> KeyChanges:
        async with self._store.directory(readonly=True) as tx:
            if since is None:
                return KeyChanges(records=[], position=int(await tx.fetchval(_POSITION)))
            rows = await tx.fetch(_CHANGED_KEYS, str(since))
        return KeyChanges(
            records=[_record(row) for row in rows if row["digest"] is not None], position=int(rows[0]["position"])
        )

    # -- users and sessions ------------------------------------------------------------------

    async def user_by_login(self, login: str) -> tuple[User, Tenant] | None:
        async with self._store.directory(readonly=True) as tx:
            entry = await tx.fetchrow(_LOGIN, login)
        if entry is None:
            return None
        async with self._store.tenant(TenantId(entry["tenant_id"]), readonly=True) as tx:
            user = await tx.fetchrow(_USER, entry["tenant_id"], entry["user_id"])
            tenant = await tx.fetchrow(_TENANT_BY_ID, entry["tenant_id"])
        return None if user is None or tenant is None else (_user(user), _tenant(tenant))

    async def set_password_hash(self, tenant_id: TenantId, user_id: UserId, password_hash: str) -> None:
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(_SET_PASSWORD, tenant_id, user_id, password_hash)

    async def add_session(self, session: SessionRow) -> None:
        async with self._store.tenant(session.tenant_id) as tx:
            await tx.execute(_ADD_SESSION_ENTRY, session.digest, session.tenant_id)
            await tx.execute(
                _ADD_SESSION,
                session.tenant_id,
                session.digest,
                session.user_id,
                session.created_at,
                session.seen_at,
                session.expires_at,
            )

    async def session(self, digest: bytes) -> tuple[SessionRow, User, Tenant] | None:
        tenant_id = await self._session_tenant(digest)
        if tenant_id is None:
            return None
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            session = await tx.fetchrow(_SESSION, tenant_id, digest)
            user = session and await tx.fetchrow(_USER, tenant_id, session["user_id"])
            tenant = await tx.fetchrow(_TENANT_BY_ID, tenant_id)
        if session is None or user is None or tenant is None:
            return None
        return _session(session), _user(user), _tenant(tenant)

    async def touch_session(self, tenant_id: TenantId, digest: bytes, at: datetime) -> None:
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(_TOUCH_SESSION, tenant_id, digest, at)

    async def end_session(self, digest: bytes) -> None:
        tenant_id = await self._session_tenant(digest)
        if tenant_id is None:
            return
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(_END_SESSION, tenant_id, digest)
            await tx.execute(_END_SESSION_ENTRIES, [digest])

    async def sweep_sessions(self, tenant_id: TenantId, before: datetime, seen_before: datetime) -> int:
        async with self._store.tenant(tenant_id) as tx:
            ended = [row["digest"] for row in await tx.fetch(_SWEEP_SESSIONS, tenant_id, before, seen_before)]
            if ended:
                await tx.execute(_END_SESSION_ENTRIES, ended)
        return len(ended)

    async def _session_tenant(self, digest: bytes) -> TenantId | None:
        async with self._store.directory(readonly=True) as tx:
            found = await tx.fetchval(_SESSION_TENANT, digest)
        return None if found is None else TenantId(found)


class KeyHint:
    """The `ChangeHint` of NOTIFY."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    async def listen(self, store: Store) -> None:
        """Raises StoreUnavailable when the channel is not heard yet; it is tried further on."""
        await store.listen(KEYS_CHANNEL, lambda _payload: self._changed.set())

    async def wait(self, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()


def _tenant(row: Row) -> Tenant:
    return Tenant(
        id=TenantId(row["id"]), slug=row["slug"], name=row["name"], created_at=row["created_at"], plan=row["plan"]
    )


def _api_key(row: Row) -> ApiKey:
    return ApiKey(
        id=KeyId(row["id"]),
        tenant_id=TenantId(row["tenant_id"]),
        name=row["name"],
        prefix=row["prefix"],
        scopes=frozenset(row["scopes"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        origins=frozenset(row["origins"]),
    )


def _record(row: Row) -> KeyRecord:
    return KeyRecord(
        digest=row["digest"],
        tenant_id=TenantId(row["tenant_id"]),
        tenant_slug=row["slug"],
        key_id=KeyId(row["key_id"]),
        scopes=frozenset(row["scopes"]),
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        plan=row["plan"],
    )


def _user(row: Row) -> User:
    return User(
        id=UserId(row["id"]),
        tenant_id=TenantId(row["tenant_id"]),
        login=row["login"],
        password_hash=row["password_hash"],
        created_at=row["created_at"],
    )


def _session(row: Row) -> SessionRow:
    return SessionRow(
        digest=row["digest"],
        tenant_id=TenantId(row["tenant_id"]),
        user_id=UserId(row["user_id"]),
        created_at=row["created_at"],
        seen_at=row["seen_at"],
        expires_at=row["expires_at"],
    )
