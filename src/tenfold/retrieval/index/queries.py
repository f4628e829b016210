"""The SQL of sets. Every statement names the tenant ($1) and the knowledge base ($2)."""

from typing import Final

# -- words ------------------------------------------------------------------------

BEGIN_WORDS: Final = """
UPDATE knowledge_bases
SET discarded_words = array_remove(discarded_words || next_words_set, NULL), next_words_set = $3
WHERE tenant_id = $1 AND id = $2
"""

# $3 version of the analyzer, $4 words in all.
SWITCH_WORDS: Final = """
UPDATE knowledge_bases
SET discarded_words = discarded_words || coalesce(words_set, id), words_set = next_words_set, next_words_set = NULL,
    analyzer = $3, term_total = $4
WHERE tenant_id = $1 AND id = $2 AND next_words_set IS NOT NULL
"""

# -- vectors ------------------------------------------------------------------------

# $3 the new set, $4 fingerprint of its model.
BEGIN_VECTORS: Final = """
UPDATE knowledge_bases
SET discarded_vectors = array_remove(discarded_vectors || next_vectors_set, NULL), next_vectors_set = $3,
    next_embedder = $4
WHERE tenant_id = $1 AND id = $2
"""

# $2 is the set.
COUNT_VECTORS: Final = "SELECT count(*) FROM chunk_vectors WHERE tenant_id = $1 AND kb_id = $2"

SWITCH_VECTORS: Final = """
UPDATE knowledge_bases
SET discarded_vectors = discarded_vectors || coalesce(vectors_set, id), vectors_set = next_vectors_set,
    embedder = next_embedder, embedded_revision = revision, next_vectors_set = NULL, next_embedder = NULL
WHERE tenant_id = $1 AND id = $2 AND next_vectors_set IS NOT NULL
"""

# -- what was discarded ------------------------------------------------------------------------

# $2 is the set, $3 how many rows at most.
DELETE_WORDS_OF: Final = """
DELETE FROM postings WHERE tenant_id = $1 AND kb_id = $2 AND (term, bucket) IN (
    SELECT term, bucket FROM postings WHERE tenant_id = $1 AND kb_id = $2 ORDER BY term, bucket LIMIT $3)
"""
DELETE_VECTORS_OF: Final = """
DELETE FROM chunk_vectors WHERE tenant_id = $1 AND kb_id = $2 AND number IN (
    SELECT number FROM chunk_vectors WHERE tenant_id = $1 AND kb_id = $2 ORDER BY number LIMIT $3)
"""
WORDS_ARE_GONE: Final = """
UPDATE knowledge_bases SET discarded_words = array_remove(discarded_words, $3) WHERE tenant_id = $1 AND id = $2
"""
VECTORS_ARE_GONE: Final = """
UPDATE knowledge_bases SET discarded_vectors = array_remove(discarded_vectors, $3) WHERE tenant_id = $1 AND id = $2
"""

# -- a rebuild ------------------------------------------------------------------------

DOCUMENTS_AFTER: Final = """
SELECT id, hash, title, url, metadata, chunking, text FROM documents
WHERE tenant_id = $1 AND kb_id = $2 AND id > $3 ORDER BY id LIMIT $4
"""

CHUNKS_OF: Final = """
SELECT document_id, heading, text, span_start, span_end FROM chunks
WHERE tenant_id = $1 AND kb_id = $2 AND document_id = ANY ($3::text[]) ORDER BY document_id, ordinal
"""

COUNTED: Final = """
SELECT document_count, chunk_count,
       (SELECT count(*) FROM documents d WHERE d.tenant_id = $1 AND d.kb_id = $2) AS documents,
       (SELECT count(*) FROM chunks c WHERE c.tenant_id = $1 AND c.kb_id = $2) AS chunks
FROM knowledge_bases WHERE tenant_id = $1 AND id = $2
"""
NOTED_WORDS: Final = "SELECT term_total FROM knowledge_bases WHERE tenant_id = $1 AND id = $2"
SET_COUNTS: Final = """
UPDATE knowledge_bases SET document_count = $3, chunk_count = $4 WHERE tenant_id = $1 AND id = $2
"""

# The last of the next $5 words after $4 in two sets, $2 and $3; null at their end.
WORDS_UNTIL: Final = """
SELECT min(term) FROM (
    (SELECT term FROM postings WHERE tenant_id = $1 AND kb_id = $2 AND term > $4 ORDER BY term OFFSET $5 LIMIT 1)
    UNION ALL
    (SELECT term FROM postings WHERE tenant_id = $1 AND kb_id = $3 AND term > $4 ORDER BY term OFFSET $5 LIMIT 1)
) ends
"""

