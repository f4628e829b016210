-- Durable work. What a worker must see of all tenants to choose its next job stands in job_queue, a directory table of
-- what waits or runs, without any of the tenant's data; the rest is the tenant's, in jobs and job_events.

CREATE TABLE jobs (
    tenant_id        uuid NOT NULL REFERENCES tenants (id),
    id               uuid NOT NULL,
    kind             text NOT NULL CHECK (length(kind) <= 40),
    subject          text,
    asked            jsonb NOT NULL,        -- attempts, delays, and on whose behalf
    input            bytea NOT NULL,
    dedup            text,
    state            text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'done', 'failed', 'cancelled')), -- running: job_queue
    priority         smallint NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    ended_at         timestamptz,
    expires_at       timestamptz,           -- ended: deleted after this
    attempts         integer NOT NULL DEFAULT 0,
    max_attempts     integer NOT NULL,
    crashes          integer NOT NULL DEFAULT 0,
    started_at       timestamptz,
    progress         jsonb,
    cost_nano        bigint NOT NULL DEFAULT 0,
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
    fence            integer NOT NULL DEFAULT 0, -- how often it was claimed
    crashes          integer NOT NULL DEFAULT 0,
    claimed_at       timestamptz,
    cancel_requested boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, job_id)
);
CREATE INDEX job_queue_ready ON job_queue (tenant_id, priority DESC, job_id) WHERE due AND holder IS NULL;
CREATE INDEX job_queue_later ON job_queue (run_at) WHERE NOT due;
CREATE INDEX job_queue_held ON job_queue (holder) WHERE holder IS NOT NULL;
CREATE INDEX job_queue_ordered ON job_queue (tenant_id, order_key, job_id) WHERE order_key IS NOT NULL;
GRANT SELECT, INSERT, UPDATE, DELETE ON job_queue TO tenfold_app;

-- Whose turn it is: of the tenants that wait, the one with the smallest. A claimed job moves it on by 1 / weight.
CREATE TABLE job_turns (
    tenant_id uuid PRIMARY KEY,
    turn      double precision NOT NULL,
    weight    integer NOT NULL CHECK (weight >= 1)
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
