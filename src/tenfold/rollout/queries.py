"""The SQL of flags, switches and their log. Whoever writes tells every process in the same transaction.

What is the installation's stands in directory tables, what is a tenant's behind row-level security: each statement
comes in both forms, and the tenant's has the tenant in front of its parameters.
"""

from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

from msgspec import Struct, json

from tenfold.core.errors import Conflict, NotFound
from tenfold.core.ids import TenantId
from tenfold.rollout.ports import TOPIC
from tenfold.rollout.types import MAX_FLAG_BYTES, MAX_FLAGS, MAX_KILLS, Change, Definition, Flag, Kill, Rollout
from tenfold.store import ReadTransaction, Row, Store, Transaction, tell_change

_TENANT = "SELECT EXISTS (SELECT FROM tenants WHERE id = $1)"


class _Statements(Struct, frozen=True, kw_only=True):
    add_flag: str
    change_flag: str
    end_flag: str
    flag: str
    flags: str
    sizes: str
    add_kill: str
    end_kill: str
    kill: str
    same_kill: str
    kills: str
    count_kills: str
    add_change: str
    changes: str


_OF_TENANT = _Statements(
    add_flag="""
INSERT INTO flags (tenant_id, id, key, definition, revision, created_at, updated_at, owner)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (tenant_id, key) DO NOTHING RETURNING id
""",
    change_flag="""
UPDATE flags SET definition = $4, revision = $3 + 1, updated_at = $5 WHERE tenant_id = $1 AND id = $2 AND revision = $3
RETURNING id
""",
    end_flag="DELETE FROM flags WHERE tenant_id = $1 AND id = $2 AND revision = $3 RETURNING id",
    flag="SELECT * FROM flags WHERE tenant_id = $1 AND key = $2",
    flags="SELECT * FROM flags WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3",
    sizes="""
SELECT count(*) AS flags, coalesce(sum(octet_length(definition)), 0) AS bytes FROM flags WHERE tenant_id = $1
""",
    add_kill="""
INSERT INTO kills (tenant_id, id, scope, subject, reason, actor, created_at, owner)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (tenant_id, owner, scope, subject) DO NOTHING RETURNING id
""",
    end_kill="DELETE FROM kills WHERE tenant_id = $1 AND id = $2 RETURNING id",
    kill="SELECT * FROM kills WHERE tenant_id = $1 AND id = $2",
    same_kill="SELECT * FROM kills WHERE tenant_id = $1 AND scope = $2 AND subject = $3 AND owner = $4",
    kills="SELECT * FROM kills WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3",
    count_kills="SELECT count(*) FROM kills WHERE tenant_id = $1",
    add_change="""
INSERT INTO flag_changes (tenant_id, id, at, actor, kind, subject, action, before, after, reason, owner)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
""",
    changes="""
SELECT * FROM flag_changes
WHERE tenant_id = $1 AND ($2::text IS NULL OR subject = $2) AND ($3::uuid IS NULL OR id < $3)
ORDER BY id DESC LIMIT $4
""",
)

_OF_ALL = _Statements(
    add_flag="""
INSERT INTO operator_flags (id, key, definition, revision, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (key) DO NOTHING RETURNING id
""",
    change_flag="""
UPDATE operator_flags SET definition = $3, revision = $2 + 1, updated_at = $4 WHERE id = $1 AND revision = $2
RETURNING id
""",
    end_flag="DELETE FROM operator_flags WHERE id = $1 AND revision = $2 RETURNING id",
    flag="SELECT * FROM operator_flags WHERE key = $1",
    flags="SELECT * FROM operator_flags WHERE $1::uuid IS NULL OR id < $1 ORDER BY id DESC LIMIT $2",
    sizes="SELECT count(*) AS flags, coalesce(sum(octet_length(definition)), 0) AS bytes FROM operator_flags",
    add_kill="""
INSERT INTO operator_kills (id, scope, subject, reason, actor, created_at)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (scope, subject) DO NOTHING RETURNING id
""",
    end_kill="DELETE FROM operator_kills WHERE id = $1 RETURNING id",
    kill="SELECT * FROM operator_kills WHERE id = $1",
    same_kill="SELECT * FROM operator_kills WHERE scope = $1 AND subject = $2",
    kills="SELECT * FROM operator_kills WHERE $1::uuid IS NULL OR id < $1 ORDER BY id DESC LIMIT $2",
    count_kills="SELECT count(*) FROM operator_kills",
    add_change="""
INSERT INTO operator_flag_changes (id, at, actor, kind, subject, action, before, after, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
""",
    changes="""
SELECT * FROM operator_flag_changes WHERE ($1::text IS NULL OR subject = $1) AND ($2::uuid IS NULL OR id < $2)
ORDER BY id DESC LIMIT $3
""",
)


