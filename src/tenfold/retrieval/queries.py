"""The SQL of knowledge bases. Every statement names the tenant ($1) and the knowledge base ($2); the words and vectors
stand under a set of the knowledge base, in their column kb_id: see migration 0023.
"""

from typing import Final

# -- the knowledge base ------------------------------------------------------------------------

# The type of the column of vectors: halfvec, or real[] where the server has no pgvector.
VECTOR_TYPE: Final = """
SELECT format_type(atttypid, NULL) FROM pg_attribute
WHERE attrelid = 'chunk_vectors'::regclass AND attname = 'embedding'
"""

FIND_KB: Final = f"""
SELECT id, chunk_count, term_total, embedder, embedded_revision = revision AS embedded,
       coalesce(words_set, id) AS words_set, coalesce(vectors_set, id) AS vectors_set,
       ({VECTOR_TYPE}) AS vector_type
FROM knowledge_bases WHERE tenant_id = $1 AND name = $2
"""  # noqa: S608 - of constants

CREATE_KB: Final = """
INSERT INTO knowledge_bases (tenant_id, id, name, analyzer) VALUES ($1, $3, $2, $4)
ON CONFLICT (tenant_id, name) DO NOTHING
"""

STATUS: Final = """
SELECT document_count, chunk_count, embedder, embedded_revision = revision AS embedded, next_embedder,
       (SELECT count(*) FROM chunk_vectors v
        WHERE v.tenant_id = $1 AND v.kb_id = coalesce(k.vectors_set, k.id)) AS vectors,
       (SELECT count(*) FROM chunk_vectors v WHERE v.tenant_id = $1 AND v.kb_id = k.next_vectors_set) AS next_vectors
FROM knowledge_bases k WHERE tenant_id = $1 AND name = $2
"""

# One process at a time: the row is the lease, and taking it again locks it for the rest of the transaction.
# {purpose} is "write", "embed" or "reembed".
TAKE_LEASE: Final = """
UPDATE knowledge_bases SET {purpose}_holder = $3, {purpose}_until = now() + make_interval(secs => $4)
WHERE tenant_id = $1 AND name = $2
  AND ({purpose}_holder IS NULL OR {purpose}_holder = $3 OR {purpose}_until < now())
RETURNING id, analyzer, next_chunk, embedder, embedded_revision = revision AS embedded, chunk_count,
    coalesce(words_set, id) AS words_set, coalesce(vectors_set, id) AS vectors_set,
    next_words_set, next_vectors_set, next_embedder, discarded_words, discarded_vectors,
    coalesce(reembed_until < now(), true) AS nobody_reembeds
"""

DROP_LEASE: Final = """
UPDATE knowledge_bases SET {purpose}_holder = NULL, {purpose}_until = NULL
WHERE tenant_id = $1 AND name = $2 AND {purpose}_holder = $3
"""

COUNT_CHANGE: Final = """
UPDATE knowledge_bases SET revision = revision + 1, document_count = document_count + $3,
    chunk_count = chunk_count + $4, term_total = term_total + $5, next_chunk = next_chunk + $6
WHERE tenant_id = $1 AND id = $2
"""

# -- documents and chunks ------------------------------------------------------------------------

# A document whose text was not kept counts as changed, so that it is.
HASHES: Final = """
SELECT id, CASE WHEN text IS NULL THEN '' ELSE hash END AS hash
FROM documents WHERE tenant_id = $1 AND kb_id = $2 AND id = ANY ($3::text[])
"""

ABSENT: Final = """
SELECT id FROM documents WHERE tenant_id = $1 AND kb_id = $2 AND id <> ALL ($3::text[]) ORDER BY id
"""

OLD_CHUNKS: Final = """
SELECT c.number, d.title, c.heading, c.text
FROM chunks c JOIN documents d ON d.tenant_id = c.tenant_id AND d.kb_id = c.kb_id AND d.id = c.document_id
WHERE c.tenant_id = $1 AND c.kb_id = $2 AND c.document_id = ANY ($3::text[])
"""

# $2 sets, those in the making included.
DELETE_VECTORS: Final = """
DELETE FROM chunk_vectors WHERE tenant_id = $1 AND kb_id = ANY ($2::uuid[]) AND number = ANY ($3::bigint[])
"""
DELETE_CHUNKS: Final = "DELETE FROM chunks WHERE tenant_id = $1 AND kb_id = $2 AND number = ANY ($3::bigint[])"
DELETE_DOCUMENTS: Final = "DELETE FROM documents WHERE tenant_id = $1 AND kb_id = $2 AND id = ANY ($3::text[])"

