"""The SQL of frequent questions. Each query names its tenant; all times are the database's, days are UTC's. Rows are
locked in the order of their digests, whoever counts."""

from collections.abc import Sequence
from itertools import groupby
from uuid import UUID

import msgspec

from tenfold.assistant.precompute.types import (
    KEEP_DAYS,
    KEEP_RUN_DAYS,
    RISING_DAYS,
    WINDOW_DAYS,
    Ahead,
    Earned,
    EndedWhy,
    Frequent,
    Noted,
    Run,
)
from tenfold.core.ids import TenantId
from tenfold.store import Row, Store, tenants_among

_TODAY = "(now() AT TIME ZONE 'UTC')::date"

COUNT = f"""
INSERT INTO question_days (tenant_id, digest, day, asks)
SELECT $1, n.digest, {_TODAY}, n.asks FROM unnest($2::bytea[], $3::int[]) AS n (digest, asks) ORDER BY n.digest
ON CONFLICT (tenant_id, digest, day) DO UPDATE SET asks = question_days.asks + excluded.asks
"""  # noqa: S608  (an expression of ours)

SEE = f"""
INSERT INTO question_askers (tenant_id, digest, asker, day)
SELECT $1, n.digest, n.asker, {_TODAY} FROM unnest($2::bytea[], $3::bytea[]) AS n (digest, asker)
ORDER BY n.digest, n.asker
ON CONFLICT (tenant_id, digest, asker) DO UPDATE SET day = excluded.day
"""  # noqa: S608

# The only place where words are written.
KEEP_WORDS = f"""
INSERT INTO frequent_questions (tenant_id, digest, text)
SELECT $1, n.digest, n.text FROM unnest($2::bytea[], $3::text[]) AS n (digest, text)
WHERE (SELECT count(*) FROM question_askers a
       WHERE a.tenant_id = $1 AND a.digest = n.digest AND a.day > {_TODAY} - {KEEP_DAYS}) >= $4
ORDER BY n.digest
ON CONFLICT (tenant_id, digest) DO NOTHING
"""  # noqa: S608

EARN = """
UPDATE frequent_questions f SET hits = f.hits + n.hits, saved_nano = f.saved_nano + n.hits * f.call_nano
FROM unnest($2::bytea[], $3::int[]) AS n (digest, hits)
WHERE f.tenant_id = $1 AND f.digest = n.digest AND f.answered_at IS NOT NULL
"""

_COUNTED = f"""
frequent_questions f CROSS JOIN LATERAL (
    SELECT coalesce(sum(d.asks), 0)::bigint AS asks,
           coalesce(sum(d.asks) FILTER (WHERE d.day > {_TODAY} - {RISING_DAYS}), 0)::bigint AS rising
    FROM question_days d
    WHERE d.tenant_id = $1 AND d.digest = f.digest AND d.day > {_TODAY} - {WINDOW_DAYS}
) n
"""  # noqa: S608
_SCORE = f"n.asks + greatest(0, n.rising * {(WINDOW_DAYS - RISING_DAYS) // RISING_DAYS} - (n.asks - n.rising))"

FREQUENT = f"""
SELECT f.digest, f.text, n.asks, n.rising, f.answered_at, f.hits, f.paid_nano, f.saved_nano
FROM {_COUNTED} WHERE f.tenant_id = $1 AND n.asks > 0
ORDER BY {_SCORE} DESC, f.digest LIMIT $2 OFFSET $3
"""  # noqa: S608

# A document is named "<knowledge base>/<id>@<version>"; the version begins after the last @.
AHEAD = rf"""
SELECT f.answer FROM {_COUNTED}
WHERE f.tenant_id = $1 AND n.asks > 0 AND f.answer IS NOT NULL AND NOT EXISTS (
    SELECT FROM unnest(f.documents) AS said (name) WHERE NOT EXISTS (
        SELECT FROM knowledge_bases k JOIN documents d ON d.tenant_id = k.tenant_id AND d.kb_id = k.id
        WHERE k.tenant_id = $1 AND k.name = split_part(said.name, '/', 1)
              AND d.id = substring(said.name FROM '^[^/]*/(.*)@[^@]*$')
              AND d.hash = substring(said.name FROM '@([^@]*)$')))
ORDER BY {_SCORE} DESC, f.digest LIMIT $2
"""  # noqa: S608

