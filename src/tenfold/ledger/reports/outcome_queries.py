"""The SQL of outcomes: what was reported of tasks, and what the calls of tasks cost."""

from collections.abc import Sequence

from tenfold.core.ids import TenantId
from tenfold.ledger.reports.types import LooseCost, Outcome, Range, TaskCost
from tenfold.ledger.reports.usage_queries import CORRECTED, CORRECTED_EACH
from tenfold.store import ReadTransaction, Transaction

REPORT_OUTCOMES = """
INSERT INTO outcomes AS o (tenant_id, task, outcome, value_nano, at)
SELECT $1, r.task, r.outcome, r.value_nano, r.at
FROM jsonb_to_recordset($2::jsonb) AS r (task text, outcome text, value_nano bigint, at timestamptz)
ON CONFLICT (tenant_id, task)
DO UPDATE SET outcome = excluded.outcome, value_nano = excluded.value_nano, at = excluded.at
"""

_OUTCOMES = """
SELECT task, outcome, value_nano, at FROM outcomes WHERE tenant_id = $1 AND at >= $2 AND at < $3
"""
OUTCOMES = f"{_OUTCOMES} ORDER BY at, task LIMIT $4"
OUTCOMES_AFTER = f"{_OUTCOMES} AND (at, task) > ($5, $6) ORDER BY at, task LIMIT $4"

TASK_COSTS = f"""
SELECT r.task, coalesce(r.feature, '') AS feature, count(*) AS calls,
       count(*) FILTER (WHERE r.total_nano IS NULL AND NOT a.corrected) AS unpriced,
       (coalesce(sum(r.total_nano), 0) + coalesce(sum(a.total_nano), 0))::bigint AS total_nano
FROM receipts r {CORRECTED_EACH} WHERE r.tenant_id = $1 AND r.task = ANY ($2::text[]) GROUP BY 1, 2
"""  # noqa: S608  (the join is a constant)

LOOSE_COSTS = f"""
SELECT CASE WHEN grouping(coalesce(r.feature, '')) = 0 THEN coalesce(r.feature, '') END AS feature, count(*) AS calls,
       (coalesce(sum(r.total_nano), 0) + coalesce(sum(a.total_nano), 0))::bigint AS total_nano,
       count(DISTINCT r.task) AS tasks
FROM receipts r {CORRECTED} LEFT JOIN outcomes o ON o.tenant_id = $1 AND o.task = r.task
WHERE r.tenant_id = $1 AND r.at >= $2 AND r.at < $3 AND o.task IS NULL
GROUP BY GROUPING SETS ((r.task IS NOT NULL), (r.task IS NOT NULL, coalesce(r.feature, '')))
"""  # noqa: S608


async def report_outcomes(tx: Transaction, tenant_id: TenantId, outcomes: Sequence[Outcome]) -> None:
    # In one order, so that two processes that report the same tasks never wait for each other in a circle.
    await tx.execute(REPORT_OUTCOMES, tenant_id, sorted(outcomes, key=lambda outcome: outcome.task))


async def outcomes(
    tx: ReadTransaction, tenant_id: TenantId, range_: Range, limit: int, after: Outcome | None
) -> list[Outcome]:
    place = () if after is None else (after.at, after.task)
    statement = OUTCOMES if after is None else OUTCOMES_AFTER
    rows = await tx.fetch(statement, tenant_id, range_.since, range_.until, limit, *place)
    return [Outcome(**dict(row)) for row in rows]


async def task_costs(tx: ReadTransaction, tenant_id: TenantId, tasks: Sequence[str]) -> list[TaskCost]:
    return [TaskCost(**dict(row)) for row in await tx.fetch(TASK_COSTS, tenant_id, list(tasks))]


async def loose_costs(tx: ReadTransaction, tenant_id: TenantId, range_: Range) -> list[LooseCost]:
    rows = await tx.fetch(LOOSE_COSTS, tenant_id, range_.since, range_.until)
    return [
        LooseCost(feature=row["feature"], calls=row["calls"], total_nano=row["total_nano"], tasks=row["tasks"])
        for row in rows
    ]