# Rows of two sets with words after $4 and up to $5. An entry names its chunk, so the order in a row says nothing.
COMPARE_WORDS: Final = """
WITH one AS MATERIALIZED (
    SELECT term, bucket, entries FROM postings
    WHERE tenant_id = $1 AND kb_id = $2 AND term > $4 AND ($5::text IS NULL OR term <= $5::text)
), other AS MATERIALIZED (
    SELECT term, bucket, entries FROM postings
    WHERE tenant_id = $1 AND kb_id = $3 AND term > $4 AND ($5::text IS NULL OR term <= $5::text)
), pairs AS (
    SELECT coalesce(o.term, n.term) AS term, coalesce(o.bucket, n.bucket) AS bucket,
           coalesce(cardinality(o.entries) = cardinality(n.entries)
                    AND o.entries @> n.entries AND o.entries <@ n.entries, false) AS same
    FROM one o FULL JOIN other n ON n.term = o.term AND n.bucket = o.bucket
)
SELECT count(*) AS checked, count(*) FILTER (WHERE NOT same) AS differing,
       (array_agg(term || ' in chunks ' || (bucket << 7) || '-' || ((bucket << 7) + 127) ORDER BY term, bucket)
        FILTER (WHERE NOT same))[1:$6] AS examples
FROM pairs
"""

# The chunks after $4 with their vectors in two sets, $2 and $3; $6 is the knowledge base.
VECTORS_AFTER: Final = """
SELECT c.number, c.document_id, c.ordinal, o.embedding::real[] AS one, n.embedding::real[] AS other
FROM chunks c
LEFT JOIN chunk_vectors o ON o.tenant_id = $1 AND o.kb_id = $2 AND o.number = c.number
LEFT JOIN chunk_vectors n ON n.tenant_id = $1 AND n.kb_id = $3 AND n.number = c.number
WHERE c.tenant_id = $1 AND c.kb_id = $6 AND c.number > $4 ORDER BY c.number LIMIT $5
"""

# Vectors of chunks that are gone: in the set $2 of the knowledge base $3.
ORPHANS: Final = """
SELECT count(*) FROM chunk_vectors v WHERE v.tenant_id = $1 AND v.kb_id = $2 AND NOT EXISTS (
    SELECT FROM chunks c WHERE c.tenant_id = $1 AND c.kb_id = $3 AND c.number = v.number)
"""

# -- status ------------------------------------------------------------------------

# A page of the tenant's knowledge bases after the name $2.
INDEXES: Final = """
SELECT name, document_count, chunk_count, embedder, embedded_revision = revision AS embedded, next_embedder,
       cardinality(discarded_words) + cardinality(discarded_vectors) AS discarded,
       (SELECT count(*) FROM chunk_vectors v
        WHERE v.tenant_id = $1 AND v.kb_id = coalesce(k.vectors_set, k.id)) AS vectors,
       (SELECT count(*) FROM chunk_vectors v WHERE v.tenant_id = $1 AND v.kb_id = k.next_vectors_set) AS next_vectors,
       (SELECT count(*) FROM documents d WHERE d.tenant_id = $1 AND d.kb_id = k.id AND d.text IS NULL) AS without_text
FROM knowledge_bases k WHERE tenant_id = $1 AND name > $2 ORDER BY name LIMIT $3
"""

# Knowledge bases with vectors of another embedder than $2, or with something to delete.
TO_MAKE: Final = """
SELECT name FROM knowledge_bases
WHERE tenant_id = $1 AND (embedder <> $2 OR discarded_words <> '{}' OR discarded_vectors <> '{}') ORDER BY name
"""
TENANTS_TO_MAKE: Final = "SELECT t FROM tenfold.tenants_with_sets_to_make($1::uuid[], $2) t"

# -- the end ------------------------------------------------------------------------

# Not while anything of it is left, which would be orphaned.
DELETE_KB: Final = """
DELETE FROM knowledge_bases
WHERE tenant_id = $1 AND id = $2 AND next_words_set IS NULL AND next_vectors_set IS NULL AND discarded_words = '{}'
  AND discarded_vectors = '{}'
  AND NOT EXISTS (SELECT FROM documents d WHERE d.tenant_id = $1 AND d.kb_id = $2)
RETURNING id
"""
