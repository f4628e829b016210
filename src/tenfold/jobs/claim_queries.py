"""The SQL of workers: whose turn it is, who has which job, and what happens to the jobs of one that died."""

from collections.abc import Callable, Collection
from uuid import UUID

from tenfold.core.clock import Clock, SystemClock
from tenfold.core.ids import TenantId
from tenfold.jobs.hints import SOME_READY, Hints, of_job
from tenfold.jobs.read_queries import QUEUED, STATE, WORK, PostgresJobReads, state_of, work_of
from tenfold.jobs.rules import Turn, aged_among, allot, follow_up
from tenfold.jobs.steps import end_held, insert
from tenfold.jobs.types import AGED_S, MAX_CRASHES, SUSPECT_CRASHES, SUSPECT_S, QueueState, Result, Room, Work
from tenfold.store import Row, Store, Transaction

CLOCK = TenantId(UUID(int=0))  # whose row of job_turns is the clock
MAX_DUE = 1000  # that become ready with one heartbeat
LONG_S = 0.05

# Claims come one after the other, so that each sees the turns the last one left. What is lost of a claim with the
# server, is as if it had not been: nothing has to be flushed.
LOCK_CLAIMS = """
SELECT pg_advisory_xact_lock(hashtextextended('tenfold.job_claims', 0)), set_config('synchronous_commit', 'off', true)
"""
LAZY = "SELECT set_config('synchronous_commit', 'off', true)"

# $1: kinds. Of those with the same order_key the one with the smallest id, if none is under way.
_MAY = """q.holder IS NULL AND q.kind = ANY($1::text[]) AND (q.order_key IS NULL OR NOT EXISTS (
    SELECT FROM job_queue o WHERE o.tenant_id = q.tenant_id AND o.order_key = q.order_key
                              AND (o.job_id < q.job_id OR o.holder IS NOT NULL)))"""
_READY = f"q.due AND {_MAY}"

SUSPECTS = "SELECT EXISTS (SELECT FROM job_queue WHERE NOT due AND holder IS NULL AND crashes >= $1)"
# Suspects are never due, so that no other claim sees them. The one that waits longest, if this worker has none that it
# began of late.
SUSPECT = f"""
UPDATE job_queue s SET holder = $2, claimed_at = now(), fence = fence + 1, attempts = attempts + 1
FROM (SELECT q.tenant_id, q.job_id FROM job_queue q
      WHERE NOT q.due AND q.run_at <= now() AND q.crashes >= $3 AND {_MAY} AND NOT EXISTS (
          SELECT FROM job_queue h WHERE h.holder = $2 AND h.crashes >= $3
                                    AND h.claimed_at > now() - make_interval(secs => $4))
      ORDER BY q.run_at LIMIT 1 FOR UPDATE SKIP LOCKED) one
WHERE s.tenant_id = one.tenant_id AND s.job_id = one.job_id
RETURNING s.tenant_id, s.job_id
"""  # noqa: S608  (the condition is the one above)

