-- Vector stores: what clients of OpenAI's API see of a knowledge base, the files in it, and batches of them. A store has
-- the id of its knowledge base; the document of a file is named by the file's public id.

ALTER TABLE documents ADD COLUMN chunking jsonb;  -- as asked for; null: by its structure

CREATE TABLE vector_stores (
    tenant_id      uuid NOT NULL,
    id             uuid NOT NULL,          -- seen outside as vs_<hex>, which is the name of the knowledge base
    title          text NOT NULL,          -- what clients call its name; need not be unique
    description    text,
    metadata       jsonb NOT NULL,
    expires_days   integer CHECK (expires_days BETWEEN 1 AND 365),
    state          text NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'expired', 'deleted')),
    created_at     timestamptz NOT NULL DEFAULT now(),
    last_active_at timestamptz NOT NULL DEFAULT now(),
    expires_at     timestamptz,            -- last_active_at and the days; what is in it goes then, and it stays
    emptied_at     timestamptz,            -- no longer live, and nothing is left in it
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, id) REFERENCES knowledge_bases (tenant_id, id)
);
CREATE INDEX vector_stores_by_title ON vector_stores (tenant_id, title) WHERE state = 'live';
CREATE INDEX vector_stores_by_expiry ON vector_stores (tenant_id, expires_at) WHERE expires_at IS NOT NULL AND state = 'live';
CREATE INDEX vector_stores_to_empty ON vector_stores (tenant_id) WHERE state <> 'live' AND emptied_at IS NULL;
ALTER TABLE vector_stores ENABLE ROW LEVEL SECURITY;
ALTER TABLE vector_stores FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON vector_stores USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON vector_stores TO tenfold_app;

CREATE TABLE vector_store_files (
    tenant_id     uuid NOT NULL,
    store_id      uuid NOT NULL,
    file_id       uuid NOT NULL,           -- no foreign key: the file itself may be deleted, what was read of it stays
    added         uuid NOT NULL,           -- UUIDv7: the order of lists
    job_id        uuid NOT NULL,           -- of the job that reads it in, or did: another one leaves it alone
    filename      text NOT NULL,
    attributes    jsonb NOT NULL,
    chunking      jsonb,                   -- null: by its structure
    status        text NOT NULL DEFAULT 'in_progress' CHECK (status IN ('in_progress', 'completed', 'failed', 'cancelled')),
    begun         boolean NOT NULL DEFAULT false, -- in progress: its job is at it
    error_code    text,
    error_message text,
    usage_bytes   bigint NOT NULL DEFAULT 0,      -- of the text that was read from it
    pages         integer[] NOT NULL DEFAULT '{}', -- where in the text each page begins
    created_at    timestamptz NOT NULL DEFAULT now(),
    changed_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, store_id, file_id),
    FOREIGN KEY (tenant_id, store_id) REFERENCES vector_stores (tenant_id, id)
);
CREATE UNIQUE INDEX vector_store_files_by_age ON vector_store_files (tenant_id, store_id, added);
CREATE INDEX vector_store_files_by_file ON vector_store_files (tenant_id, file_id);
CREATE INDEX vector_store_files_by_status ON vector_store_files (tenant_id, store_id, status) INCLUDE (usage_bytes);
CREATE INDEX vector_store_files_under_way ON vector_store_files (tenant_id, changed_at) WHERE status = 'in_progress';
ALTER TABLE vector_store_files ENABLE ROW LEVEL SECURITY;
ALTER TABLE vector_store_files FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON vector_store_files
    USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON vector_store_files TO tenfold_app;

CREATE TABLE vector_store_batches (
    tenant_id    uuid NOT NULL,
    id           uuid NOT NULL,            -- seen outside as vsfb_<hex>
    store_id     uuid NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    cancelled_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, store_id) REFERENCES vector_stores (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX vector_store_batches_of_store ON vector_store_batches (tenant_id, store_id);
ALTER TABLE vector_store_batches ENABLE ROW LEVEL SECURITY;
ALTER TABLE vector_store_batches FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON vector_store_batches
    USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON vector_store_batches TO tenfold_app;

CREATE TABLE vector_store_batch_files (
    tenant_id uuid NOT NULL,
    batch_id  uuid NOT NULL,
    store_id  uuid NOT NULL,
    file_id   uuid NOT NULL,
    PRIMARY KEY (tenant_id, batch_id, file_id),
    FOREIGN KEY (tenant_id, batch_id) REFERENCES vector_store_batches (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, store_id, file_id)
        REFERENCES vector_store_files (tenant_id, store_id, file_id) ON DELETE CASCADE
);
CREATE INDEX vector_store_batch_files_of_file ON vector_store_batch_files (tenant_id, store_id, file_id);
ALTER TABLE vector_store_batch_files ENABLE ROW LEVEL SECURITY;
ALTER TABLE vector_store_batch_files FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON vector_store_batch_files
    USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, DELETE ON vector_store_batch_files TO tenfold_app;

-- Which of these tenants have stores to empty, or files whose job may be gone. As in 0018 it runs with the rights of
-- whoever calls it and looks into one tenant after the other.
CREATE FUNCTION tenfold.tenants_with_vector_stores_to_tidy(among uuid[]) RETURNS SETOF uuid
    LANGUAGE plpgsql SET search_path = tenfold, pg_temp
AS $$
DECLARE
    tenant uuid;
BEGIN
    FOREACH tenant IN ARRAY among LOOP
        PERFORM set_config('tenfold.tenant_id', tenant::text, true);
        IF EXISTS (SELECT FROM vector_stores s WHERE s.tenant_id = tenant AND s.state = 'live' AND s.expires_at <= now())
           OR EXISTS (SELECT FROM vector_stores s
                      WHERE s.tenant_id = tenant AND s.state <> 'live' AND s.emptied_at IS NULL)
           OR EXISTS (SELECT FROM knowledge_bases k
                      WHERE k.tenant_id = tenant AND k.name LIKE 'vs\_%'
                        AND NOT EXISTS (SELECT FROM vector_stores s WHERE s.tenant_id = tenant AND s.id = k.id))
           OR EXISTS (SELECT FROM vector_store_files f
                      WHERE f.tenant_id = tenant AND f.status = 'in_progress'
                        AND f.changed_at <= now() - interval '1 minute') THEN
            RETURN NEXT tenant;
        END IF;
    END LOOP;
    PERFORM set_config('tenfold.tenant_id', '', true);
END $$;

REVOKE ALL ON FUNCTION tenfold.tenants_with_vector_stores_to_tidy(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenfold.tenants_with_vector_stores_to_tidy(uuid[]) TO tenfold_app;
