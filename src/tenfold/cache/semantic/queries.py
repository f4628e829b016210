"""The SQL of the semantic cache. Every statement names its tenant; none waits for whoever changes documents."""

from typing import Final

MAX_SEEN: Final = 20_000  # of a scope


SCOPE = "SELECT id, epoch FROM semantic_scopes WHERE tenant_id = $1 AND digest = $2"
ADD_SCOPE = """
INSERT INTO semantic_scopes (tenant_id, id, digest, dialect, model, stream, max_false_hits)
VALUES ($1, $3, $2, $4, $5, $6, $7) ON CONFLICT (tenant_id, digest) DO NOTHING
"""
TOO_MANY_SCOPES = """
SELECT id FROM semantic_scopes WHERE tenant_id = $1 ORDER BY used_at DESC OFFSET $2
"""
DELETE_GROUNDS = """
DELETE FROM semantic_grounds g USING semantic_entries e
WHERE g.tenant_id = $1 AND e.tenant_id = $1 AND e.id = g.entry_id AND e.scope_id = ANY ($2)
"""
DELETE_ENTRIES = "DELETE FROM semantic_entries WHERE tenant_id = $1 AND scope_id = ANY ($2)"
DELETE_SEEN = "DELETE FROM semantic_observations WHERE tenant_id = $1 AND scope_id = ANY ($2)"
DELETE_SCOPES = "DELETE FROM semantic_scopes WHERE tenant_id = $1 AND id = ANY ($2)"

# Before the rows: what runs now is seen the next time, again or for the first time.
POSITION = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"
EPOCHS = "SELECT id, epoch FROM semantic_scopes WHERE tenant_id = $1 AND id = ANY ($2)"
_DOCUMENTS = """ARRAY (
    SELECT g.kb || '/' || g.document || '@' || g.version FROM semantic_grounds g
    WHERE g.tenant_id = $1 AND g.entry_id = e.id)"""
NEW_ENTRIES = f"""
SELECT e.scope_id, e.id, e.question, e.vector, e.answer_id, e.gone,
       {_DOCUMENTS} AS documents
FROM unnest($2::uuid[], $3::text[]) AS follower (scope_id, position)
JOIN semantic_entries e ON e.tenant_id = $1 AND e.scope_id = follower.scope_id
    AND e.changed_xid >= follower.position::xid8 AND NOT (e.gone AND follower.position = '0')
WHERE e.id > $4 ORDER BY e.id LIMIT $5
"""  # noqa: S608  (a column of ours)
NEW_SEEN = """
SELECT o.scope_id, o.id, o.seen
FROM unnest($2::uuid[], $3::text[]) AS follower (scope_id, position)
JOIN semantic_observations o ON o.tenant_id = $1 AND o.scope_id = follower.scope_id
    AND o.changed_xid >= follower.position::xid8
WHERE o.id > $4 ORDER BY o.id LIMIT $5
"""

# Those of these documents that are as they are said to be. The columns stand for one document each.
AS_SAID = """
SELECT said.kb, said.name, said.version
FROM unnest($2::text[], $3::text[], $4::text[]) AS said (kb, name, version)
JOIN knowledge_bases k ON k.tenant_id = $1 AND k.name = said.kb
JOIN documents d ON d.tenant_id = $1 AND d.kb_id = k.id AND d.id = said.name AND d.hash = said.version
"""
# Until what is kept by them is kept. One that is being changed is not waited for: two that wait for each other's
# documents would stop the ingest.
HOLD = f"{AS_SAID} FOR SHARE OF d SKIP LOCKED"
EVICTED = """
SELECT said.name, said.version,
       CASE WHEN bool_or(e.version <> '') THEN 'Infinity'
            ELSE extract(epoch FROM clock_timestamp() - max(e.evicted_at)) END::float8 AS ago_s
FROM unnest($2::text[], $3::text[]) AS said (name, version)
JOIN evicted_documents e ON e.tenant_id = $1 AND e.document = said.name AND e.version IN ('', said.version)
GROUP BY said.name, said.version
"""
# Whoever keeps by a document of the caller's own shares it; whoever takes rows away has it alone, and meets nobody who
# does so in another order.
LOCK = "SELECT pg_advisory_xact_lock{shared}(hashtextextended('tenfold.cache_evictions ' || $1::uuid::text, 0))"
KEEPING = LOCK.format(shared="_shared")
REMOVING = LOCK.format(shared="")

SET_STATUS = """
UPDATE semantic_scopes SET bound = $4, is_off = $5, why_off = $6, max_false_hits = $7, used_at = now()
WHERE tenant_id = $1 AND id = $2 AND epoch = $3
RETURNING TRUE
"""
ADD_SEEN = """
INSERT INTO semantic_observations (tenant_id, scope_id, id, seen) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING
"""
# So many are evidence enough, and the latest is the best.
TRIM_SEEN = f"""
DELETE FROM semantic_observations WHERE tenant_id = $1 AND scope_id = $2 AND id <= (
    SELECT id FROM semantic_observations WHERE tenant_id = $1 AND scope_id = $2
    ORDER BY id DESC OFFSET {MAX_SEEN} LIMIT 1)
"""  # noqa: S608  (a number of ours)
ADD_ENTRY = """
INSERT INTO semantic_entries (tenant_id, id, scope_id, question, vector, answer_id, answer, body, told, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, now() + make_interval(secs => $10))
"""
ADD_GROUNDS = """
INSERT INTO semantic_grounds (tenant_id, entry_id, kb, document, version)
SELECT $1, $2, * FROM unnest($3::text[], $4::text[], $5::text[])
"""
# An entry that goes leaves its row, empty, so that every process hears of it.
EMPTY = "gone = true, question = '', vector = '', answer = '', body = '', changed_xid = pg_current_xact_id()"
TRIM = f"""
WITH old AS (
    SELECT id FROM semantic_entries WHERE tenant_id = $1 AND NOT gone ORDER BY id DESC OFFSET $2
), gone AS (
    UPDATE semantic_entries e SET {EMPTY}, expires_at = now() FROM old WHERE e.tenant_id = $1 AND e.id = old.id
)
DELETE FROM semantic_grounds g USING old WHERE g.tenant_id = $1 AND g.entry_id = old.id
"""  # noqa: S608  (columns of ours)