class PostgresRolloutRows:
    def __init__(self, store: Store) -> None:
        self._store = store

    # -- flags -------------------------------------------------------------------------------

    async def add_flag(self, flag: Flag, change: Change) -> None:
        tenant_id, sql = flag.tenant_id, _statements(flag.tenant_id)
        definition = _text(flag.definition)
        async with self._writing(tenant_id) as tx:
            await _check_tenant(tx, tenant_id)
            sizes = await tx.fetchrow(sql.sizes, *_with(tenant_id))
            assert sizes is not None
            if sizes["flags"] >= MAX_FLAGS:
                raise Conflict(f"There are {MAX_FLAGS} flags at most.")
            _check_room(sizes["bytes"] + len(definition.encode()))
            values = [flag.id, flag.key, definition, flag.revision, flag.created_at, flag.updated_at]
            if tenant_id is not None:
                values.append(flag.owner)
            if await tx.fetchval(sql.add_flag, *_with(tenant_id), *values) is None:
                raise Conflict(f"There is a flag '{flag.key}' already.", param="key")
            await self._log(tx, change)

    async def change_flag(self, flag: Flag, change: Change) -> bool:
        tenant_id, sql = flag.tenant_id, _statements(flag.tenant_id)
        async with self._writing(tenant_id) as tx:
            values = flag.id, flag.revision - 1, _text(flag.definition), flag.updated_at
            if await tx.fetchval(sql.change_flag, *_with(tenant_id), *values) is None:
                return False
            sizes = await tx.fetchrow(sql.sizes, *_with(tenant_id))
            assert sizes is not None
            _check_room(sizes["bytes"])
            await self._log(tx, change)
        return True

    async def end_flag(self, flag: Flag, change: Change) -> bool:
        tenant_id, sql = flag.tenant_id, _statements(flag.tenant_id)
        async with self._writing(tenant_id) as tx:
            if await tx.fetchval(sql.end_flag, *_with(tenant_id), flag.id, flag.revision) is None:
                return False
            await self._log(tx, change)
        return True

    async def flag(self, tenant_id: TenantId | None, key: str) -> Flag | None:
        async with self._reading(tenant_id) as tx:
            row = await tx.fetchrow(_statements(tenant_id).flag, *_with(tenant_id), key)
        return None if row is None else _flag(tenant_id, row)

    async def flags(self, tenant_id: TenantId | None, *, before: UUID | None, limit: int) -> list[Flag]:
        async with self._reading(tenant_id) as tx:
            rows = await tx.fetch(_statements(tenant_id).flags, *_with(tenant_id), before, limit)
        return [_flag(tenant_id, row) for row in rows]

    # -- kills -------------------------------------------------------------------------------

    async def add_kill(self, kill: Kill, change: Change) -> Kill:
        tenant_id, sql = kill.tenant_id, _statements(kill.tenant_id)
        owner = () if tenant_id is None else (kill.owner,)
        async with self._writing(tenant_id) as tx:
            await _check_tenant(tx, tenant_id)
            same = await tx.fetchrow(sql.same_kill, *_with(tenant_id), kill.scope, kill.subject, *owner)
            if same is not None:
                return _kill(tenant_id, same)
            if await tx.fetchval(sql.count_kills, *_with(tenant_id)) >= MAX_KILLS:
                raise Conflict(f"There are {MAX_KILLS} switches at most.")
            values = kill.id, kill.scope, kill.subject, kill.reason, kill.actor, kill.created_at
            if await tx.fetchval(sql.add_kill, *_with(tenant_id), *values, *owner) is None:  # another was faster
                same = await tx.fetchrow(sql.same_kill, *_with(tenant_id), kill.scope, kill.subject, *owner)
                if same is None:  # and has gone again
                    raise Conflict("The switch was thrown and ended in this moment by somebody else.")
                return _kill(tenant_id, same)
            await self._log(tx, change)
        return kill

    async def end_kill(self, kill: Kill, change: Change) -> bool:
        tenant_id = kill.tenant_id
        async with self._writing(tenant_id) as tx:
            if await tx.fetchval(_statements(tenant_id).end_kill, *_with(tenant_id), kill.id) is None:
                return False
            await self._log(tx, change)
        return True

    async def kill(self, tenant_id: TenantId | None, kill_id: UUID) -> Kill | None:
        async with self._reading(tenant_id) as tx:
            row = await tx.fetchrow(_statements(tenant_id).kill, *_with(tenant_id), kill_id)
        return None if row is None else _kill(tenant_id, row)

    async def kills(self, tenant_id: TenantId | None, *, before: UUID | None, limit: int) -> list[Kill]:
        async with self._reading(tenant_id) as tx:
            rows = await tx.fetch(_statements(tenant_id).kills, *_with(tenant_id), before, limit)
        return [_kill(tenant_id, row) for row in rows]

    # -- both --------------------------------------------------------------------------------

    async def changes(
        self, tenant_id: TenantId | None, *, subject: str | None, before: UUID | None, limit: int
    ) -> list[Change]:
        async with self._reading(tenant_id) as tx:
            rows = await tx.fetch(_statements(tenant_id).changes, *_with(tenant_id), subject, before, limit)
        return [_change(tenant_id, row) for row in rows]

    async def read(self, tenant_id: TenantId | None) -> Rollout:
        sql = _statements(tenant_id)
        async with self._reading(tenant_id) as tx:
            flags = await tx.fetch(sql.flags, *_with(tenant_id), None, MAX_FLAGS)
            kills = await tx.fetch(sql.kills, *_with(tenant_id), None, MAX_KILLS)
        return Rollout(
            flags=tuple(_flag(tenant_id, row) for row in flags), kills=tuple(_kill(tenant_id, row) for row in kills)
        )

    # -- inside ------------------------------------------------------------------------------

    def _writing(self, tenant_id: TenantId | None) -> AbstractAsyncContextManager[Transaction]:
        return self._store.directory() if tenant_id is None else self._store.tenant(tenant_id)

    def _reading(self, tenant_id: TenantId | None) -> AbstractAsyncContextManager[ReadTransaction]:
        if tenant_id is None:
            return self._store.directory(readonly=True)
        return self._store.tenant(tenant_id, readonly=True)

    async def _log(self, tx: Transaction, change: Change) -> None:
        values: list[Any] = [
            change.id,
            change.at,
            change.actor,
            change.kind,
            change.subject,
            change.action,
            change.before,
            change.after,
            change.reason,
        ]
        if change.tenant_id is not None:
            values.append(change.owner)
        await tx.execute(_statements(change.tenant_id).add_change, *_with(change.tenant_id), *values)
        await tell_change(tx, TOPIC, change.tenant_id)


