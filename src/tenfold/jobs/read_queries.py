"""The SQL that tells of jobs, and what a row of theirs becomes. Each query names its tenant, but for those of the
directory tables; all times are the database's."""

from collections.abc import Iterable
from uuid import UUID

import msgspec

from tenfold.core.ids import TenantId
from tenfold.jobs.rules import eta_s
from tenfold.jobs.types import DeadLetters, Held, Job, JobEvent, NewJob, Progress, QueueState, State, Work
from tenfold.store import Row, Store, Transaction, among_tenants, tenants_among

# A job `j` with its place `q` in the queue. Whatever changes of it makes the version grow: the fence grows with claims.
TOLD = """j.tenant_id, j.id, j.kind, j.subject, j.priority, j.created_at, j.ended_at, j.expires_at, j.max_attempts,
    CASE WHEN q.holder IS NULL THEN j.state ELSE 'running' END AS state,
    coalesce(q.run_at, j.run_at, j.created_at) AS run_at, coalesce(q.claimed_at, j.started_at) AS started_at,
    coalesce(q.attempts, j.attempts) AS attempts, coalesce(q.crashes, j.crashes) AS crashes,
    coalesce(q.cancel_requested, j.cancel_requested) AS cancel_requested, j.progress, j.cost_nano, j.error_code,
    j.asked->'facts' AS facts, j.error_message, j.version + coalesce(q.fence, j.fence) AS version,
    extract(epoch FROM now() - q.claimed_at)::float8 AS running_s"""
WORK = f"{TOLD}, q.fence, j.asked::text AS asked, j.input, j.events"
# OFFSET 0: one look by the key for each job, never a join that reads the whole queue.
QUEUED = """
LEFT JOIN LATERAL (
    SELECT * FROM job_queue WHERE tenant_id = j.tenant_id AND job_id = j.id OFFSET 0
) q ON TRUE
"""
_FROM = f"FROM jobs j {QUEUED}"

FIND = f"SELECT {TOLD} {_FROM} WHERE j.tenant_id = $1 AND j.id = $2"
KNOWN = f"""
SELECT {TOLD}, j.dedup {_FROM} WHERE j.tenant_id = $1 AND (
    j.id = ANY($2)
    OR j.id IN (SELECT o.id FROM unnest($3::text[], $4::text[]) AS a (kind, dedup)
                JOIN jobs o ON o.tenant_id = $1 AND o.kind = a.kind AND o.dedup = a.dedup))
"""  # noqa: S608
_PAGE = f"""
SELECT {TOLD} {_FROM}
WHERE j.tenant_id = $1 AND ($2::uuid IS NULL OR j.id < $2) AND ($3::text IS NULL OR j.kind = $3)
"""
PAGE = _PAGE + "ORDER BY j.id DESC LIMIT $4"
# $6: of those that are queued whether they run.
PAGE_OF = (
    _PAGE
    + """
AND j.state = $5 AND ($6::boolean IS NULL OR (q.holder IS NOT NULL) = $6) ORDER BY j.id DESC LIMIT $4
"""
)
WORK_OF = f"SELECT {WORK} {_FROM} WHERE j.tenant_id = $1 AND j.id = $2 AND q.holder = $3"
RESULT = "SELECT result FROM jobs WHERE tenant_id = $1 AND id = $2 AND state = 'done'"
INPUT = "SELECT input FROM jobs WHERE tenant_id = $1 AND id = $2 AND state IN ('queued', 'failed')"
EVENTS = (
    "SELECT seq, kind, data FROM job_events WHERE tenant_id = $1 AND job_id = $2 AND seq > $3 ORDER BY seq LIMIT $4"
)
FAILED = """
SELECT id FROM jobs WHERE tenant_id = $1 AND state = 'failed' AND ($2::text IS NULL OR kind = $2) ORDER BY id LIMIT $3
"""
DEAD = "SELECT count(*) FROM jobs WHERE tenant_id = $1 AND state = 'failed'"
STATE = """
SELECT * FROM (
    SELECT count(*) FILTER (WHERE holder IS NULL AND run_at <= now()) AS waiting,
           count(*) FILTER (WHERE holder IS NULL AND run_at > now()) AS later,
           count(holder) AS running,
           greatest(extract(epoch FROM now() - min(run_at) FILTER (WHERE holder IS NULL)), 0)::float8 AS oldest_wait_s
    FROM job_queue WHERE $1::uuid IS NULL OR tenant_id = $1
) q, (
    SELECT count(*) AS workers, coalesce(sum(slots), 0) AS slots, coalesce(sum(ended_per_s), 0) AS drain_per_s
    FROM job_workers
) w
"""
HELD = "SELECT tenant_id, job_id, fence, cancel_requested FROM job_queue WHERE holder = $1"
TENANTS_EXPIRED = "SELECT tenfold.tenants_with_expired_jobs($1)"
DEAD_LETTERS = """
SELECT tenant_id, jobs AS count, extract(epoch FROM now() - oldest)::float8 AS oldest_age_s
FROM tenfold.tenants_with_dead_jobs($1, now() - make_interval(secs => $2))
"""
MOST_DEAD = 1000  # tenants

_asked = msgspec.json.Decoder(NewJob)