# One step in the index a tenant; then, in the order of their turns, those that have something for this worker until
# there are enough of them ($2), and how many jobs of theirs are ready, as far as it matters. $4: who has no room.
TURNS = f"""
WITH RECURSIVE waiting (tenant_id) AS (
    (SELECT tenant_id FROM job_queue WHERE due AND holder IS NULL ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT q.tenant_id FROM job_queue q WHERE q.due AND q.holder IS NULL AND q.tenant_id > w.tenant_id
            ORDER BY q.tenant_id LIMIT 1)
    FROM waiting w WHERE w.tenant_id IS NOT NULL
), clock AS MATERIALIZED (
    SELECT coalesce(max(turn), 0) AS turn FROM job_turns WHERE tenant_id = $3
), first AS (
    SELECT w.* FROM (
        SELECT w.tenant_id, coalesce(t.turn, 0) AS turn, coalesce(t.weight, 1) AS weight,
               coalesce(t.claimed, 0) AS claimed, (SELECT turn FROM clock) AS clock
        FROM waiting w LEFT JOIN job_turns t ON t.tenant_id = w.tenant_id
        WHERE w.tenant_id IS NOT NULL AND w.tenant_id <> ALL($4::uuid[])
        ORDER BY greatest(t.turn, (SELECT turn FROM clock)), w.tenant_id
    ) w
    CROSS JOIN LATERAL (SELECT FROM job_queue q WHERE q.tenant_id = w.tenant_id AND {_READY} LIMIT 1) r
    LIMIT $2
)
SELECT first.*, (SELECT count(*) FROM (SELECT FROM job_queue q WHERE q.tenant_id = first.tenant_id AND {_READY}
                                       LIMIT $2) r) AS ready
FROM first
"""  # noqa: S608  (the condition is the one above)
# What is joined by its place in the table cannot be joined by reading all of it, whatever the planner thinks.
TAKE = f"""
WITH allotted AS (
    SELECT * FROM unnest($2::uuid[], $3::integer[], $4::integer[], $5::float8[], $6::integer[])
         AS a (tenant_id, most, most_aged, turn, weight)
), aged AS MATERIALIZED (
    SELECT c.* FROM allotted a CROSS JOIN LATERAL (
        SELECT q.tenant_id, q.job_id, q.ctid AS place FROM job_queue q
        WHERE q.tenant_id = a.tenant_id AND q.run_at <= now() - make_interval(secs => $7) AND {_READY}
        ORDER BY q.run_at, q.job_id LIMIT a.most_aged FOR UPDATE OF q SKIP LOCKED) c
), usual AS MATERIALIZED (
    SELECT c.* FROM allotted a CROSS JOIN LATERAL (
        SELECT q.tenant_id, q.job_id, q.ctid AS place FROM job_queue q
        WHERE q.tenant_id = a.tenant_id AND {_READY} AND q.job_id NOT IN (SELECT g.job_id FROM aged g)
        ORDER BY q.priority DESC, q.job_id
        LIMIT a.most - (SELECT count(*) FROM aged g WHERE g.tenant_id = a.tenant_id) FOR UPDATE OF q SKIP LOCKED) c
), taken AS (
    UPDATE job_queue SET holder = $8, claimed_at = now(), fence = fence + 1, attempts = attempts + 1
    WHERE ctid = ANY (ARRAY(SELECT place FROM aged UNION ALL SELECT place FROM usual)) AND holder IS NULL
    RETURNING tenant_id, job_id
), moved AS (
    INSERT INTO job_turns AS t (tenant_id, turn, weight, claimed)
    SELECT a.tenant_id, a.turn + n.jobs::float8 / a.weight, a.weight, n.jobs
    FROM allotted a JOIN (SELECT tenant_id, count(*) AS jobs FROM taken GROUP BY tenant_id) n USING (tenant_id)
    UNION ALL SELECT $9, $10, 1, 0
    ON CONFLICT (tenant_id) DO UPDATE SET turn = excluded.turn, claimed = t.claimed + excluded.claimed
)
SELECT tenant_id, job_id FROM taken
"""  # noqa: S608
# The tenants' part of what was claimed, all tenants in one statement.
CLAIMED = f"""
SELECT {WORK} FROM tenfold.claimed_jobs($1, $2) j {QUEUED} WHERE q.holder = $3
"""  # noqa: S608

BEAT = """
INSERT INTO job_workers AS w (id, slots, busy, ended) VALUES ($1, $2, $3, $4)
ON CONFLICT (id) DO UPDATE SET slots = excluded.slots, busy = excluded.busy, ended = excluded.ended,
    seen_at = clock_timestamp(),
    ended_per_s = (
        SELECT w.ended_per_s + (greatest(excluded.ended - w.ended, 0) / s - w.ended_per_s) * (1 - exp(-s / 10))
        FROM (SELECT greatest(extract(epoch FROM clock_timestamp() - w.seen_at), 0.01)::float8 AS s) AS since)
"""
DUE = """
WITH now_due AS (
    SELECT ctid AS place FROM job_queue WHERE NOT due AND run_at <= now() AND crashes < $2
    ORDER BY run_at LIMIT $1 FOR UPDATE SKIP LOCKED
), due AS (
    UPDATE job_queue SET due = TRUE WHERE ctid = ANY (ARRAY(SELECT place FROM now_due)) RETURNING 1
)
SELECT count(*) FROM due
"""
FREE = """
WITH free AS (
    UPDATE job_queue SET holder = NULL, claimed_at = NULL, fence = fence + 1, attempts = attempts - 1
    WHERE holder = $1 RETURNING 1
)
SELECT count(*) FROM free
"""
LEAVE = "DELETE FROM job_workers WHERE id = $1"

