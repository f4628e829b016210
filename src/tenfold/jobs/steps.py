"""What several units of work of jobs do the same way: put jobs into the queue, and end one."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from tenfold.core.ids import TenantId
from tenfold.jobs.read_queries import TOLD, job_of
from tenfold.jobs.rules import ended_event, kept_s, order_digest
from tenfold.jobs.types import Ended, Job, NewJob, Result, Work
from tenfold.store import Row, Transaction

# One that is there already, by its id or its dedup, is left as it is. $13: the tenant's weight, if it is to be set;
# where it is the same already, the row is not locked: a claim may be at it. $14, $15: as many jobs and bytes may wait
# before these, or nothing is done; NULL: in any case, and they are not counted, which takes 1 ms for 2,000.
INSERT = f"""
WITH held AS MATERIALIZED (
    SELECT count(*) AS jobs, coalesce(sum(input_bytes), 0)::bigint AS bytes
    FROM job_queue WHERE $14::bigint IS NOT NULL AND tenant_id = $1 AND holder IS NULL
), asked AS (
    SELECT * FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::text[], $8::smallint[],
                         $9::integer[], $10::float8[], $11::bytea[])
         AS a (id, kind, subject, asked, input, dedup, priority, max_attempts, delay_s, order_key)
    WHERE $14 IS NULL OR (SELECT jobs <= $14 AND bytes <= $15::bigint FROM held)
), weighed AS (
    INSERT INTO job_turns (tenant_id, weight)
    SELECT $1, $13::integer
    WHERE $13 IS NOT NULL AND NOT EXISTS (SELECT FROM job_turns WHERE tenant_id = $1 AND weight = $13)
    ON CONFLICT (tenant_id) DO UPDATE SET weight = excluded.weight
), j AS (
    INSERT INTO jobs (tenant_id, id, kind, subject, asked, input, dedup, priority, max_attempts)
    SELECT $1, id, kind, subject, asked::jsonb, input, dedup, priority, max_attempts FROM asked
    ON CONFLICT DO NOTHING
    RETURNING *
), q AS (
    INSERT INTO job_queue (tenant_id, job_id, kind, priority, order_key, input_bytes, due, run_at, holder, claimed_at,
                           fence, attempts)
    SELECT $1, id, kind, priority, order_key, octet_length(input), delay_s <= 0,
           now() + make_interval(secs => greatest(delay_s, 0)), $12::uuid,
           CASE WHEN $12::uuid IS NOT NULL THEN now() END, ($12::uuid IS NOT NULL)::integer,
           ($12::uuid IS NOT NULL)::integer
    FROM asked WHERE id IN (SELECT id FROM j)
    RETURNING *
)
SELECT {TOLD}, held.jobs AS held_jobs, held.bytes AS held_bytes FROM held, j JOIN q ON q.job_id = j.id
"""  # noqa: S608  (the columns are those of read_queries)

# $3: of one that has a worker; NULL: of one that waits.
END = """
WITH gone AS (
    DELETE FROM job_queue
    WHERE tenant_id = $1 AND job_id = $2 AND CASE WHEN $3::uuid IS NULL THEN holder IS NULL
                                                  ELSE holder = $3 AND fence = $4 END
    RETURNING *
), ended AS (
    UPDATE jobs j SET
        state = $5::text, ended_at = now(), expires_at = now() + make_interval(secs => $6::float8),
        attempts = gone.attempts, crashes = gone.crashes, fence = gone.fence, run_at = gone.run_at,
        started_at = gone.claimed_at, cancel_requested = gone.cancel_requested, cost_nano = cost_nano + $7::bigint,
        error_code = $8, error_message = $9, result = $10, input = CASE $5 WHEN 'failed' THEN input ELSE '' END,
        events = events + 1, version = version + 1
    FROM gone WHERE j.tenant_id = $1 AND j.id = $2
    RETURNING j.events
), told AS (
    INSERT INTO job_events (tenant_id, job_id, seq, kind, data) SELECT $1, $2, events, 'ended', $11 FROM ended
)
SELECT TRUE FROM ended
"""

_encode = msgspec.json.encode


async def insert(
    tx: Transaction,
    tenant_id: TenantId,
    jobs: Sequence[NewJob],
    *,
    weight: int | None = None,
    holder: UUID | None = None,
) -> dict[UUID, Job]:
    """Those that were not there yet, by id."""
    return {row["id"]: job_of(row) for row in await insert_rows(tx, tenant_id, jobs, weight=weight, holder=holder)}


async def insert_rows(
    tx: Transaction,
    tenant_id: TenantId,
    jobs: Sequence[NewJob],
    *,
    weight: int | None = None,
    holder: UUID | None = None,
    if_held: tuple[int | None, int | None] = (None, None),
) -> list[Row]:
    """`if_held`: nothing is done if more jobs, or bytes of them, wait; how many did stands in each row."""
    if not jobs:
        return []
    return await tx.fetch(
        INSERT,
        tenant_id,
        [new.id for new in jobs],
        [new.kind for new in jobs],
        [new.subject for new in jobs],
        [_asked(new) for new in jobs],
        [new.input for new in jobs],
        [new.dedup for new in jobs],
        [new.priority for new in jobs],
        [new.max_attempts for new in jobs],
        [new.delay_s for new in jobs],
        [order_digest(new.order_key) for new in jobs],
        holder,
        weight,
        *if_held,
    )


async def end_held(tx: Transaction, work: Work, holder: UUID, state: Ended, result: Result, **error: str) -> bool:
    """False: the job is not this worker's any more."""
    return await _end(tx, work.job.tenant_id, work.new, (holder, work.fence), state, result, **error)


async def end_waiting(tx: Transaction, tenant_id: TenantId, new: NewJob) -> bool:
    """It is cancelled. False: it does not wait."""
    return await _end(tx, tenant_id, new, (None, None), "cancelled", Result())


async def _end(
    tx: Transaction,
    tenant_id: TenantId,
    new: NewJob,
    held: tuple[UUID | None, int | None],
    state: Ended,
    result: Result,
    *,
    code: str | None = None,
    message: str | None = None,
) -> bool:
    done = await tx.fetchval(
        END,
        tenant_id,
        new.id,
        *held,
        state,
        kept_s(new, state),
        result.cost_nano,
        code,
        message,
        result.output if state == "done" else None,
        ended_event(state, code, message),
    )
    return done is not None


def _asked(new: NewJob) -> str:
    """Without what has a column of its own. (Of msgspec's structs only what is not the default is written.)"""
    return _encode(new).decode() if not new.input else _encode(msgspec.structs.replace(new, input=b"")).decode()
