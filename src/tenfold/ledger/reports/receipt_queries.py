"""The SQL of receipts as they count now, and of what corrects them. Corrections of one receipt come one after the
other: each holds a lock of the receipt until it commits."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.ledger.reports.counting import AMOUNTS, TOKENS
from tenfold.ledger.reports.types import Adjustment, Counted, Range
from tenfold.ledger.reports.usage_queries import CORRECTED_EACH
from tenfold.ledger.types import Cursor
from tenfold.store import ReadTransaction, Row, Transaction

_AS_TOLD = [
    f"r.{name}"
    for name in Counted.__struct_fields__
    if name not in ("estimated", "corrected", *TOKENS, *AMOUNTS)
]  # fmt: skip
_COUNTED = f"""
SELECT {", ".join(_AS_TOLD)}, r.estimated AND NOT a.corrected AS estimated, a.corrected,
       {", ".join(f"coalesce(r.{name}, 0) + coalesce(a.{name}, 0) AS {name}" for name in TOKENS)},
       {", ".join(f"CASE WHEN a.corrected THEN coalesce(r.{n}, 0) + a.{n} ELSE r.{n} END AS {n}" for n in AMOUNTS)}
FROM receipts r {CORRECTED_EACH} WHERE r.tenant_id = $1
"""  # noqa: S608  (the names are constants)

RECEIPTS = f"{_COUNTED} AND r.at >= $2 AND r.at < $3 ORDER BY r.at, r.id LIMIT $4"
RECEIPTS_AFTER = (
    f"{_COUNTED} AND r.at >= $5 AND r.at >= $2 AND r.at < $3 AND (r.at, r.id) > ($5, $6) ORDER BY r.at, r.id LIMIT $4"
)
RECEIPT = f"{_COUNTED} AND r.at = $2 AND r.id = $3"
ESTIMATED = f"{_COUNTED} AND r.at >= $2 AND r.at < $3 AND r.estimated AND NOT a.corrected ORDER BY r.at, r.id LIMIT $4"

LOCK_RECEIPT = "SELECT pg_advisory_xact_lock(hashtextextended('tenfold.adjustments ' || $1::uuid::text, 0))"

HAS_ADJUSTMENT = """
SELECT EXISTS (SELECT FROM adjustments WHERE tenant_id = $1 AND receipt_at = $2 AND receipt_id = $3 AND source = $4)
"""

_DIFFERENCES = [name for name in Adjustment.__struct_fields__ if name not in ("receipt_id", "receipt_at", "source")]
INSERT_ADJUSTMENT = f"""
INSERT INTO adjustments (tenant_id, receipt_at, receipt_id, source, {", ".join(_DIFFERENCES)})
VALUES ({", ".join(f"${place}" for place in range(1, 5 + len(_DIFFERENCES)))})
"""  # noqa: S608

ADJUSTED_RECEIPTS = f"""
SELECT {", ".join(_AS_TOLD)}, r.estimated, false AS corrected,
       {", ".join(f"coalesce(r.{name}, 0) AS {name}" for name in TOKENS)}, {", ".join(f"r.{n}" for n in AMOUNTS)},
       {", ".join(f"a.{name} AS more_{name}" for name in (*TOKENS, *AMOUNTS))}
FROM (SELECT receipt_at, receipt_id, {", ".join(f"sum({name})::bigint AS {name}" for name in (*TOKENS, *AMOUNTS))}
      FROM adjustments WHERE tenant_id = $1 AND receipt_at >= $2 AND receipt_at < $3 GROUP BY 1, 2) AS a
JOIN receipts r ON r.tenant_id = $1 AND r.at = a.receipt_at AND r.id = a.receipt_id
"""  # noqa: S608


async def receipts(
    tx: ReadTransaction, tenant_id: TenantId, range_: Range, limit: int, after: Cursor | None
) -> list[Counted]:
    place = () if after is None else (after.at, after.id)
    statement = RECEIPTS if after is None else RECEIPTS_AFTER
    return [_counted(row) for row in await tx.fetch(statement, tenant_id, range_.since, range_.until, limit, *place)]


async def receipt(tx: ReadTransaction, tenant_id: TenantId, receipt_id: UUID, receipt_at: datetime) -> Counted | None:
    row = await tx.fetchrow(RECEIPT, tenant_id, receipt_at, receipt_id)
    return None if row is None else _counted(row)


async def estimated(tx: ReadTransaction, tenant_id: TenantId, range_: Range, limit: int) -> list[Counted]:
    return [_counted(row) for row in await tx.fetch(ESTIMATED, tenant_id, range_.since, range_.until, limit)]


async def lock_receipt(tx: Transaction, receipt_id: UUID) -> None:
    await tx.fetchval(LOCK_RECEIPT, receipt_id)


async def has_adjustment(
    tx: Transaction, tenant_id: TenantId, receipt_id: UUID, receipt_at: datetime, source: str
) -> bool:
    return bool(await tx.fetchval(HAS_ADJUSTMENT, tenant_id, receipt_at, receipt_id, source))


async def insert_adjustment(tx: Transaction, tenant_id: TenantId, row: Adjustment) -> None:
    differences = [getattr(row, name) for name in _DIFFERENCES]
    await tx.execute(INSERT_ADJUSTMENT, tenant_id, row.receipt_at, row.receipt_id, row.source, *differences)


async def adjusted_receipts(
    tx: ReadTransaction, tenant_id: TenantId, since: datetime, until: datetime
) -> Sequence[tuple[Counted, Adjustment]]:
    """Each corrected receipt of that time as it is told, with the sum of its corrections."""
    return [
        (
            _counted(row),
            Adjustment(
                receipt_id=row["id"],
                receipt_at=row["at"],
                source="all",
                flagged=False,
                **{name: row[f"more_{name}"] for name in (*TOKENS, *AMOUNTS)},
            ),
        )
        for row in await tx.fetch(ADJUSTED_RECEIPTS, tenant_id, since, until)
    ]


def _counted(row: Row) -> Counted:
    facts = {name: row[name] for name in Counted.__struct_fields__ if name != "leases"}
    return Counted(**facts, leases=tuple(row["leases"] or ()))