# Whoever has jobs, and whoever says that he lives.
WATCH = """
SELECT id, seen_at FROM job_workers
UNION ALL
SELECT DISTINCT q.holder, NULL::timestamptz FROM job_queue q
WHERE q.holder IS NOT NULL AND NOT EXISTS (SELECT FROM job_workers w WHERE w.id = q.holder)
"""
BURY = "DELETE FROM job_workers WHERE id = $1 AND seen_at = $2 RETURNING TRUE"
POISONED = "SELECT tenant_id, job_id FROM job_queue WHERE holder = $1 AND crashes + 1 >= $2"
CRASHED = """
WITH free AS (
    UPDATE job_queue SET holder = NULL, fence = fence + 1, crashes = crashes + 1, due = crashes + 1 < $3
    WHERE holder = $1 AND crashes + 1 < $2 RETURNING 1
)
SELECT count(*) FROM free
"""
COUNT_CRASH = """
UPDATE job_queue SET crashes = crashes + 1 WHERE tenant_id = $1 AND job_id = $2 AND holder = $3 AND fence = $4
"""


class PostgresClaims(PostgresJobReads):
    """The part of `ports.JobRows` that is a worker's."""

    def __init__(self, store: Store, clock: Clock | None = None) -> None:
        super().__init__(store)
        self._clock = clock or SystemClock()
        self._hints = Hints(store)
        self._seen: dict[UUID, tuple[object, float]] = {}  # worker -> its last sign of life, since when we know it
        self._looked_s = float("-inf")
        self._state: QueueState | None = None
        self._state_until_s = float("-inf")
        self._suspects = False  # whether there were any of late

    async def claim(self, holder: UUID, kinds: Collection[str], *, limit: int, room: Room | None = None) -> list[Work]:
        async with self._store.directory(by_index=True) as tx:
            await tx.fetchrow(LOCK_CLAIMS)
            taken: list[Row] = []
            if self._suspects:
                taken = await tx.fetch(SUSPECT, list(kinds), holder, SUSPECT_CRASHES, SUSPECT_S)
            if limit > len(taken):
                taken += await _take(tx, holder, list(kinds), limit - len(taken), room)
        if not taken:
            return []
        tenants, jobs = [row["tenant_id"] for row in taken], [row["job_id"] for row in taken]
        async with self._store.directory(readonly=True, by_index=True) as tx:
            rows = await tx.fetch(CLAIMED, tenants, jobs, holder)
        return sorted(map(work_of, rows), key=lambda work: (-work.job.priority, work.job.id))

    async def beat(self, holder: UUID, *, slots: int, busy: int, ended: int) -> QueueState:
        async with self._store.directory(by_index=True) as tx:
            await tx.execute(LAZY)
            await tx.execute(BEAT, holder, slots, busy, ended)
            self._suspects = await tx.fetchval(SUSPECTS, SUSPECT_CRASHES)
            ready: int = await tx.fetchval(DUE, MAX_DUE, SUSPECT_CRASHES)
            state = await self._state_of_all(tx)
        if ready:
            await self._hints.send([SOME_READY])
        return state

    async def _state_of_all(self, tx: Transaction) -> QueueState:
        """Of 60,000 jobs it takes 50 ms: what took long holds for twenty times as long."""
        began_s = self._clock.monotonic_s()
        if self._state is None or began_s >= self._state_until_s:
            self._state = state_of(await tx.fetchrow(STATE, None))
            took_s = self._clock.monotonic_s() - began_s
            self._state_until_s = began_s + (20 * took_s if took_s > LONG_S else 0)
        return self._state

    async def leave(self, holder: UUID) -> None:
        async with self._store.directory(by_index=True) as tx:
            await tx.execute(LEAVE, holder)
            free = await tx.fetchval(FREE, holder)
        if free:
            await self._hints.send([SOME_READY])

    async def take_over(self, *, dead_after_s: float, then: Callable[[str], str | None]) -> int:
        """A worker is dead when its sign of life stayed the same for so long by this process's own clock, under its
        eyes: where the database's clock jumps, or it was away, nobody dies of it."""
        async with self._store.directory(readonly=True, by_index=True) as tx:
            signs = {row["id"]: row["seen_at"] for row in await tx.fetch(WATCH)}
        now_s = self._clock.monotonic_s()
        if now_s - self._looked_s > dead_after_s / 2:
            self._seen.clear()
        self._looked_s = now_s
        for worker in self._seen.keys() - signs.keys():
            del self._seen[worker]
        taken = 0
        for worker, sign in signs.items():
            last, since_s = self._seen.get(worker, (worker, now_s))
            if last != sign:
                self._seen[worker] = (sign, now_s)
            elif now_s - since_s >= dead_after_s:
                taken += await self._inherit(worker, sign, then)
                self._seen.pop(worker, None)
        return taken

    async def _inherit(self, worker: UUID, sign: object, then: Callable[[str], str | None]) -> int:
        """Of several that take over at once each job has one; what one of them leaves behind has no worker's row any
        more, and is found again."""
        async with self._store.directory(by_index=True) as tx:
            if sign is not None and not await tx.fetchval(BURY, worker, sign):
                return 0  # it lives, or another has seen to it
            free: int = await tx.fetchval(CRASHED, worker, MAX_CRASHES, SUSPECT_CRASHES)
            poisoned = await tx.fetch(POISONED, worker, MAX_CRASHES)
        if free:
            self._suspects = True
            await self._hints.send([SOME_READY])
        for row in poisoned:
            free += await self._end_poisoned(TenantId(row["tenant_id"]), row["job_id"], worker, then)
        return free

    async def _end_poisoned(
        self, tenant_id: TenantId, job_id: UUID, worker: UUID, then: Callable[[str], str | None]
    ) -> bool:
        work = await self.work(tenant_id, job_id, worker)
        if work is None:
            return False
        kind = then(work.job.kind)
        after = () if kind is None else (follow_up(kind, work.principal, job_id, work.job.subject),)
        message = f"Its worker died {work.job.crashes + 1} times while it ran. Redrive it once the cause is mended."
        async with self._store.tenant(tenant_id, by_index=True) as tx:
            await tx.execute(COUNT_CRASH, tenant_id, job_id, worker, work.fence)
            if not await end_held(tx, work, worker, "failed", Result(), code="poison", message=message):
                return False
            await insert(tx, tenant_id, after)
        await self._hints.send([of_job(tenant_id, job_id), SOME_READY])
        return True


async def _take(tx: Transaction, holder: UUID, kinds: list[str], limit: int, room: Room | None) -> list[Row]:
    room = room or Room(of={}, others=limit)
    rows = await tx.fetch(TURNS, kinds, limit, CLOCK, [tenant_id for tenant_id, left in room.of.items() if left <= 0])
    if not rows:
        return []
    turns = {
        row["tenant_id"]: Turn(
            tenant_id=TenantId(row["tenant_id"]),
            turn=row["turn"],
            weight=row["weight"],
            ready=min(row["ready"], room.left(TenantId(row["tenant_id"]))),
        )
        for row in rows
    }
    claimed = {row["tenant_id"]: row["claimed"] for row in rows}
    before: float = rows[0]["clock"]
    allotted, clock = allot(list(turns.values()), clock=before, limit=limit)
    return await tx.fetch(
        TAKE,
        kinds,
        list(allotted),
        list(allotted.values()),
        [aged_among(claimed[tenant_id], jobs) for tenant_id, jobs in allotted.items()],
        [max(turns[tenant_id].turn, before) for tenant_id in allotted],
        [turns[tenant_id].weight for tenant_id in allotted],
        AGED_S,
        holder,
        CLOCK,
        clock,
    )
