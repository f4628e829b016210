-- Knowledge bases: documents cut into chunks, an inverted index for BM25, and vectors.
--
-- The inverted index is rows and not GIN: under row-level security an index serves only leakproof operators, and `@@`
-- is not one, so a GIN index would never be used; and `tenant_id` could not come first in it.

CREATE TABLE knowledge_bases (
    tenant_id         uuid NOT NULL REFERENCES tenants (id),
    id                uuid NOT NULL,
    name              text NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 200),
    analyzer          integer NOT NULL,           -- version of the words in `postings`
    next_chunk        bigint NOT NULL DEFAULT 0,  -- numbers are given once and never again
    document_count    bigint NOT NULL DEFAULT 0,
    chunk_count       bigint NOT NULL DEFAULT 0,
    term_total        bigint NOT NULL DEFAULT 0,  -- of all chunks, for their average length
    revision          bigint NOT NULL DEFAULT 0,  -- raised by every change
    embedder          text,                       -- fingerprint of the model that made the vectors
    embedded_revision bigint,                     -- the revision that had all its vectors
    write_holder      uuid,                       -- who changes documents now, and until when at most
    write_until       timestamptz,
    embed_holder      uuid,                       -- who fills in vectors now
    embed_until       timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name)
);

CREATE TABLE documents (
    tenant_id   uuid NOT NULL,
    kb_id       uuid NOT NULL,
    id          text NOT NULL CHECK (octet_length(id) BETWEEN 1 AND 1024),  -- the caller's own
    hash        text NOT NULL,                                               -- of all that was said of it
    title       text NOT NULL,
    url         text NOT NULL,
    metadata    jsonb NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, kb_id, id),
    FOREIGN KEY (tenant_id, kb_id) REFERENCES knowledge_bases (tenant_id, id)
);

CREATE TABLE chunks (
    tenant_id   uuid NOT NULL,
    kb_id       uuid NOT NULL,
    number      bigint NOT NULL,
    document_id text NOT NULL,
    ordinal     integer NOT NULL,     -- place in the document
    heading     text NOT NULL,        -- path of headings: "Guide > Install"
    text        text NOT NULL,
    span_start  integer NOT NULL,     -- characters of the document: text = document[span_start:span_end]
    span_end    integer NOT NULL,
    PRIMARY KEY (tenant_id, kb_id, number),
    FOREIGN KEY (tenant_id, kb_id, document_id) REFERENCES documents (tenant_id, kb_id, id)
);
CREATE INDEX chunks_of_document ON chunks (tenant_id, kb_id, document_id, ordinal);

-- An entry is (number << 24) | (length << 8) | frequency, of 16 and 8 bits: scoring reads this table and no other.
-- A bucket holds 128 chunks, so that a row stays under 2 kB and in place.
CREATE TABLE postings (
    tenant_id   uuid NOT NULL,
    kb_id       uuid NOT NULL,
    term        text COLLATE "C" NOT NULL,
    bucket      bigint NOT NULL,      -- number >> 7
    entries     bigint[] NOT NULL,
    PRIMARY KEY (tenant_id, kb_id, term, bucket),
    FOREIGN KEY (tenant_id, kb_id) REFERENCES knowledge_bases (tenant_id, id)
);

-- Apart from the chunks, so that an exact scan of a tenant reads vectors and nothing else. Without pgvector they are
-- plain arrays, which only re-rank what the words found. The type has no size: a knowledge base may have another model.
DO $$
BEGIN
    EXECUTE format(
        'CREATE TABLE chunk_vectors (
            tenant_id   uuid NOT NULL,
            kb_id       uuid NOT NULL,
            number      bigint NOT NULL,
            embedding   %s NOT NULL,
            PRIMARY KEY (tenant_id, kb_id, number),
            FOREIGN KEY (tenant_id, kb_id, number) REFERENCES chunks (tenant_id, kb_id, number)
        ) PARTITION BY HASH (tenant_id)',
        CASE WHEN to_regtype('halfvec') IS NULL THEN 'real[]' ELSE 'halfvec' END
    );
    FOR part IN 0..7 LOOP
        EXECUTE format(
            'CREATE TABLE chunk_vectors_%s PARTITION OF chunk_vectors FOR VALUES WITH (MODULUS 8, REMAINDER %s)', part, part
        );
        EXECUTE format('ALTER TABLE chunk_vectors_%s ENABLE ROW LEVEL SECURITY', part);
        EXECUTE format('ALTER TABLE chunk_vectors_%s FORCE ROW LEVEL SECURITY', part);
        EXECUTE format(
            'CREATE POLICY tenant ON chunk_vectors_%s USING (tenant_id = tenfold.tenant_id())
             WITH CHECK (tenant_id = tenfold.tenant_id())', part
        );
    END LOOP;
END $$;

ALTER TABLE knowledge_bases ENABLE ROW LEVEL SECURITY;
ALTER TABLE knowledge_bases FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON knowledge_bases
    USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());

ALTER TABLE documents ENABLE ROW LEVEL SECURITY;
ALTER TABLE documents FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON documents USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());

ALTER TABLE chunks ENABLE ROW LEVEL SECURITY;
ALTER TABLE chunks FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON chunks USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());

ALTER TABLE postings ENABLE ROW LEVEL SECURITY;
ALTER TABLE postings FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON postings USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());

ALTER TABLE chunk_vectors ENABLE ROW LEVEL SECURITY;
ALTER TABLE chunk_vectors FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON chunk_vectors USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());

GRANT SELECT, INSERT, UPDATE, DELETE ON knowledge_bases, documents, chunks, postings, chunk_vectors TO tenfold_app;
