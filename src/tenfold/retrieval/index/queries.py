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
