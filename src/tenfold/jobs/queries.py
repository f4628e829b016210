"""The SQL that adds jobs, tells of those that run and ends them. What is written for a worker is fenced in the same
statement: without its holder and fence in the queue nothing is written. The queue's row is locked before the job's."""

from collections.abc import Sequence
from uuid import UUID

from tenfold.core.clock import Clock
from tenfold.core.ids import TenantId
from tenfold.jobs.claim_queries import PostgresClaims
from tenfold.jobs.hints import SOME_READY, of_job
from tenfold.jobs.read_queries import FIND, asked_of, job_of, known
from tenfold.jobs.rules import begins_at_once, fitting
from tenfold.jobs.steps import end_held, end_waiting, insert, insert_rows
from tenfold.jobs.types import SUSPECT_CRASHES, Ended, Job, NewJob, Progress, Result, Work
from tenfold.store import Store, Transaction

# The bound is exact: near it those that add to a tenant come one after the other. Far from it nobody waits; and less
# than half way to it, what was counted a second ago will do.
NEAR_JOBS = 256
NEAR_BYTES = 64 * 1024 * 1024
COUNT_S = 1.0
MOST_COUNTED = 10_000  # tenants
LOCK_TENANT = "SELECT pg_advisory_xact_lock(hashtextextended('tenfold.jobs ' || $1::uuid::text, 0))"
WAITING = """
SELECT count(*) AS jobs, coalesce(sum(input_bytes), 0)::bigint AS bytes
FROM job_queue WHERE tenant_id = $1 AND holder IS NULL
"""

RETRY = """
WITH mine AS (
    UPDATE job_queue SET holder = NULL, due = $5::float8 <= 0 AND crashes < $9,
                         run_at = now() + make_interval(secs => $5)
    WHERE tenant_id = $1 AND job_id = $2 AND holder = $3 AND fence = $4 RETURNING 1
)
UPDATE jobs SET cost_nano = cost_nano + $6, error_code = $7, error_message = $8, version = version + 1
FROM mine WHERE tenant_id = $1 AND id = $2 RETURNING TRUE
"""
GIVE_BACK = """
UPDATE job_queue SET holder = NULL, claimed_at = NULL, fence = fence + 1, attempts = attempts - 1
WHERE tenant_id = $1 AND job_id = $2 AND holder = $3 AND fence = $4 RETURNING TRUE
"""
# The share lock keeps the job from being taken over before this is committed. Of the events those that are there
# already ($5: the number of the last one before them) are left as they are.
TELL = """
WITH mine AS (
    SELECT FROM job_queue WHERE tenant_id = $1 AND job_id = $2 AND holder = $3 AND fence = $4 FOR SHARE
), there AS (
    SELECT j.events FROM jobs j, mine WHERE j.tenant_id = $1 AND j.id = $2 FOR NO KEY UPDATE OF j
), told AS (
    UPDATE jobs SET progress = coalesce($6, progress), version = version + 1,
                    events = greatest(there.events, $5::bigint + cardinality($7::text[]))
    FROM there WHERE tenant_id = $1 AND id = $2
), written AS (
    INSERT INTO job_events (tenant_id, job_id, seq, kind, data)
    SELECT $1, $2, $5 + e.place, e.kind, e.data
    FROM there, unnest($7, $8::bytea[]) WITH ORDINALITY AS e (kind, data, place) WHERE $5 + e.place > there.events
)
SELECT TRUE FROM there
"""

