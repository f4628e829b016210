-- Durable work. What a worker must see of all tenants to choose its next job stands in job_queue, a directory table of
-- what waits or runs, without any of the tenant's data; the rest is the tenant's, in jobs and job_events.

CREATE TABLE jobs (
    tenant_id        uuid NOT NULL REFERENCES tenants (id),
    id               uuid NOT NULL,
    kind             text NOT NULL CHECK (length(kind) <= 40),
    subject          text,
    asked            jsonb NOT NULL,        -- attempts, delays, and on whose behalf
    input            bytea NOT NULL,        -- empty once it is done or cancelled
    dedup            text,
    state            text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'done', 'failed', 'cancelled')), -- running: job_queue
    priority         smallint NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    ended_at         timestamptz,
    expires_at       timestamptz,           -- ended: deleted after this
    max_attempts     integer NOT NULL,
    progress         jsonb,
    cost_nano        bigint NOT NULL DEFAULT 0,
    -- As long as it waits or runs these stand in job_queue; they are written at its end.
    attempts         integer NOT NULL DEFAULT 0,
    crashes          integer NOT NULL DEFAULT 0,
    fence            integer NOT NULL DEFAULT 0,
    run_at           timestamptz,
    started_at       timestamptz,
    cancel_requested boolean NOT NULL DEFAULT false,
    error_code       text,
    error_message    text,
    result           bytea,
    events           bigint NOT NULL DEFAULT 0, -- the number of the last one
    version          bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX jobs_once ON jobs (tenant_id, kind, dedup) WHERE dedup IS NOT NULL;
CREATE INDEX jobs_by_state ON jobs (tenant_id, state, id);
CREATE INDEX jobs_by_expiry ON jobs (tenant_id, expires_at) WHERE expires_at IS NOT NULL;
ALTER TABLE jobs ENABLE ROW LEVEL SECURITY;
ALTER TABLE jobs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON jobs USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON jobs TO tenfold_app;

