"""The SQL of receipts. A receipt is inserted once and never changed; each query names its tenant."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date, datetime

from tenfold.core.ids import TenantId
from tenfold.core.usage import Usage
from tenfold.ledger.types import Cursor, GroupBy, Receipt, Spend
from tenfold.store import ReadTransaction, Row, Store, Transaction

Effect = Callable[[Transaction, TenantId, Sequence[Receipt]], Awaitable[None]]
"""What else becomes true with new receipts: called in their transaction, with those that were not there before."""

_USAGE = Usage.__struct_fields__

_TYPES = {
    "at": "timestamptz",
    "id": "uuid",
    "key_id": "uuid",
    "operation": "text",
    "client_dialect": "text",
    "provider": "text",
    "model_asked": "text",
    "model_used": "text",
    "status": "text",
    "http_status": "smallint",
    "error_code": "text",
    "stream": "boolean",
    "cache": "text",
    "latency_ms": "integer",
    "first_byte_ms": "integer",
    "estimated": "boolean",
    "input_nano": "bigint",
    "output_nano": "bigint",
    "total_nano": "bigint",
    "feature": "text",
    "task": "text",
    "end_user": "text",
    "run": "text",
    "leases": "uuid[]",
    "draft": "boolean",
    "degraded": "text",
    "attempts": "integer",
}
_COLUMNS = {**_TYPES, **dict.fromkeys(_USAGE, "bigint")}

# Row-level security forbids COPY; one INSERT of a JSON array is a single round trip as well, and costs this process
# 3 us a receipt where arrays of each column cost 11. What a receipt leaves out is its default.
_DEFAULTS = {**{name: "false" for name, kind in _TYPES.items() if kind == "boolean"}, "attempts": "1"}
_VALUES = [f"coalesce(r.{name}, {_DEFAULTS[name]})" if name in _DEFAULTS else f"r.{name}" for name in _TYPES]
_VALUES += [f"CASE WHEN r.usage IS NOT NULL THEN coalesce((r.usage->>'{name}')::bigint, 0) END" for name in _USAGE]
INSERT_RECEIPTS = f"""
INSERT INTO receipts (tenant_id, {", ".join(_COLUMNS)})
SELECT $1, {", ".join(_VALUES)}
FROM jsonb_to_recordset($2::jsonb) AS r ({", ".join(f"{name} {kind}" for name, kind in _TYPES.items())}, usage jsonb)
ON CONFLICT DO NOTHING
RETURNING id
"""  # noqa: S608  (the names are those above)

RECENT_RECEIPTS = """
SELECT * FROM receipts WHERE tenant_id = $1 ORDER BY at DESC, id DESC LIMIT $2
"""

RECEIPTS_BEFORE = """
SELECT * FROM receipts WHERE tenant_id = $1 AND at <= $3 AND (at, id) < ($3, $4) ORDER BY at DESC, id DESC LIMIT $2
"""

_GROUPS: dict[GroupBy, str] = {
    "total": "NULL::text",
    "day": "to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
    "key": "key_id::text",
    "operation": "operation",
    "model": "coalesce(model_used, model_asked)",
    "provider": "provider",
    "feature": "feature",
    "task": "task",
    "end_user": "end_user",
    "run": "run",
    "status": "status",
}

SPEND = {
    group_by: f"""
SELECT {group} AS group_name,
       count(*) AS calls,
       count(*) FILTER (WHERE status <> 'ok') AS failed,
       count(*) FILTER (WHERE cache IN ('hit', 'coalesced')) AS cache_hits,
       count(*) FILTER (WHERE NOT priced) AS unpriced,
       coalesce(sum(input_tokens), 0)::bigint AS input_tokens,
       coalesce(sum(output_tokens), 0)::bigint AS output_tokens,
       coalesce(sum(total_nano), 0)::bigint AS total_nano
FROM receipts WHERE tenant_id = $1 AND at >= $2
GROUP BY 1 ORDER BY {"1" if group_by == "day" else "8 DESC, 2 DESC, 1"}
"""  # noqa: S608  (the groups are those above)
    for group_by, group in _GROUPS.items()
}

ENSURE_PARTITIONS = "SELECT tenfold.ensure_receipt_partitions($1, $2)"


async def insert_receipts(tx: Transaction, tenant_id: TenantId, receipts: Sequence[Receipt]) -> list[Receipt]:
    """Those that were not there before."""
    if not receipts:
        return []
    new = {row["id"] for row in await tx.fetch(INSERT_RECEIPTS, tenant_id, receipts)}
    if len(new) == len(receipts):
        return list(receipts)
    first = {receipt.id: receipt for receipt in reversed(receipts)}  # of two with one id the first one is kept
    return [receipt for receipt in first.values() if receipt.id in new][::-1]


async def recent_receipts(
    tx: ReadTransaction, tenant_id: TenantId, limit: int, before: Cursor | None = None
) -> list[Receipt]:
    """The newest first."""
    if before is None:
        rows = await tx.fetch(RECENT_RECEIPTS, tenant_id, limit)
    else:
        rows = await tx.fetch(RECEIPTS_BEFORE, tenant_id, limit, before.at, before.id)
    return [_receipt(row) for row in rows]


async def spend(tx: ReadTransaction, tenant_id: TenantId, since: datetime, group_by: GroupBy) -> list[Spend]:
    """The dearest group first; days in their order."""
    rows = await tx.fetch(SPEND[group_by], tenant_id, since)
    return [
        Spend(
            group=row["group_name"],
            calls=row["calls"],
            failed=row["failed"],
            cache_hits=row["cache_hits"],
            unpriced=row["unpriced"],
            input_tokens=row["input_tokens"],
            output_tokens=row["output_tokens"],
            total_nano=row["total_nano"],
        )
        for row in rows
        if row["calls"]
    ]


class PostgresReceiptRows:
    """ReceiptRows: each call is one unit of work, its `effects` included."""

    def __init__(self, store: Store, effects: Sequence[Effect] = ()) -> None:
        self._store = store
        self._effects = effects

    async def add(self, tenant_id: TenantId, receipts: Sequence[Receipt]) -> list[Receipt]:
        async with self._store.tenant(tenant_id) as tx:
            new = await insert_receipts(tx, tenant_id, receipts)
            if new:
                for effect in self._effects:
                    await effect(tx, tenant_id, new)
        return new

    async def prepare_days(self, first: date, days: int) -> None:
        async with self._store.directory() as tx:
            await tx.fetchval(ENSURE_PARTITIONS, first, days)

    async def recent(self, tenant_id: TenantId, *, limit: int, before: Cursor | None = None) -> list[Receipt]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return await recent_receipts(tx, tenant_id, limit, before)

    async def spend(self, tenant_id: TenantId, *, since: datetime, group_by: GroupBy) -> list[Spend]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return await spend(tx, tenant_id, since, group_by)


def _receipt(row: Row) -> Receipt:
    facts = {name: row[name] for name in _TYPES}
    usage = None if row["input_tokens"] is None else Usage(**{name: row[name] for name in _USAGE})
    facts["leases"] = tuple(facts["leases"] or ())
    if facts["attempts"] is None:  # from before they were counted
        del facts["attempts"]
    return Receipt(tenant_id=row["tenant_id"], usage=usage, **facts)