PLACE = """
SELECT q.holder, j.asked::text AS asked FROM job_queue q JOIN jobs j ON j.tenant_id = q.tenant_id AND j.id = q.job_id
WHERE q.tenant_id = $1 AND q.job_id = $2 FOR UPDATE OF q
"""
WISH = """
WITH wish AS (
    UPDATE job_queue SET cancel_requested = TRUE
    WHERE tenant_id = $1 AND job_id = $2 AND NOT cancel_requested RETURNING 1
)
UPDATE jobs SET version = version + 1 FROM wish WHERE tenant_id = $1 AND id = $2
"""
REDRIVE = """
WITH again AS (
    UPDATE jobs SET state = 'queued', started_at = NULL, ended_at = NULL, expires_at = NULL, version = version + 1
    WHERE tenant_id = $1 AND id = $2 AND state = 'failed'
    RETURNING id, kind, priority, input, fence, convert_to(asked->>'order_key', 'UTF8') AS order_key
)
INSERT INTO job_queue (tenant_id, job_id, kind, priority, order_key, input_bytes, due, run_at, fence)
SELECT $1, id, kind, priority, substr(sha256(order_key), 1, 16), octet_length(input), TRUE, now(), fence FROM again
RETURNING TRUE
"""
DISCARD = "DELETE FROM jobs WHERE tenant_id = $1 AND id = $2 AND state <> 'queued' RETURNING TRUE"
EXPIRE = """
WITH old AS MATERIALIZED (
    SELECT id FROM jobs WHERE tenant_id = $1 AND expires_at <= now()
    ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM jobs j USING old WHERE j.tenant_id = $1 AND j.id = old.id RETURNING 1
)
SELECT count(*) FROM gone
"""


