-- Rate limits: what tenants may use, and the buckets that processes without a Valkey share.

CREATE TABLE limits (
    tenant_id  uuid NOT NULL REFERENCES tenants (id),
    id         uuid NOT NULL,
    per        text NOT NULL CHECK (per IN ('tenant', 'key', 'model', 'end_user')),
    subject    text CHECK (length(subject) BETWEEN 1 AND 256), -- NULL: each
    measure    text NOT NULL CHECK (measure IN ('requests', 'tokens', 'usd', 'concurrency')),
    amount     bigint NOT NULL CHECK (amount > 0), -- requests, tokens, 10^-9 USD, calls at once
    window_s   integer CHECK (window_s > 0),
    burst      bigint CHECK (burst > 0),
    owner      text NOT NULL CHECK (owner IN ('operator', 'tenant')),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CHECK ((window_s IS NULL) = (measure = 'concurrency')),
    CHECK (measure <> 'concurrency' OR burst IS NULL),
    CHECK (per <> 'tenant' OR subject IS NULL)
);
ALTER TABLE limits ENABLE ROW LEVEL SECURITY;
ALTER TABLE limits FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON limits USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, DELETE ON limits TO tenfold_app; -- a limit is not changed: it ends, and another begins

-- The tenant's share of a process that has all the calls it may have, beside the shares of the others.
CREATE TABLE tenant_weights (
    tenant_id uuid PRIMARY KEY REFERENCES tenants (id),
    weight    integer NOT NULL CHECK (weight BETWEEN 1 AND 1000)
);
ALTER TABLE tenant_weights ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant_weights FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tenant_weights
    USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE (weight) ON tenant_weights TO tenfold_app;

-- A bucket of one limit and subject: see tenfold/limits/gcra.py. A bucket whose backlog has drained is as good as none.
CREATE TABLE limit_buckets (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    bucket    text NOT NULL CHECK (length(bucket) <= 120),
    backlog   numeric NOT NULL DEFAULT 0, -- units times nanoseconds of the window
    at_ns     bigint NOT NULL DEFAULT 0,  -- when it was so, Unix time by the clock of the database
    granted   bigint NOT NULL DEFAULT 0,  -- by the last statement
    empty_ns  bigint NOT NULL DEFAULT 0,  -- when it will have drained
    PRIMARY KEY (tenant_id, bucket)
) WITH (fillfactor = 50); -- no column that changes is indexed, so with room on the page no index is touched
ALTER TABLE limit_buckets ENABLE ROW LEVEL SECURITY;
ALTER TABLE limit_buckets FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON limit_buckets
    USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE (backlog, at_ns, granted, empty_ns), DELETE ON limit_buckets TO tenfold_app;

-- Calls at once: how many each process has, until when. The row of limit_buckets is their lock.
CREATE TABLE limit_slots (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    bucket    text NOT NULL CHECK (length(bucket) <= 120),
    holder    uuid NOT NULL,
    held      bigint NOT NULL CHECK (held > 0),
    until     timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, bucket, holder)
);
ALTER TABLE limit_slots ENABLE ROW LEVEL SECURITY;
ALTER TABLE limit_slots FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON limit_slots
    USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE (held, until), DELETE ON limit_slots TO tenfold_app;
