-- Schedules: what becomes a job at the times that a cron expression names. When the next one is due must be seen of all
-- tenants, so that stands in schedule_due, a directory table without any of the tenant's data.

CREATE TABLE schedules (
    tenant_id  uuid NOT NULL REFERENCES tenants (id),
    id         uuid NOT NULL,
    name       text NOT NULL,
    cron       text NOT NULL,
    zone       text NOT NULL,
    kind       text NOT NULL,
    asked      bytea NOT NULL,
    principal  jsonb NOT NULL,
    missed     text NOT NULL CHECK (missed IN ('skip', 'last', 'all')),
    paused     boolean NOT NULL,
    next_at    timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    version    bigint NOT NULL DEFAULT 1,
    last_at    timestamptz,
    last_job   uuid,
    error      text,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name)
);
ALTER TABLE schedules ENABLE ROW LEVEL SECURITY;
ALTER TABLE schedules FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON schedules USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON schedules TO tenfold_app;

CREATE TABLE schedule_due (
    tenant_id   uuid NOT NULL,
    schedule_id uuid NOT NULL,
    due_at      timestamptz NOT NULL,   -- of a claimed one: when it may be claimed again
    PRIMARY KEY (tenant_id, schedule_id)
);
CREATE INDEX schedule_due_by_time ON schedule_due (due_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON schedule_due TO tenfold_app;