_RUN = "id, budget_nano, questions, answered, cost_nano, started_at, ended_at, ended_why, done"

BEGIN = """
INSERT INTO precompute_runs (tenant_id, id, budget_nano) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
"""

FIND = f"SELECT {_RUN} FROM precompute_runs WHERE tenant_id = $1 AND id = $2"  # noqa: S608

PAID = "UPDATE precompute_runs SET cost_nano = cost_nano + $3 WHERE tenant_id = $1 AND id = $2"

PAID_FOR = "UPDATE frequent_questions SET paid_nano = paid_nano + $3 WHERE tenant_id = $1 AND digest = $2"

DONE = """
UPDATE precompute_runs SET questions = questions + 1, answered = answered + $4::int, done = done || $3::bytea
WHERE tenant_id = $1 AND id = $2 AND NOT $3 = ANY (done) RETURNING TRUE
"""

# A run that was begun again is not told the price of the call that the first attempt paid.
ANSWERED = """
UPDATE frequent_questions SET answered_at = CASE WHEN $3::jsonb IS NULL THEN NULL ELSE now() END, answer = $3,
       documents = $4, call_nano = coalesce(nullif($5::bigint, 0), nullif(call_nano, 0), paid_nano)
WHERE tenant_id = $1 AND digest = $2
"""

END = """
UPDATE precompute_runs SET ended_at = now(), ended_why = $3 WHERE tenant_id = $1 AND id = $2 AND ended_at IS NULL
"""

RUNS = f"""
SELECT {_RUN} FROM precompute_runs WHERE tenant_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3
"""  # noqa: S608

EARNED = """
SELECT count(*) AS questions, count(answered_at) AS answered, coalesce(sum(hits), 0)::bigint AS hits,
       coalesce(sum(paid_nano), 0)::bigint AS paid_nano, coalesce(sum(saved_nano), 0)::bigint AS saved_nano
FROM frequent_questions WHERE tenant_id = $1
"""

TENANTS_ASKED = "SELECT tenfold.tenants_with_frequent_questions($1, $2)"

TENANTS_OLD = "SELECT tenfold.tenants_with_old_questions($1, $2, $3)"

# Words that nobody asks for any more go after the counts, so with the next call.
EXPIRE = f"""
WITH old_days AS MATERIALIZED (
    SELECT digest, day FROM question_days WHERE tenant_id = $1 AND day <= {_TODAY} - $2::int
    LIMIT $4 FOR UPDATE SKIP LOCKED
), old_askers AS MATERIALIZED (
    SELECT digest, asker FROM question_askers WHERE tenant_id = $1 AND day <= {_TODAY} - $2::int
    LIMIT $4 FOR UPDATE SKIP LOCKED
), old_words AS MATERIALIZED (
    SELECT f.digest FROM frequent_questions f WHERE f.tenant_id = $1 AND NOT EXISTS (
        SELECT FROM question_days d WHERE d.tenant_id = $1 AND d.digest = f.digest)
    LIMIT $4 FOR UPDATE SKIP LOCKED
), old_runs AS MATERIALIZED (
    SELECT id FROM precompute_runs WHERE tenant_id = $1 AND started_at <= now() - make_interval(days => $3::int)
    LIMIT $4 FOR UPDATE SKIP LOCKED
), gone_days AS (
    DELETE FROM question_days d USING old_days o WHERE d.tenant_id = $1 AND d.digest = o.digest AND d.day = o.day
    RETURNING 1
), gone_askers AS (
    DELETE FROM question_askers a USING old_askers o
    WHERE a.tenant_id = $1 AND a.digest = o.digest AND a.asker = o.asker RETURNING 1
), gone_words AS (
    DELETE FROM frequent_questions f USING old_words o WHERE f.tenant_id = $1 AND f.digest = o.digest RETURNING 1
), gone_runs AS (
    DELETE FROM precompute_runs r USING old_runs o WHERE r.tenant_id = $1 AND r.id = o.id RETURNING 1
)
SELECT (SELECT count(*) FROM gone_days) + (SELECT count(*) FROM gone_askers)
     + (SELECT count(*) FROM gone_words) + (SELECT count(*) FROM gone_runs)
"""  # noqa: S608