PUT_DOCUMENTS: Final = """
INSERT INTO documents (tenant_id, kb_id, id, hash, title, url, metadata, chunking, text)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (tenant_id, kb_id, id) DO UPDATE
SET hash = excluded.hash, title = excluded.title, url = excluded.url, metadata = excluded.metadata,
    chunking = excluded.chunking, text = excluded.text, updated_at = now()
"""

INSERT_CHUNKS: Final = """
INSERT INTO chunks (tenant_id, kb_id, number, document_id, ordinal, heading, text, span_start, span_end)
SELECT $1, $2, * FROM unnest($3::bigint[], $4::text[], $5::int[], $6::text[], $7::text[], $8::int[], $9::int[])
"""

# -- the inverted index ------------------------------------------------------------------------

# $2 the set, $3 chunk numbers, $4 their words. Returns the number of words that count.
INSERT_POSTINGS: Final = """
WITH counted AS (
    SELECT number, lexeme COLLATE "C" AS term, least(cardinality(positions), 255) AS frequency,
           sum(cardinality(positions)) OVER (PARTITION BY number) AS length
    FROM unnest($3::bigint[], $4::text[]) AS chunk (number, words), unnest(to_tsvector('english', words))
), put AS (
    INSERT INTO postings AS p (tenant_id, kb_id, term, bucket, entries)
    SELECT $1, $2, term, number >> 7,
           array_agg((number << 24) | (least(length, 65535)::bigint << 8) | frequency ORDER BY number)
    FROM counted GROUP BY term, number >> 7
    ON CONFLICT (tenant_id, kb_id, term, bucket) DO UPDATE SET entries = p.entries || excluded.entries
)
SELECT coalesce(sum(frequency), 0)::bigint FROM counted
"""

# The same arguments, for chunks that go. Returns the number of words that counted.
DELETE_POSTINGS: Final = """
WITH counted AS (
    SELECT number, lexeme COLLATE "C" AS term, least(cardinality(positions), 255) AS frequency
    FROM unnest($3::bigint[], $4::text[]) AS chunk (number, words), unnest(to_tsvector('english', words))
), rows AS (
    SELECT term, number >> 7 AS bucket, array_agg(number) AS numbers FROM counted GROUP BY term, number >> 7
), emptied AS (
    DELETE FROM postings p USING rows r
    WHERE p.tenant_id = $1 AND p.kb_id = $2 AND p.term = r.term AND p.bucket = r.bucket
      AND NOT EXISTS (SELECT FROM unnest(p.entries) entry WHERE entry >> 24 <> ALL (r.numbers))
), thinned AS (
    UPDATE postings p
    SET entries = ARRAY (SELECT entry FROM unnest(p.entries) entry WHERE entry >> 24 <> ALL (r.numbers))
    FROM rows r
    WHERE p.tenant_id = $1 AND p.kb_id = $2 AND p.term = r.term AND p.bucket = r.bucket
      AND EXISTS (SELECT FROM unnest(p.entries) entry WHERE entry >> 24 <> ALL (r.numbers))
)
SELECT coalesce(sum(frequency), 0)::bigint FROM counted
"""

CHUNKS_AFTER: Final = """
SELECT c.number, d.title, c.heading, c.text
FROM chunks c JOIN documents d ON d.tenant_id = c.tenant_id AND d.kb_id = c.kb_id AND d.id = c.document_id
WHERE c.tenant_id = $1 AND c.kb_id = $2 AND c.number > $3 ORDER BY c.number LIMIT $4
"""

# -- vectors ------------------------------------------------------------------------

UNEMBEDDED: Final = """
SELECT c.number, d.title, c.heading, c.text
FROM chunks c JOIN documents d ON d.tenant_id = c.tenant_id AND d.kb_id = c.kb_id AND d.id = c.document_id
WHERE c.tenant_id = $1 AND c.kb_id = $2 AND c.number > $3 AND NOT EXISTS (
    SELECT FROM chunk_vectors v WHERE v.tenant_id = $1 AND v.kb_id = $5 AND v.number = c.number)
ORDER BY c.number LIMIT $4
"""

# $5 is the set. Chunks may have gone while they were embedded. {type} is that of the column.
INSERT_VECTOR: Final = """
INSERT INTO chunk_vectors (tenant_id, kb_id, number, embedding)
SELECT $1, $5, $3, $4::real[]::{type} WHERE EXISTS (
    SELECT FROM chunks WHERE tenant_id = $1 AND kb_id = $2 AND number = $3)
ON CONFLICT DO NOTHING
"""