class PostgresJobReads:
    """The part of `ports.JobRows` that changes nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def work(self, tenant_id: TenantId, job_id: UUID, holder: UUID) -> Work | None:
        async with self._store.tenant(tenant_id, readonly=True, by_index=True) as tx:
            row = await tx.fetchrow(WORK_OF, tenant_id, job_id, holder)
        return None if row is None else work_of(row)

    async def find(self, tenant_id: TenantId, job_id: UUID) -> Job | None:
        async with self._store.tenant(tenant_id, readonly=True, by_index=True) as tx:
            row = await tx.fetchrow(FIND, tenant_id, job_id)
        return None if row is None else job_of(row)

    async def result(self, tenant_id: TenantId, job_id: UUID) -> bytes | None:
        async with self._store.tenant(tenant_id, readonly=True, by_index=True) as tx:
            found: bytes | None = await tx.fetchval(RESULT, tenant_id, job_id)
        return found

    async def input(self, tenant_id: TenantId, job_id: UUID) -> bytes | None:
        async with self._store.tenant(tenant_id, readonly=True, by_index=True) as tx:
            found: bytes | None = await tx.fetchval(INPUT, tenant_id, job_id)
        return found

    async def page(
        self, tenant_id: TenantId, *, state: State | None, kind: str | None, before: UUID | None, limit: int
    ) -> list[Job]:
        async with self._store.tenant(tenant_id, readonly=True, by_index=True) as tx:
            if state is None:
                rows = await tx.fetch(PAGE, tenant_id, before, kind, limit)
            else:
                stands, runs = ("queued", state == "running") if state in ("queued", "running") else (state, None)
                rows = await tx.fetch(PAGE_OF, tenant_id, before, kind, limit, stands, runs)
        return [job_of(row) for row in rows]

    async def events(self, tenant_id: TenantId, job_id: UUID, *, after: int, limit: int) -> list[JobEvent]:
        async with self._store.tenant(tenant_id, readonly=True, by_index=True) as tx:
            rows = await tx.fetch(EVENTS, tenant_id, job_id, after, limit)
        return [JobEvent(seq=row["seq"], kind=row["kind"], data=row["data"]) for row in rows]

    async def failed_ids(self, tenant_id: TenantId, *, kind: str | None, limit: int) -> list[UUID]:
        async with self._store.tenant(tenant_id, readonly=True, by_index=True) as tx:
            return [row["id"] for row in await tx.fetch(FAILED, tenant_id, kind, limit)]

    async def state(self, tenant_id: TenantId | None) -> QueueState:
        if tenant_id is None:
            async with self._store.directory(readonly=True, by_index=True) as tx:
                return state_of(await tx.fetchrow(STATE, None))
        async with self._store.tenant(tenant_id, readonly=True, by_index=True) as tx:
            dead: int = await tx.fetchval(DEAD, tenant_id)
            return state_of(await tx.fetchrow(STATE, tenant_id), dead)

    async def held(self, holder: UUID) -> list[Held]:
        async with self._store.directory(readonly=True, by_index=True) as tx:
            return [Held(**dict(row)) for row in await tx.fetch(HELD, holder)]

    async def dead_letters(self, *, older_than_s: float) -> list[DeadLetters]:
        rows = await among_tenants(self._store, DEAD_LETTERS, older_than_s, by_index=True, most=MOST_DEAD)
        return [DeadLetters(**dict(row)) for row in rows]

    async def tenants_expired(self) -> list[TenantId]:
        return await tenants_among(self._store, TENANTS_EXPIRED, by_index=True)


async def known(tx: Transaction, tenant_id: TenantId, jobs: Iterable[NewJob]) -> dict[UUID, Job]:
    """Those of them that are there already, by the id they were asked for with."""
    of = {new.id: new for new in jobs}
    named = [new for new in of.values() if new.dedup is not None]
    rows = await tx.fetch(KNOWN, tenant_id, list(of), [new.kind for new in named], [new.dedup for new in named])
    by_id = {row["id"]: job_of(row) for row in rows}
    by_name = {(row["kind"], row["dedup"]): by_id[row["id"]] for row in rows}
    found = {}
    for new in of.values():
        job = by_id.get(new.id) or (by_name.get((new.kind, new.dedup)) if new.dedup is not None else None)
        if job is not None:
            found[new.id] = job
    return found


def job_of(row: Row) -> Job:
    state, running_s = row["state"], row["running_s"]
    progress = Progress() if row["progress"] is None else msgspec.convert(row["progress"], Progress)
    return Job(
        tenant_id=TenantId(row["tenant_id"]),
        id=row["id"],
        kind=row["kind"],
        state=state,
        subject=row["subject"],
        priority=row["priority"],
        created_at=row["created_at"],
        run_at=row["run_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        expires_at=row["expires_at"],
        attempts=row["attempts"],
        max_attempts=row["max_attempts"],
        crashes=row["crashes"],
        progress=progress,
        cost_nano=row["cost_nano"],
        cancel_requested=row["cancel_requested"],
        version=row["version"],
        facts=row["facts"] or {},
        error_code=row["error_code"],
        error_message=row["error_message"],
        eta_s=eta_s(progress, running_s) if state == "running" else None,
    )


def asked_of(row: Row) -> NewJob:
    return _asked.decode(row["asked"])


def work_of(row: Row) -> Work:
    new = asked_of(row)
    return Work(
        job=job_of(row), principal=new.principal, input=row["input"], fence=row["fence"], new=new, events=row["events"]
    )


def state_of(row: Row | None, dead: int = 0) -> QueueState:
    assert row is not None  # of sums there is always one
    return QueueState(**dict(row), dead=dead)