CREATE TABLE job_events (
    tenant_id uuid NOT NULL,
    job_id    uuid NOT NULL,
    seq       bigint NOT NULL,
    kind      text NOT NULL,
    data      bytea NOT NULL,
    PRIMARY KEY (tenant_id, job_id, seq),
    FOREIGN KEY (tenant_id, job_id) REFERENCES jobs (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE job_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE job_events FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON job_events USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, DELETE ON job_events TO tenfold_app;

-- Directory tables.
CREATE TABLE job_queue (
    tenant_id        uuid NOT NULL,
    job_id           uuid NOT NULL,
    kind             text NOT NULL,
    priority         smallint NOT NULL,
    order_key        bytea,                 -- a digest: those of a tenant with the same one go one after the other
    input_bytes      integer NOT NULL,
    due              boolean NOT NULL,      -- false: run_at is still to come
    run_at           timestamptz NOT NULL,
    holder           uuid,                  -- the worker that does it
    fence            integer NOT NULL DEFAULT 0, -- grows with each claim, and whenever it is taken from a worker
    attempts         integer NOT NULL DEFAULT 0,
    crashes          integer NOT NULL DEFAULT 0,
    claimed_at       timestamptz,
    cancel_requested boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, job_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX job_queue_ready ON job_queue (tenant_id, priority DESC, job_id) WHERE due AND holder IS NULL;
CREATE INDEX job_queue_waited ON job_queue (tenant_id, run_at, job_id) WHERE due AND holder IS NULL;
CREATE INDEX job_queue_later ON job_queue (run_at) WHERE NOT due;
CREATE INDEX job_queue_held ON job_queue (holder) WHERE holder IS NOT NULL;
CREATE INDEX job_queue_ordered ON job_queue (tenant_id, order_key, job_id) WHERE order_key IS NOT NULL;
GRANT SELECT, INSERT, UPDATE, DELETE ON job_queue TO tenfold_app;

-- Whose turn it is: of the tenants that wait, the one with the smallest. A claimed job moves it on by 1 / weight. The row
-- of the nil tenant is the clock, the turn of the last job that was claimed: nobody begins before it.
CREATE TABLE job_turns (
    tenant_id uuid PRIMARY KEY,
    turn      double precision NOT NULL DEFAULT 0,
    weight    integer NOT NULL DEFAULT 1 CHECK (weight >= 1),
    claimed   bigint NOT NULL DEFAULT 0     -- how many of its jobs
);
GRANT SELECT, INSERT, UPDATE, DELETE ON job_turns TO tenfold_app;

CREATE TABLE job_workers (
    id          uuid PRIMARY KEY,
    slots       integer NOT NULL,
    busy        integer NOT NULL,
    ended       bigint NOT NULL,
    ended_per_s double precision NOT NULL DEFAULT 0,
    joined_at   timestamptz NOT NULL DEFAULT now(),
    seen_at     timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, UPDATE, DELETE ON job_workers TO tenfold_app;

-- What is asked of many tenants at once: the jobs that were claimed, and which of these tenants have jobs that were kept
-- long enough, or that failed before then. They run with the rights of whoever calls them and look into one tenant after
-- the other, as it could itself.
CREATE FUNCTION tenfold.claimed_jobs(tenant_ids uuid[], ids uuid[]) RETURNS SETOF tenfold.jobs
    LANGUAGE plpgsql SET search_path = tenfold, pg_temp
AS $$
BEGIN
    FOR i IN 1 .. coalesce(array_length(ids, 1), 0) LOOP
        PERFORM set_config('tenfold.tenant_id', tenant_ids[i]::text, true);
        RETURN QUERY SELECT * FROM jobs j WHERE j.tenant_id = tenant_ids[i] AND j.id = ids[i];
    END LOOP;
    PERFORM set_config('tenfold.tenant_id', '', true);
END $$;

CREATE FUNCTION tenfold.tenants_with_expired_jobs(among uuid[]) RETURNS SETOF uuid
    LANGUAGE plpgsql SET search_path = tenfold, pg_temp
AS $$
DECLARE
    tenant uuid;
BEGIN
    FOREACH tenant IN ARRAY among LOOP
        PERFORM set_config('tenfold.tenant_id', tenant::text, true);
        IF EXISTS (SELECT FROM jobs j WHERE j.tenant_id = tenant AND j.expires_at <= now()) THEN
            RETURN NEXT tenant;
        END IF;
    END LOOP;
    PERFORM set_config('tenfold.tenant_id', '', true);
END $$;

CREATE FUNCTION tenfold.tenants_with_dead_jobs(among uuid[], before timestamptz)
    RETURNS TABLE (tenant_id uuid, jobs bigint, oldest timestamptz)
    LANGUAGE plpgsql SET search_path = tenfold, pg_temp
AS $$
DECLARE
    tenant uuid;
BEGIN
    FOREACH tenant IN ARRAY among LOOP
        PERFORM set_config('tenfold.tenant_id', tenant::text, true);
        RETURN QUERY SELECT tenant, count(*), min(j.ended_at) FROM jobs j
                     WHERE j.tenant_id = tenant AND j.state = 'failed' AND j.ended_at <= before HAVING count(*) > 0;
    END LOOP;
    PERFORM set_config('tenfold.tenant_id', '', true);
END $$;

REVOKE ALL ON FUNCTION tenfold.claimed_jobs(uuid[], uuid[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION tenfold.tenants_with_expired_jobs(uuid[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION tenfold.tenants_with_dead_jobs(uuid[], timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenfold.claimed_jobs(uuid[], uuid[]) TO tenfold_app;
GRANT EXECUTE ON FUNCTION tenfold.tenants_with_expired_jobs(uuid[]) TO tenfold_app;
GRANT EXECUTE ON FUNCTION tenfold.tenants_with_dead_jobs(uuid[], timestamptz) TO tenfold_app;