# $2 is the set.
HAS_VECTORS: Final = "SELECT EXISTS (SELECT FROM chunk_vectors WHERE tenant_id = $1 AND kb_id = $2)"
SET_EMBEDDER: Final = """
UPDATE knowledge_bases SET embedder = $3, embedded_revision = NULL WHERE tenant_id = $1 AND id = $2
"""
SET_EMBEDDED: Final = "UPDATE knowledge_bases SET embedded_revision = revision WHERE tenant_id = $1 AND id = $2"

# -- search ------------------------------------------------------------------------

# $2 is the set of words, or of vectors. What a filter leaves of the knowledge base {kb}, which is a parameter.
# {condition} is of `filters.condition`.
ALLOWED: Final = """allowed AS MATERIALIZED (
    SELECT c.number FROM documents d
    JOIN chunks c ON c.tenant_id = d.tenant_id AND c.kb_id = d.kb_id AND c.document_id = d.id
    WHERE d.tenant_id = $1 AND d.kb_id = {kb} AND {condition}
), """
IS_ALLOWED: Final = "{number} IN (SELECT number FROM allowed)"

# BM25 (Robertson and Zaragoza 2009). $3 the question's words, $4 chunks in all, $5 their average length, $6 k1, $7 b,
# $8 how many. A word that the question repeats counts as often (k3 without bound): nothing changes for short questions,
# and of a long one its subject comes to the front. `share` is the part of the question's weight that the chunk holds.
# {allowed} is "" or ALLOWED, {among} a condition on `entry >> 24`; weights are of all chunks, whatever the filter.
SEARCH_WORDS: Final = """
WITH {allowed}asked AS (
    SELECT lexeme COLLATE "C" AS term, cardinality(positions) AS frequency FROM unnest(to_tsvector('english', $3))
), held AS MATERIALIZED (
    SELECT p.term, p.entries FROM postings p
    WHERE p.tenant_id = $1 AND p.kb_id = $2 AND p.term = ANY (ARRAY (SELECT term FROM asked))
), weighed AS MATERIALIZED (
    SELECT term, frequency * ln(1 + ($4::float8 - holding + 0.5) / (holding + 0.5)) AS weight
    FROM (SELECT a.term, a.frequency, coalesce(sum(cardinality(h.entries)), 0)::float8 AS holding
          FROM asked a LEFT JOIN held h ON h.term = a.term GROUP BY a.term, a.frequency) counted
)
SELECT entry >> 24 AS number,
       sum(weight * (entry & 255) * ($6::float8 + 1) / (
           (entry & 255) + $6::float8 * (1 - $7::float8 + $7::float8 * ((entry >> 8) & 65535) / $5::float8)
       )) AS score,
       sum(weight) / (SELECT sum(weight) FROM weighed) AS share
FROM held JOIN weighed USING (term), unnest(entries) entry
WHERE {among}
GROUP BY entry >> 24 ORDER BY score DESC, number LIMIT $8
"""

# Exact: materialized, so that no index of a later day can turn it into an approximate scan that loses what the tenant's
# filter leaves out (measured: recall 0.75). {among} is a condition on `number`.
SEARCH_VECTORS: Final = """
WITH {allowed}near AS MATERIALIZED (
    SELECT number, embedding <=> $3::real[]::halfvec AS distance
    FROM chunk_vectors WHERE tenant_id = $1 AND kb_id = $2 AND {among}
)
SELECT number, 1 - distance AS cosine FROM near ORDER BY distance, number LIMIT $4
"""

# Without pgvector: the vectors of the chunks that the words found.
VECTORS_OF: Final = """
SELECT number, embedding FROM chunk_vectors WHERE tenant_id = $1 AND kb_id = $2 AND number = ANY ($3::bigint[])
"""

# With the sets as they are now: other ones took over if they are not those that were searched. Row by row (OFFSET 0),
# or a plan that was made once for all tenants goes through all of a large one: 18 ms in place of 1, 10,000 chunks.
PASSAGES: Final = """
SELECT c.number, c.document_id, d.hash, d.title, d.url, d.metadata, c.heading, c.text, c.span_start, c.span_end,
       coalesce(k.words_set, k.id) AS words_set, coalesce(k.vectors_set, k.id) AS vectors_set
FROM knowledge_bases k, unnest($3::bigint[]) asked,
LATERAL (SELECT * FROM chunks WHERE tenant_id = $1 AND kb_id = $2 AND number = asked OFFSET 0) c,
LATERAL (SELECT * FROM documents WHERE tenant_id = $1 AND kb_id = $2 AND id = c.document_id OFFSET 0) d
WHERE k.tenant_id = $1 AND k.id = $2
"""