class PostgresQuestionRows:
    """See `ports.QuestionRows`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def note(self, tenant_id: TenantId, asked: Sequence[Noted], *, min_askers: int) -> None:
        by_digest = [
            (digest, list(of_one))
            for digest, of_one in groupby(sorted(asked, key=lambda one: one.digest), key=lambda one: one.digest)
        ]
        if not by_digest:
            return
        digests = [digest for digest, _ in by_digest]
        seen = sorted({(one.digest, one.asker) for one in asked})
        hits = [(digest, count) for digest, ones in by_digest if (count := sum(one.from_cache for one in ones))]
        async with self._store.tenant(tenant_id, by_index=True) as tx:
            await tx.execute(COUNT, tenant_id, digests, [len(ones) for _, ones in by_digest])
            await tx.execute(SEE, tenant_id, [digest for digest, _ in seen], [asker for _, asker in seen])
            await tx.execute(KEEP_WORDS, tenant_id, digests, [ones[-1].text for _, ones in by_digest], min_askers)
            if hits:
                await tx.execute(EARN, tenant_id, [digest for digest, _ in hits], [count for _, count in hits])

    async def frequent(self, tenant_id: TenantId, *, limit: int, offset: int = 0) -> list[Frequent]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return [Frequent(**dict(row)) for row in await tx.fetch(FREQUENT, tenant_id, limit, offset)]

    async def begin(self, tenant_id: TenantId, run_id: UUID, *, budget_nano: int) -> Run:
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(BEGIN, tenant_id, run_id, budget_nano)
            row = await tx.fetchrow(FIND, tenant_id, run_id)
        assert row is not None
        return _run(row)

    async def paid(self, tenant_id: TenantId, run_id: UUID, digest: bytes, cost_nano: int) -> None:
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(PAID, tenant_id, run_id, cost_nano)
            await tx.execute(PAID_FOR, tenant_id, digest, cost_nano)

    async def answered(
        self,
        tenant_id: TenantId,
        run_id: UUID,
        digest: bytes,
        *,
        call_nano: int = 0,
        ahead: Ahead | None = None,
        documents: Sequence[str] = (),
        degraded: bool = False,
    ) -> None:
        answer = None if ahead is None else msgspec.to_builtins(ahead)
        async with self._store.tenant(tenant_id) as tx:
            if await tx.fetchval(DONE, tenant_id, run_id, digest, ahead is not None) and not degraded:
                await tx.execute(ANSWERED, tenant_id, digest, answer, list(documents), call_nano)

    async def end(self, tenant_id: TenantId, run_id: UUID, why: EndedWhy) -> None:
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(END, tenant_id, run_id, why)

    async def runs(self, tenant_id: TenantId, *, limit: int, before: UUID | None = None) -> list[Run]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return [_run(row) for row in await tx.fetch(RUNS, tenant_id, before, limit)]

    async def earned(self, tenant_id: TenantId) -> Earned:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            row = await tx.fetchrow(EARNED, tenant_id)
        assert row is not None
        return Earned(**dict(row))

    async def ahead(self, tenant_id: TenantId, *, limit: int) -> list[Ahead]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return [msgspec.convert(row["answer"], Ahead) for row in await tx.fetch(AHEAD, tenant_id, limit)]

    async def tenants_asked(self) -> list[TenantId]:
        return await tenants_among(self._store, TENANTS_ASKED, WINDOW_DAYS)

    async def tenants_expired(self) -> list[TenantId]:
        return await tenants_among(self._store, TENANTS_OLD, KEEP_DAYS, KEEP_RUN_DAYS)

    async def expire(self, tenant_id: TenantId, *, limit: int) -> int:
        async with self._store.tenant(tenant_id) as tx:
            count: int = await tx.fetchval(EXPIRE, tenant_id, KEEP_DAYS, KEEP_RUN_DAYS, limit)
        return count


def _run(row: Row) -> Run:
    told = dict(row)
    return Run(**told | {"done": frozenset(row["done"])})
