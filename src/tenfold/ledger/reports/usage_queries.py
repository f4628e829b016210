"""The SQL of sums: over the roll-up where its columns tell enough, else over the receipts with their corrections."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import structs

from tenfold.core.ids import TenantId
from tenfold.ledger.reports.counting import AMOUNTS, TOKENS
from tenfold.ledger.reports.rollup import DIMENSIONS
from tenfold.ledger.reports.types import (
    Dimension,
    FeatureUse,
    Grouping,
    HourRow,
    ModelUse,
    Range,
    SumCursor,
    UsageQuery,
    UsageSum,
)
from tenfold.store import ReadTransaction, Row

IN_ORDER: frozenset[Grouping] = frozenset({"hour", "day"})
ONLY_RECEIPTS: frozenset[str] = frozenset({"task", "run", "end_user"})

_HOUR = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24\":00:00Z\"')"
_DAY = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD')"
_NO_KEY = "'00000000-0000-0000-0000-000000000000'"

_ROLLED: Mapping[Dimension, str] = {
    "key": f"coalesce(nullif(key_id, {_NO_KEY})::text, '')",
    "operation": "operation",
    "model": "model",
    "provider": "provider",
    "feature": "feature",
    "status": "status",
}
_TOLD: Mapping[Dimension, str] = {
    "key": "coalesce(r.key_id::text, '')",
    "operation": "r.operation",
    "model": "coalesce(r.model_used, r.model_asked)",
    "provider": "coalesce(r.provider, '')",
    "feature": "coalesce(r.feature, '')",
    "status": "r.status",
    "task": "coalesce(r.task, '')",
    "run": "coalesce(r.run, '')",
    "end_user": "coalesce(r.end_user, '')",
}

# Corrections of a range are few beside its receipts: summed first, then hashed.
CORRECTED = f"""
LEFT JOIN (
    SELECT receipt_at, receipt_id, {", ".join(f"sum({name})::bigint AS {name}" for name in (*TOKENS, *AMOUNTS))}
    FROM adjustments WHERE tenant_id = $1 AND receipt_at >= $2 AND receipt_at < $3 GROUP BY 1, 2
) AS a ON a.receipt_at = r.at AND a.receipt_id = r.id
"""  # noqa: S608  (the names are constants)
# Where only some receipts are wanted, theirs are looked up one by one.
CORRECTED_EACH = f"""
LEFT JOIN LATERAL (
    SELECT min(source) IS NOT NULL AS corrected,
           {", ".join(f"sum({name})::bigint AS {name}" for name in (*TOKENS, *AMOUNTS))}
    FROM adjustments WHERE tenant_id = $1 AND receipt_at = r.at AND receipt_id = r.id
) AS a ON true
"""  # noqa: S608


def sum_of(name: str) -> str:
    return f"coalesce(sum(r.{name}), 0)::bigint + coalesce(sum(a.{name}), 0)::bigint AS {name}"


_ROLLED_SUMS = f"""
sum(calls)::bigint AS calls, coalesce(sum(calls) FILTER (WHERE status <> 'ok'), 0)::bigint AS failed,
{
    ", ".join(
        f"sum({name})::bigint AS {name}"
        for name in ("cache_hits", "estimated", "unpriced", *TOKENS, *AMOUNTS, "latency_ms")
    )
}"""
_TOLD_SUMS = f"""
count(*) AS calls, count(*) FILTER (WHERE r.status <> 'ok') AS failed,
count(*) FILTER (WHERE r.cache IN ('hit', 'coalesced')) AS cache_hits,
count(*) FILTER (WHERE r.estimated AND a.receipt_id IS NULL) AS estimated,
count(*) FILTER (WHERE r.total_nano IS NULL AND a.receipt_id IS NULL) AS unpriced,
{", ".join(sum_of(name) for name in (*TOKENS, *AMOUNTS))}, sum(r.latency_ms)::bigint AS latency_ms"""


def _groups(columns: Mapping[Dimension, str], time: str) -> dict[Grouping, str]:
    groups: dict[Grouping, str] = {"total": "''", "hour": _HOUR.format(time), "day": _DAY.format(time)}
    groups.update(columns.items())
    return groups


def _filters(columns: Mapping[Dimension, str], first: int) -> str:
    return " ".join(
        f"AND (${place}::text IS NULL OR {column} = ${place})" for place, column in enumerate(columns.values(), first)
    )


def _paged(inner: str, group_by: Grouping) -> str:
    """$4: how many; $5 and $6: where the page before ended."""
    if group_by in IN_ORDER:
        return f"SELECT * FROM ({inner}) AS s WHERE $5::bigint IS NULL OR s.name > $6 ORDER BY s.name LIMIT $4"  # noqa: S608
    return (
        f"SELECT * FROM ({inner}) AS s "  # noqa: S608
        'WHERE $5::bigint IS NULL OR s.total_nano < $5 OR (s.total_nano = $5 AND s.name COLLATE "C" > $6) '
        'ORDER BY s.total_nano DESC, s.name COLLATE "C" LIMIT $4'
    )


ROLLED_SUMS = {
    group_by: _paged(
        f"SELECT {group} AS name, {_ROLLED_SUMS} FROM usage_hours "  # noqa: S608
        f"WHERE tenant_id = $1 AND hour >= $2 AND hour < $3 {_filters(_ROLLED, 7)} GROUP BY 1 HAVING sum(calls) > 0",
        group_by,
    )
    for group_by, group in _groups(_ROLLED, "hour").items()
}
TOLD_SUMS = {
    group_by: _paged(
        f"SELECT {group} AS name, {_TOLD_SUMS} FROM receipts r {CORRECTED} "  # noqa: S608
        f"WHERE r.tenant_id = $1 AND r.at >= $2 AND r.at < $3 {_filters(_TOLD, 7)} GROUP BY 1 HAVING count(*) > 0",
        group_by,
    )
    for group_by, group in _groups(_TOLD, "r.at").items()
}

_KEY = ", ".join(DIMENSIONS)
_AFTER = ", ".join(f"${place}" for place in range(5, 5 + len(DIMENSIONS)))
_HOURS = f"SELECT {', '.join(HourRow.__struct_fields__)} FROM usage_hours WHERE tenant_id = $1"  # noqa: S608
HOURS = f"{_HOURS} AND hour >= $2 AND hour < $3 ORDER BY {_KEY} LIMIT $4"
HOURS_AFTER = f"{_HOURS} AND hour >= $2 AND hour < $3 AND ({_KEY}) > ({_AFTER}) ORDER BY {_KEY} LIMIT $4"

FEATURE_MODELS = """
SELECT feature, model, (sum(calls) - sum(unpriced))::bigint AS calls, sum(paid)::bigint AS paid,
       sum(unpriced)::bigint AS unpriced, sum(paid_input_tokens)::bigint AS input_tokens,
       sum(paid_output_tokens)::bigint AS output_tokens, sum(input_nano)::bigint AS input_nano,
       sum(output_nano)::bigint AS output_nano, sum(total_nano)::bigint AS total_nano
