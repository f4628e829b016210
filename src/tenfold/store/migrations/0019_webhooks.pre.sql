-- Endpoints of tenants that events are posted to, and the log of what was posted. Secrets stand as they are: whoever signs
-- needs them.

CREATE TABLE webhook_endpoints (
    tenant_id        uuid NOT NULL REFERENCES tenants (id),
    id               uuid NOT NULL,
    url              text NOT NULL,
    events           text[] NOT NULL,
    description      text NOT NULL,
    secret           text NOT NULL,
    old_secret       text,                  -- signs as well, until
    old_secret_until timestamptz,
    disabled_by      text CHECK (disabled_by IN ('asked', 'gone', 'failing')),
    failing_since    timestamptz,           -- it has taken nothing since
    failures         integer NOT NULL DEFAULT 0, -- attempts since then
    revision         integer NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
ALTER TABLE webhook_endpoints ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_endpoints FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON webhook_endpoints USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_endpoints TO tenfold_app;

-- From its first attempt on; before that an event is a job that waits. It outlives its endpoint, until its time is over.
CREATE TABLE webhook_deliveries (
    tenant_id       uuid NOT NULL REFERENCES tenants (id),
    id              uuid NOT NULL,
    endpoint_id     uuid NOT NULL,
    event_id        uuid NOT NULL,
    type            text NOT NULL,
    resource        text NOT NULL,
    body            bytea NOT NULL,
    state           text NOT NULL CHECK (state IN ('waiting', 'delivered', 'failed')),
    attempts        integer NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL,
    job_id          uuid NOT NULL,          -- that tries now, or tried last
    last_at         timestamptz NOT NULL,
    last_status     smallint,
    last_latency_ms integer NOT NULL,
    last_reply      text NOT NULL,
    last_error      text,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX webhook_deliveries_of ON webhook_deliveries (tenant_id, endpoint_id, id);
CREATE INDEX webhook_deliveries_failed ON webhook_deliveries (tenant_id, endpoint_id, id) WHERE state = 'failed';
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (tenant_id, id) WHERE state = 'waiting';
CREATE INDEX webhook_deliveries_by_job ON webhook_deliveries (tenant_id, job_id);
CREATE INDEX webhook_deliveries_by_age ON webhook_deliveries (tenant_id, created_at);
ALTER TABLE webhook_deliveries ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_deliveries FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON webhook_deliveries USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_deliveries TO tenfold_app;

CREATE TABLE webhook_attempts (
    tenant_id   uuid NOT NULL,
    delivery_id uuid NOT NULL,
    number      integer NOT NULL,           -- from 1
    at          timestamptz NOT NULL,
    status      smallint,                   -- NULL: there was no answer
    latency_ms  integer NOT NULL,
    reply       text NOT NULL,
    error       text,
    PRIMARY KEY (tenant_id, delivery_id, number),
    FOREIGN KEY (tenant_id, delivery_id) REFERENCES webhook_deliveries (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE webhook_attempts ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_attempts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON webhook_attempts USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, DELETE ON webhook_attempts TO tenfold_app;

-- Which of these tenants have deliveries from before then. It runs with the rights of whoever calls it and looks into one
-- tenant after the other, as it could itself.
CREATE FUNCTION tenfold.tenants_with_old_deliveries(among uuid[], before timestamptz) RETURNS SETOF uuid
    LANGUAGE plpgsql SET search_path = tenfold, pg_temp
AS $$
DECLARE
    tenant uuid;
BEGIN
    FOREACH tenant IN ARRAY among LOOP
        PERFORM set_config('tenfold.tenant_id', tenant::text, true);
        IF EXISTS (SELECT FROM webhook_deliveries d WHERE d.tenant_id = tenant AND d.created_at < before) THEN
            RETURN NEXT tenant;
        END IF;
    END LOOP;
    PERFORM set_config('tenfold.tenant_id', '', true);
END $$;
REVOKE ALL ON FUNCTION tenfold.tenants_with_old_deliveries(uuid[], timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenfold.tenants_with_old_deliveries(uuid[], timestamptz) TO tenfold_app;