def _statements(tenant_id: TenantId | None) -> _Statements:
    return _OF_ALL if tenant_id is None else _OF_TENANT


def _with(tenant_id: TenantId | None) -> tuple[TenantId, ...]:
    return () if tenant_id is None else (tenant_id,)


def _text(definition: Definition) -> str:
    return json.encode(definition).decode()


async def _check_tenant(tx: Transaction, tenant_id: TenantId | None) -> None:
    if tenant_id is not None and not await tx.fetchval(_TENANT, tenant_id):
        raise NotFound("There is no such tenant.")


def _check_room(size: int) -> None:
    if size > MAX_FLAG_BYTES:
        raise Conflict(f"All flags together have at most {MAX_FLAG_BYTES} bytes.")


def _flag(tenant_id: TenantId | None, row: Row) -> Flag:
    return Flag(
        id=row["id"],
        key=row["key"],
        tenant_id=tenant_id,
        owner="operator" if tenant_id is None else row["owner"],
        definition=json.decode(row["definition"], type=Definition),
        revision=row["revision"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _kill(tenant_id: TenantId | None, row: Row) -> Kill:
    return Kill(
        id=row["id"],
        scope=row["scope"],
        subject=row["subject"],
        reason=row["reason"],
        tenant_id=tenant_id,
        owner="operator" if tenant_id is None else row["owner"],
        actor=row["actor"],
        created_at=row["created_at"],
    )


def _change(tenant_id: TenantId | None, row: Row) -> Change:
    return Change(
        id=row["id"],
        at=row["at"],
        tenant_id=tenant_id,
        actor=row["actor"],
        owner="operator" if tenant_id is None else row["owner"],
        kind=row["kind"],
        subject=row["subject"],
        action=row["action"],
        before=row["before"],
        after=row["after"],
        reason=row["reason"],
    )
