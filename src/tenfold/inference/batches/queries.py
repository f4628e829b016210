"""The SQL of batches. Each query names its tenant; all times are the database's."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from tenfold.core.ids import TenantId
from tenfold.inference.batches.types import KEEP_S, Batch, Ended, LineError, LineResult, Spec, Tokens
from tenfold.inference.files.queries import FINISH as FINISH_FILE
from tenfold.inference.files.types import BATCH_OUTPUT
from tenfold.store import Row, Store, Transaction, tenants_among

_TOLD = """tenant_id, asked, status, model, errors, output_file_id, error_file_id, total, completed, failed,
       input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost_nano, created_at, expires_at, in_progress_at,
       finalizing_at, cancelling_at, ended_at, version, lapsed, expires_at <= now() AS late,
       extract(epoch FROM coalesce(ended_at, now()) - in_progress_at)::float8 AS running_s"""

ADD = """
INSERT INTO batches (tenant_id, id, job_id, asked, input_file_id, expires_at)
VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6)) ON CONFLICT DO NOTHING
"""

FIND = f"SELECT {_TOLD} FROM batches WHERE tenant_id = $1 AND id = $2"  # noqa: S608  (the columns are those above)

PAGE = f"""
SELECT {_TOLD} FROM batches WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3
"""  # noqa: S608

BEGIN = """
UPDATE batches SET status = 'in_progress', in_progress_at = now(), total = $3, model = $4, version = version + 1
WHERE tenant_id = $1 AND id = $2 AND status = 'validating'
"""

DONE = "SELECT array_agg(line) FROM batch_results WHERE tenant_id = $1 AND batch_id = $2"

# Of a batch that has ended nothing is left to add to: the row is locked against its end first.
LOCK = "SELECT TRUE FROM batches WHERE tenant_id = $1 AND id = $2 AND ended_at IS NULL FOR UPDATE"

RECORD = """
WITH new AS (
    INSERT INTO batch_results (tenant_id, batch_id, line, failed, input_tokens, cached_tokens, output_tokens,
                               reasoning_tokens, cost_nano, data)
    SELECT $1, $2, * FROM unnest($3::integer[], $4::boolean[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
                                 $9::bigint[], $10::bytea[])
    ON CONFLICT DO NOTHING
    RETURNING failed, input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost_nano
), more AS (
    SELECT count(*) FILTER (WHERE NOT failed) AS completed, count(*) FILTER (WHERE failed) AS failed, count(*) AS lines,
           coalesce(sum(input_tokens), 0) AS input_tokens, coalesce(sum(cached_tokens), 0) AS cached_tokens,
           coalesce(sum(output_tokens), 0) AS output_tokens, coalesce(sum(reasoning_tokens), 0) AS reasoning_tokens,
           coalesce(sum(cost_nano), 0) AS cost_nano
    FROM new
)
UPDATE batches b SET
    completed = b.completed + more.completed, failed = b.failed + more.failed,
    input_tokens = b.input_tokens + more.input_tokens, cached_tokens = b.cached_tokens + more.cached_tokens,
    output_tokens = b.output_tokens + more.output_tokens, reasoning_tokens = b.reasoning_tokens + more.reasoning_tokens,
    cost_nano = b.cost_nano + more.cost_nano, version = b.version + 1
FROM more WHERE b.tenant_id = $1 AND b.id = $2 AND more.lines > 0
"""

FINALIZE = """
UPDATE batches SET status = 'finalizing', finalizing_at = now(), lapsed = $3, version = version + 1
WHERE tenant_id = $1 AND id = $2 AND status = 'in_progress'
"""

RESULTS = """
SELECT line, data FROM (
    SELECT line, data, sum(octet_length(data)) OVER (ORDER BY line) - octet_length(data) AS before
    FROM (SELECT line, data FROM batch_results WHERE tenant_id = $1 AND batch_id = $2 AND failed = $3 AND line > $4
          ORDER BY line LIMIT 1000) AS front
) AS sized WHERE before < 4194304 ORDER BY line
"""

END = """
UPDATE batches SET status = $3, errors = $4, output_file_id = $5, error_file_id = $6, ended_at = now(),
                   delete_at = now() + make_interval(secs => $7), version = version + 1
WHERE tenant_id = $1 AND id = $2 AND ended_at IS NULL RETURNING TRUE
"""

# A bound and not a list of lines: whatever the planner believes of the table, it is one walk along the index.
CLEAR = """
DELETE FROM batch_results WHERE tenant_id = $1 AND batch_id = $2 AND line <= (
    SELECT max(line) FROM (SELECT line FROM batch_results WHERE tenant_id = $1 AND batch_id = $2
                           ORDER BY line LIMIT $3) AS front)
AND EXISTS (SELECT FROM batches WHERE tenant_id = $1 AND id = $2 AND ended_at IS NOT NULL)
"""

CANCEL = """
UPDATE batches SET
    status = CASE WHEN status = 'validating' THEN 'cancelled' ELSE 'cancelling' END,
    ended_at = CASE WHEN status = 'validating' THEN now() END,
    delete_at = CASE WHEN status = 'validating' THEN now() + make_interval(secs => $3) END,
    cancelling_at = now(), version = version + 1
WHERE tenant_id = $1 AND id = $2 AND status IN ('validating', 'in_progress')
"""

OVERDUE = f"""
SELECT {_TOLD} FROM batches
WHERE tenant_id = $1 AND ended_at IS NULL AND expires_at <= now() - interval '1 hour' ORDER BY expires_at LIMIT $2
"""  # noqa: S608

EXPIRE = """
WITH old AS MATERIALIZED (
    SELECT id FROM batches WHERE tenant_id = $1 AND delete_at <= now() ORDER BY delete_at LIMIT $2
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM batches b USING old WHERE b.tenant_id = $1 AND b.id = old.id RETURNING 1
)
SELECT count(*) FROM gone
"""

TENANTS_OLD = "SELECT tenfold.tenants_with_old_batches($1)"


class PostgresBatchRows:
    """See `ports.BatchRows`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, spec: Spec) -> Batch:
        tenant_id = spec.principal.tenant_id
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(ADD, tenant_id, spec.id, spec.job_id, spec, spec.input_file_id, spec.window_s)
            batch = await _told(tx, tenant_id, spec.id)
        assert batch is not None
        return batch

    async def find(self, tenant_id: TenantId, batch_id: UUID) -> Batch | None:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            row = await tx.fetchrow(FIND, tenant_id, batch_id)
        return None if row is None else _batch(row)

    async def page(self, tenant_id: TenantId, *, after: UUID | None, limit: int) -> list[Batch]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return [_batch(row) for row in await tx.fetch(PAGE, tenant_id, after, limit)]

    async def begin(self, tenant_id: TenantId, batch_id: UUID, *, total: int, model: str | None) -> Batch | None:
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(BEGIN, tenant_id, batch_id, total, model)
            return await _told(tx, tenant_id, batch_id)

    async def done(self, tenant_id: TenantId, batch_id: UUID) -> list[int]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            lines: list[int] | None = await tx.fetchval(DONE, tenant_id, batch_id)
        return lines or []

    async def record(self, tenant_id: TenantId, batch_id: UUID, results: Sequence[LineResult]) -> Batch | None:
        async with self._store.tenant(tenant_id) as tx:
            if results and await tx.fetchval(LOCK, tenant_id, batch_id) is not None:
                await tx.execute(
                    RECORD,
                    tenant_id,
                    batch_id,
                    [result.line for result in results],
                    [result.failed for result in results],
                    [result.tokens.input for result in results],
                    [result.tokens.cached for result in results],
                    [result.tokens.output for result in results],
                    [result.tokens.reasoning for result in results],
                    [result.cost_nano for result in results],
                    [result.data for result in results],
                )
            return await _told(tx, tenant_id, batch_id)

    async def finalize(self, tenant_id: TenantId, batch_id: UUID, *, lapsed: bool) -> Batch | None:
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(FINALIZE, tenant_id, batch_id, lapsed)
            return await _told(tx, tenant_id, batch_id)

    async def results(self, tenant_id: TenantId, batch_id: UUID, *, failed: bool, after: int) -> list[LineResult]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            rows = await tx.fetch(RESULTS, tenant_id, batch_id, failed, after)
        return [LineResult(line=row["line"], failed=failed, data=row["data"]) for row in rows]

    async def end(
        self,
        tenant_id: TenantId,
        batch_id: UUID,
        status: Ended,
        *,
        errors: Sequence[LineError] = (),
        output: UUID | None = None,
        refused: UUID | None = None,
        keep_s: float,
    ) -> Batch | None:
        told = list(errors) or None
        async with self._store.tenant(tenant_id) as tx:
            ended = await tx.fetchval(END, tenant_id, batch_id, status, told, output, refused, KEEP_S)
            if ended is None:
                return None
            for draft, what in ((output, "output"), (refused, "errors")):
                if draft is not None:
                    name = f"batch_{batch_id.hex}_{what}.jsonl"
                    await tx.fetchrow(FINISH_FILE, tenant_id, draft, name, BATCH_OUTPUT, keep_s)
            return await _told(tx, tenant_id, batch_id)

    async def clear(self, tenant_id: TenantId, batch_id: UUID, *, limit: int) -> int:
        async with self._store.tenant(tenant_id) as tx:
            return int((await tx.execute(CLEAR, tenant_id, batch_id, limit)).rpartition(" ")[2])

    async def cancel(self, tenant_id: TenantId, batch_id: UUID) -> Batch | None:
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(CANCEL, tenant_id, batch_id, KEEP_S)
            return await _told(tx, tenant_id, batch_id)

    async def tenants_old(self) -> list[TenantId]:
        return await tenants_among(self._store, TENANTS_OLD)

    async def overdue(self, tenant_id: TenantId, *, limit: int) -> list[Batch]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return [_batch(row) for row in await tx.fetch(OVERDUE, tenant_id, limit)]

    async def expire(self, tenant_id: TenantId, *, limit: int) -> int:
        async with self._store.tenant(tenant_id) as tx:
            count: int = await tx.fetchval(EXPIRE, tenant_id, limit)
        return count


async def _told(tx: Transaction, tenant_id: TenantId, batch_id: UUID) -> Batch | None:
    row = await tx.fetchrow(FIND, tenant_id, batch_id)
    return None if row is None else _batch(row)


def _batch(row: Row) -> Batch:
    return Batch(
        tenant_id=TenantId(row["tenant_id"]),
        spec=msgspec.convert(row["asked"], Spec),
        status=row["status"],
        model=row["model"],
        errors=msgspec.convert(row["errors"] or [], list[LineError]),
        output_file_id=row["output_file_id"],
        error_file_id=row["error_file_id"],
        total=row["total"],
        completed=row["completed"],
        failed=row["failed"],
        tokens=Tokens(
            input=row["input_tokens"],
            cached=row["cached_tokens"],
            output=row["output_tokens"],
            reasoning=row["reasoning_tokens"],
        ),
        cost_nano=row["cost_nano"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        in_progress_at=row["in_progress_at"],
        finalizing_at=row["finalizing_at"],
        cancelling_at=row["cancelling_at"],
        ended_at=row["ended_at"],
        version=row["version"],
        lapsed=row["lapsed"],
        late=row["late"],
        running_s=row["running_s"] or 0.0,
    )
