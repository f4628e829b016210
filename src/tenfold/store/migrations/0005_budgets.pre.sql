-- Budgets: how much may be spent, what was spent of it, and what processes hold of it. 10^-9 USD everywhere.
--
-- reserved = settled + released + held, held = sum of (granted - settled - charged) over the leases of the period. Every
-- writer locks the row of the period first, so leases need no lock of their own.

CREATE TABLE budgets (
    tenant_id  uuid NOT NULL REFERENCES tenants (id),
    id         uuid NOT NULL,
    per        text NOT NULL CHECK (per IN ('tenant', 'key', 'feature', 'endpoint', 'model', 'run')),
    subject    text CHECK (length(subject) BETWEEN 1 AND 200), -- NULL: each has this much for itself
    period     text NOT NULL CHECK (period IN ('day', 'month', 'total')),
    limit_nano bigint NOT NULL CHECK (limit_nano >= 0),
    hard       boolean NOT NULL,
    alerts     smallint[] NOT NULL,                            -- percentages of the limit
    owner      text NOT NULL CHECK (owner IN ('operator', 'tenant')),
    created_at timestamptz NOT NULL,
    ended_at   timestamptz,
    PRIMARY KEY (tenant_id, id)
);
ALTER TABLE budgets ENABLE ROW LEVEL SECURITY;
ALTER TABLE budgets FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON budgets USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE (limit_nano, hard, alerts, ended_at) ON budgets TO tenfold_app;

CREATE TABLE budget_periods (
    tenant_id     uuid NOT NULL REFERENCES tenants (id),
    budget_id     uuid NOT NULL,
    subject       text NOT NULL,        -- '' for a tenant's
    period_start  timestamptz NOT NULL, -- 1970 where the period is 'total'
    reserved_nano bigint NOT NULL DEFAULT 0,
    settled_nano  bigint NOT NULL DEFAULT 0 CHECK (settled_nano >= 0),
    released_nano bigint NOT NULL DEFAULT 0 CHECK (released_nano >= 0),
    PRIMARY KEY (tenant_id, budget_id, subject, period_start),
    FOREIGN KEY (tenant_id, budget_id) REFERENCES budgets (tenant_id, id),
    CHECK (reserved_nano >= settled_nano + released_nano)
) WITH (fillfactor = 50); -- changed with every batch of receipts: in place, while the page has room
ALTER TABLE budget_periods ENABLE ROW LEVEL SECURITY;
ALTER TABLE budget_periods FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON budget_periods
    USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE (reserved_nano, settled_nano, released_nano) ON budget_periods TO tenfold_app;

-- One row for each holder, budget, subject and period; closed and opened again as the holder comes and goes.
CREATE TABLE budget_leases (
    tenant_id    uuid NOT NULL REFERENCES tenants (id),
    id           uuid NOT NULL,
    budget_id    uuid NOT NULL,
    subject      text NOT NULL,
    period_start timestamptz NOT NULL,
    holder       uuid NOT NULL,            -- members.id
    granted_nano bigint NOT NULL DEFAULT 0, -- net of what was given back
    settled_nano bigint NOT NULL DEFAULT 0 CHECK (settled_nano >= 0),
    charged_nano bigint NOT NULL DEFAULT 0 CHECK (charged_nano >= 0), -- counts as settled in the period, without a receipt
    opened_at    timestamptz NOT NULL DEFAULT now(),
    closed_at    timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, holder, budget_id, subject, period_start),
    FOREIGN KEY (tenant_id, budget_id, subject, period_start)
        REFERENCES budget_periods (tenant_id, budget_id, subject, period_start),
    CHECK (granted_nano >= settled_nano + charged_nano),
    CHECK (CASE WHEN closed_at IS NULL THEN charged_nano = 0 ELSE granted_nano = settled_nano + charged_nano END)
) WITH (fillfactor = 50);
CREATE INDEX budget_leases_held ON budget_leases (tenant_id, holder) WHERE closed_at IS NULL OR charged_nano > 0;
ALTER TABLE budget_leases ENABLE ROW LEVEL SECURITY;
ALTER TABLE budget_leases FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON budget_leases
    USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE (granted_nano, settled_nano, charged_nano, closed_at) ON budget_leases TO tenfold_app;

CREATE TABLE budget_alerts (
    tenant_id    uuid NOT NULL REFERENCES tenants (id),
    id           uuid NOT NULL,
    budget_id    uuid NOT NULL,
    subject      text NOT NULL,
    period_start timestamptz NOT NULL,
    percent      smallint NOT NULL,
    at           timestamptz NOT NULL DEFAULT now(),
    settled_nano bigint NOT NULL,
    limit_nano   bigint NOT NULL,
    tries        integer NOT NULL DEFAULT 0,
    due_at       timestamptz NOT NULL DEFAULT now(), -- nobody tries to deliver it before
    delivered_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, budget_id, subject, period_start, percent),
    FOREIGN KEY (tenant_id, budget_id, subject, period_start)
        REFERENCES budget_periods (tenant_id, budget_id, subject, period_start)
);
CREATE INDEX budget_alerts_pending ON budget_alerts (tenant_id, due_at) WHERE delivered_at IS NULL;
ALTER TABLE budget_alerts ENABLE ROW LEVEL SECURITY;
ALTER TABLE budget_alerts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON budget_alerts
    USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE (tries, due_at, delivered_at) ON budget_alerts TO tenfold_app;

-- Directory tables: where to look, for those who look in every tenant. Names only, nothing of what is there.

-- The tenants in which a process has leases, or had until it is taken over.
CREATE TABLE budget_holders (
    holder    uuid NOT NULL,
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    PRIMARY KEY (holder, tenant_id)
);
GRANT SELECT, INSERT, DELETE ON budget_holders TO tenfold_app;

-- The tenants that have alerts to deliver. `mark` is new with every alert, so that none is missed by who clears the row.
CREATE TABLE budget_alert_tenants (
    tenant_id uuid PRIMARY KEY REFERENCES tenants (id),
    mark      uuid NOT NULL
);
GRANT SELECT, INSERT, UPDATE (mark), DELETE ON budget_alert_tenants TO tenfold_app;