FROM usage_hours WHERE tenant_id = $1 AND hour >= $2 AND hour < $3 GROUP BY 1, 2
"""

FEATURE_COSTS = """
SELECT feature, bucket, sum(calls)::bigint AS calls FROM cost_days
WHERE tenant_id = $1 AND day >= ($2::timestamptz AT TIME ZONE 'UTC')::date
  AND day < ($3::timestamptz AT TIME ZONE 'UTC')::date
GROUP BY 1, 2
"""


async def sums(
    tx: ReadTransaction, tenant_id: TenantId, query: UsageQuery, limit: int, after: SumCursor | None
) -> list[UsageSum]:
    rolled = from_roll_up(query)
    columns, statements = (_ROLLED, ROLLED_SUMS) if rolled else (_TOLD, TOLD_SUMS)
    rows = await tx.fetch(
        statements[query.group_by],
        tenant_id,
        query.range.since,
        query.range.until,
        limit,
        None if after is None else after.total_nano,
        "" if after is None else after.group,
        *(query.filters.get(dimension) for dimension in columns),
    )
    return [_sum(row) for row in rows]


def from_roll_up(query: UsageQuery) -> bool:
    """Whether the roll-up tells enough: whole hours, and no dimension that it leaves out."""
    asked = {query.group_by, *query.filters}
    return not asked & ONLY_RECEIPTS and is_whole_hour(query.range.since) and is_whole_hour(query.range.until)


def is_whole_hour(moment: datetime) -> bool:
    return moment.minute == moment.second == moment.microsecond == 0


async def hours(
    tx: ReadTransaction, tenant_id: TenantId, range_: Range, limit: int, after: HourRow | None
) -> list[HourRow]:
    if after is None:
        rows = await tx.fetch(HOURS, tenant_id, range_.since, range_.until, limit)
    else:
        place = [getattr(after, name) for name in DIMENSIONS]
        rows = await tx.fetch(HOURS_AFTER, tenant_id, range_.since, range_.until, limit, *place)
    return [HourRow(**dict(row)) for row in rows]


async def feature_uses(tx: ReadTransaction, tenant_id: TenantId, range_: Range) -> dict[str, FeatureUse]:
    uses: dict[str, FeatureUse] = {}
    for row in await tx.fetch(FEATURE_MODELS, tenant_id, range_.since, range_.until):
        use = uses.get(row["feature"], FeatureUse(models={}, costs={}))
        if row["calls"]:
            use.models[row["model"]] = ModelUse(**{name: row[name] for name in ModelUse.__struct_fields__})
        uses[row["feature"]] = structs.replace(use, unpriced=use.unpriced + row["unpriced"])
    for row in await tx.fetch(FEATURE_COSTS, tenant_id, range_.since, range_.until):
        uses.setdefault(row["feature"], FeatureUse(models={}, costs={})).costs[row["bucket"]] = row["calls"]
    return uses


def _sum(row: Row) -> UsageSum:
    counts = {name: row[name] for name in UsageSum.__struct_fields__ if name != "group"}
    return UsageSum(group=row["name"] or None, **counts)