STALE_GROUND = """
    NOT EXISTS (SELECT FROM knowledge_bases k JOIN documents d ON d.tenant_id = k.tenant_id AND d.kb_id = k.id
                WHERE k.tenant_id = $1 AND k.name = g.kb AND d.id = g.document AND d.hash = g.version)
"""
ANSWER = f"""
SELECT e.answer_id, e.body, e.told, extract(epoch FROM now() - e.created_at)::float8 AS age_s,
       {_DOCUMENTS} AS documents
FROM semantic_entries e JOIN semantic_scopes s ON s.tenant_id = $1 AND s.id = e.scope_id
WHERE e.tenant_id = $1 AND e.id = $2 AND s.id = $3 AND s.epoch = $4 AND NOT e.gone AND e.expires_at > now()
  AND NOT EXISTS (SELECT FROM semantic_grounds g WHERE g.tenant_id = $1 AND g.entry_id = e.id AND g.kb <> ''
                  AND {STALE_GROUND})
"""  # noqa: S608  (a condition of ours)
TEXTS = "SELECT id, answer FROM semantic_entries WHERE tenant_id = $1 AND id = ANY ($2) AND NOT gone"

COUNT = """
UPDATE semantic_scopes s SET hits = s.hits + used.hits, checks = s.checks + used.checks, used_at = now()
FROM unnest($2::uuid[], $3::int[], $4::bigint[], $5::bigint[]) AS used (id, epoch, hits, checks)
WHERE s.tenant_id = $1 AND s.id = used.id AND s.epoch = used.epoch
"""
SCOPES = """
SELECT s.*, (SELECT count(*) FROM semantic_entries e
             WHERE e.tenant_id = $1 AND e.scope_id = s.id AND NOT e.gone) AS entries
FROM semantic_scopes s
"""
PAGE_OF_SCOPES = f"""{SCOPES} WHERE s.tenant_id = $1 AND ($2::uuid IS NULL OR s.id < $2) ORDER BY s.id DESC LIMIT $3"""
ONE_SCOPE = f"{SCOPES} WHERE s.tenant_id = $1 AND s.id = $2"
RESET = """
UPDATE semantic_scopes SET epoch = epoch + 1, hits = 0, checks = 0, bound = 1, is_off = false, why_off = ''
WHERE tenant_id = $1 AND id = $2 RETURNING TRUE
"""

TELL_EVICTED = """
INSERT INTO evicted_documents (tenant_id, document, version, evicted_at)
SELECT $1, *, clock_timestamp() FROM unnest($2::text[], $3::text[])
ON CONFLICT (tenant_id, document, version) DO UPDATE SET evicted_at = excluded.evicted_at
"""
DROP = f"""
WITH dropped AS (
    UPDATE semantic_entries e SET {EMPTY}, expires_at = now() FROM stale
    WHERE e.tenant_id = $1 AND e.id = stale.entry_id AND NOT e.gone RETURNING 1
), ungrounded AS (
    DELETE FROM semantic_grounds g USING stale WHERE g.tenant_id = $1 AND g.entry_id = stale.entry_id
)
SELECT count(*) FROM dropped
"""  # noqa: S608  (columns of ours)
DROP_NAMED = f"""
WITH stale AS MATERIALIZED (
    SELECT DISTINCT g.entry_id FROM unnest($2::text[], $3::text[]) AS said (name, version)
    JOIN semantic_grounds g ON g.tenant_id = $1 AND g.kb = '' AND g.document = said.name
        AND said.version IN ('', g.version)
), {DROP.lstrip().removeprefix("WITH")}"""  # noqa: S608
DROP_STALE = f"""
WITH stale AS MATERIALIZED (
    SELECT DISTINCT g.entry_id FROM semantic_grounds g WHERE g.tenant_id = $1 AND g.kb <> '' AND {STALE_GROUND}
), {DROP.lstrip().removeprefix("WITH")}"""  # noqa: S608

TENANTS_EXPIRED = "SELECT tenfold.tenants_with_old_cache($1, $2)"
EXPIRE_ENTRIES = """
WITH old AS MATERIALIZED (
    SELECT id FROM semantic_entries WHERE tenant_id = $1 AND expires_at < now() - interval '10 minutes'
    ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
), ungrounded AS (
    DELETE FROM semantic_grounds g USING old WHERE g.tenant_id = $1 AND g.entry_id = old.id
)
SELECT id FROM old
"""
DELETE_ENTRY_ROWS = "DELETE FROM semantic_entries WHERE tenant_id = $1 AND id = ANY ($2)"
UNUSED_SCOPES = """
SELECT id FROM semantic_scopes WHERE tenant_id = $1 AND used_at < $2 ORDER BY used_at LIMIT $3 FOR UPDATE SKIP LOCKED
"""
EXPIRE_EVICTIONS = """
WITH gone AS (DELETE FROM evicted_documents WHERE tenant_id = $1 AND evicted_at < $2 RETURNING 1)
SELECT count(*) FROM gone
"""
