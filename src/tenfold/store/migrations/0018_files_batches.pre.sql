-- Files that clients hand in and that batches leave behind, in the database so that every machine sees them; and batches
-- with the results of their lines, which are rows until they are put together to files.

CREATE TABLE files (
    tenant_id  uuid NOT NULL REFERENCES tenants (id),
    id         uuid NOT NULL,           -- seen outside as file-<hex>
    filename   text NOT NULL,
    purpose    text NOT NULL,
    bytes      bigint NOT NULL DEFAULT 0,
    whole      boolean NOT NULL DEFAULT false, -- false: it is being written, and nobody sees it
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,             -- deleted after this; of one that is being written, put off with each piece
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX files_by_expiry ON files (tenant_id, expires_at) WHERE expires_at IS NOT NULL;
ALTER TABLE files ENABLE ROW LEVEL SECURITY;
ALTER TABLE files FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON files USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON files TO tenfold_app;

CREATE TABLE file_chunks (
    tenant_id uuid NOT NULL,
    file_id   uuid NOT NULL,
    number    integer NOT NULL,         -- from 0, without gaps
    data      bytea NOT NULL,
    PRIMARY KEY (tenant_id, file_id, number),
    FOREIGN KEY (tenant_id, file_id) REFERENCES files (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE file_chunks ALTER data SET STORAGE EXTERNAL; -- compressing takes three times as long as writing (13, 40 MB/s)
ALTER TABLE file_chunks ENABLE ROW LEVEL SECURITY;
ALTER TABLE file_chunks FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON file_chunks USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, DELETE ON file_chunks TO tenfold_app;

CREATE TABLE batches (
    tenant_id       uuid NOT NULL REFERENCES tenants (id),
    id              uuid NOT NULL,      -- seen outside as batch_<hex>
    job_id          uuid NOT NULL,
    asked           jsonb NOT NULL,     -- input file, endpoint, window, metadata, options: inference/batches/types.Spec
    input_file_id   uuid NOT NULL,      -- no foreign key: the file may be deleted once the batch has ended
    status          text NOT NULL DEFAULT 'validating' CHECK (status IN
                    ('validating', 'failed', 'in_progress', 'finalizing', 'completed', 'expired', 'cancelling', 'cancelled')),
    model           text,               -- where all lines name the same one
    lapsed          boolean NOT NULL DEFAULT false, -- its window closed before all lines were done
    errors          jsonb,              -- why it failed
    output_file_id  uuid,
    error_file_id   uuid,
    total           integer NOT NULL DEFAULT 0,
    completed       integer NOT NULL DEFAULT 0,
    failed          integer NOT NULL DEFAULT 0,
    input_tokens    bigint NOT NULL DEFAULT 0,
    cached_tokens   bigint NOT NULL DEFAULT 0,
    output_tokens   bigint NOT NULL DEFAULT 0,
    reasoning_tokens bigint NOT NULL DEFAULT 0,
    cost_nano       bigint NOT NULL DEFAULT 0,
    created_at      timestamptz NOT NULL DEFAULT now(),
    expires_at      timestamptz NOT NULL, -- the end of its completion window
    in_progress_at  timestamptz,
    finalizing_at   timestamptz,
    cancelling_at   timestamptz,
    ended_at        timestamptz,
    delete_at       timestamptz,        -- ended: deleted after this
    version         bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX batches_by_input ON batches (tenant_id, input_file_id) WHERE ended_at IS NULL;
CREATE INDEX batches_unended ON batches (tenant_id, expires_at) WHERE ended_at IS NULL;
CREATE INDEX batches_by_deletion ON batches (tenant_id, delete_at) WHERE delete_at IS NOT NULL;
ALTER TABLE batches ENABLE ROW LEVEL SECURITY;
ALTER TABLE batches FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON batches USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON batches TO tenfold_app;

CREATE TABLE batch_results (
    tenant_id        uuid NOT NULL,
    batch_id         uuid NOT NULL,
    line             integer NOT NULL,  -- of the input file, from 1
    failed           boolean NOT NULL,
    input_tokens     bigint NOT NULL,
    cached_tokens    bigint NOT NULL,
    output_tokens    bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    cost_nano        bigint NOT NULL,
    data             bytea NOT NULL,    -- the line of the output or error file
    PRIMARY KEY (tenant_id, batch_id, line),
    FOREIGN KEY (tenant_id, batch_id) REFERENCES batches (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE batch_results ENABLE ROW LEVEL SECURITY;
ALTER TABLE batch_results FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON batch_results USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, DELETE ON batch_results TO tenfold_app;

-- Which of these tenants have files that have expired; batches that have, or that have not ended an hour after their
-- window. They run with the rights of whoever calls them and look into one tenant after the other, as it could itself.
CREATE FUNCTION tenfold.tenants_with_expired_files(among uuid[]) RETURNS SETOF uuid
    LANGUAGE plpgsql SET search_path = tenfold, pg_temp
AS $$
DECLARE
    tenant uuid;
BEGIN
    FOREACH tenant IN ARRAY among LOOP
        PERFORM set_config('tenfold.tenant_id', tenant::text, true);
        IF EXISTS (SELECT FROM files f WHERE f.tenant_id = tenant AND f.expires_at <= now()) THEN
            RETURN NEXT tenant;
        END IF;
    END LOOP;
    PERFORM set_config('tenfold.tenant_id', '', true);
END $$;

CREATE FUNCTION tenfold.tenants_with_old_batches(among uuid[]) RETURNS SETOF uuid
    LANGUAGE plpgsql SET search_path = tenfold, pg_temp
AS $$
DECLARE
    tenant uuid;
BEGIN
    FOREACH tenant IN ARRAY among LOOP
        PERFORM set_config('tenfold.tenant_id', tenant::text, true);
        IF EXISTS (SELECT FROM batches b WHERE b.tenant_id = tenant AND b.delete_at <= now())
           OR EXISTS (SELECT FROM batches b
                      WHERE b.tenant_id = tenant AND b.ended_at IS NULL AND b.expires_at <= now() - interval '1 hour') THEN
            RETURN NEXT tenant;
        END IF;
    END LOOP;
    PERFORM set_config('tenfold.tenant_id', '', true);
END $$;

REVOKE ALL ON FUNCTION tenfold.tenants_with_expired_files(uuid[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION tenfold.tenants_with_old_batches(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenfold.tenants_with_expired_files(uuid[]) TO tenfold_app;
GRANT EXECUTE ON FUNCTION tenfold.tenants_with_old_batches(uuid[]) TO tenfold_app;