class PostgresJobRows(PostgresClaims):
    """See `ports.JobRows`. One of a process: it remembers since when it has seen no sign of life of which
    worker, and about how many jobs of a tenant wait."""

    def __init__(self, store: Store, clock: Clock | None = None) -> None:
        super().__init__(store, clock)
        self._counted: dict[TenantId, tuple[float, int, int]] = {}  # until when that holds, jobs, bytes

    async def aclose(self) -> None:
        """After everything else: hints on their way get there."""
        await self._hints.aclose()

    async def add(
        self,
        tenant_id: TenantId,
        jobs: Sequence[NewJob],
        *,
        weight: int,
        most: int,
        most_bytes: int,
        holder: UUID | None = None,
    ) -> list[Job | None]:
        asked = list({new.id: new for new in jobs}.values())
        at_once = [new for new in asked if holder is not None and begins_at_once(new)]
        later = [new for new in asked if holder is None or not begins_at_once(new)]
        async with self._store.tenant(tenant_id, by_index=True) as tx:
            there = await insert(tx, tenant_id, at_once, holder=holder, weight=None if later else weight)
            there |= await self._add_far(tx, tenant_id, later, weight, most, most_bytes)
            missing = [new for new in asked if new.id not in there]
            if missing:
                there |= await self._add_near(tx, tenant_id, missing, weight, most, most_bytes)
        if any(job.state == "queued" for job in there.values()):
            self._hints.send_soon([SOME_READY])
        return [there.get(new.id) for new in jobs]

    async def _add_far(
        self, tx: Transaction, tenant_id: TenantId, jobs: Sequence[NewJob], weight: int, most: int, most_bytes: int
    ) -> dict[UUID, Job]:
        """None of them, if the bound is near."""
        more, more_bytes = len(jobs), sum(len(new.input) for new in jobs)
        if_held = most - NEAR_JOBS - more, most_bytes - NEAR_BYTES - more_bytes
        now_s = self._clock.monotonic_s()
        until_s, held, held_bytes = self._counted.get(tenant_id, (now_s, 0, 0))
        counted = now_s < until_s and 2 * held <= if_held[0] and 2 * held_bytes <= if_held[1]
        rows = await insert_rows(tx, tenant_id, jobs, weight=weight, if_held=(None, None) if counted else if_held)
        if rows:
            if not counted:
                until_s, held, held_bytes = now_s + COUNT_S, rows[0]["held_jobs"], rows[0]["held_bytes"]
            if len(self._counted) >= MOST_COUNTED:
                self._counted.clear()
            self._counted[tenant_id] = until_s, held + more, held_bytes + more_bytes
        return {row["id"]: job_of(row) for row in rows}

    async def _add_near(
        self, tx: Transaction, tenant_id: TenantId, jobs: Sequence[NewJob], weight: int, most: int, most_bytes: int
    ) -> dict[UUID, Job]:
        await tx.fetchval(LOCK_TENANT, tenant_id)
        there = await known(tx, tenant_id, jobs)  # they need no room
        row = await tx.fetchrow(WAITING, tenant_id)
        assert row is not None  # of sums there is always one
        fresh = [new for new in jobs if new.id not in there]
        room = fitting(fresh, waiting=row["jobs"], waiting_bytes=row["bytes"], most=most, most_bytes=most_bytes)
        there |= await insert(tx, tenant_id, room, weight=weight)
        if missing := [new for new in room if new.id not in there]:  # of one dedup, or another has just added it
            there |= await known(tx, tenant_id, missing)
        return there

    async def finish(self, work: Work, holder: UUID, state: Ended, result: Result, **error: str) -> bool:
        tenant_id, job_id = work.job.tenant_id, work.job.id
        async with self._store.tenant(tenant_id, by_index=True) as tx:
            if not await end_held(tx, work, holder, state, result, **error):
                return False
            added = await insert(tx, tenant_id, result.then)
        hints = [of_job(tenant_id, job_id)]
        if added or work.new.order_key is not None:
            hints.append(SOME_READY)
        await self._hints.send(hints)
        return True

    async def retry(self, work: Work, holder: UUID, delay_s: float, *, cost_nano: int, code: str, message: str) -> bool:
        tenant_id, job_id = work.job.tenant_id, work.job.id
        async with self._store.tenant(tenant_id, by_index=True) as tx:
            error = cost_nano, code, message, SUSPECT_CRASHES
            done = await tx.fetchval(RETRY, tenant_id, job_id, holder, work.fence, delay_s, *error)
        if done and delay_s <= 0:
            await self._hints.send([SOME_READY])
        return bool(done)

    async def give_back(self, work: Work, holder: UUID) -> bool:
        async with self._store.directory(by_index=True) as tx:
            done = await tx.fetchval(GIVE_BACK, work.job.tenant_id, work.job.id, holder, work.fence)
        if done:
            await self._hints.send([SOME_READY])
        return bool(done)

    async def tell(
        self, work: Work, holder: UUID, progress: Progress | None, events: Sequence[tuple[str, bytes]], *, after: int
    ) -> bool:
        tenant_id, job_id = work.job.tenant_id, work.job.id
        kinds, datas = [kind for kind, _ in events], [data for _, data in events]
        async with self._store.tenant(tenant_id, by_index=True) as tx:
            told = await tx.fetchval(TELL, tenant_id, job_id, holder, work.fence, after, progress, kinds, datas)
        if told:
            await self._hints.send([of_job(tenant_id, job_id)])
        return bool(told)

    async def cancel(self, tenant_id: TenantId, job_id: UUID, *, then: Sequence[NewJob] = ()) -> Job | None:
        async with self._store.tenant(tenant_id, by_index=True) as tx:
            place = await tx.fetchrow(PLACE, tenant_id, job_id)
            if place is not None and place["holder"] is None:
                await end_waiting(tx, tenant_id, asked_of(place))
                await insert(tx, tenant_id, then)
            elif place is not None:
                await tx.execute(WISH, tenant_id, job_id)
            row = await tx.fetchrow(FIND, tenant_id, job_id)
        if place is not None:
            # The next of its order_key may go, too.
            await self._hints.send([of_job(tenant_id, job_id), SOME_READY])
        return None if row is None else job_of(row)

    async def redrive(self, tenant_id: TenantId, job_id: UUID) -> Job | None:
        async with self._store.tenant(tenant_id, by_index=True) as tx:
            if not await tx.fetchval(REDRIVE, tenant_id, job_id):
                return None
            row = await tx.fetchrow(FIND, tenant_id, job_id)
        await self._hints.send([SOME_READY, of_job(tenant_id, job_id)])
        return None if row is None else job_of(row)

    async def discard(self, tenant_id: TenantId, job_id: UUID) -> bool:
        async with self._store.tenant(tenant_id, by_index=True) as tx:
            return await tx.fetchval(DISCARD, tenant_id, job_id) is not None

    async def expire(self, tenant_id: TenantId, *, limit: int) -> int:
        async with self._store.tenant(tenant_id, by_index=True) as tx:
            expired: int = await tx.fetchval(EXPIRE, tenant_id, limit)
        return expired
