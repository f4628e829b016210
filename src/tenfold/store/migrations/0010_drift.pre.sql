-- Weeks whose cost drift has been looked at: each of a tenant's by one process, once.
CREATE TABLE drift_checks (
    tenant_id  uuid NOT NULL REFERENCES tenants (id),
    until      date NOT NULL,             -- the Monday after the week (UTC)
    findings   integer NOT NULL,
    checked_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, until)
);
ALTER TABLE drift_checks ENABLE ROW LEVEL SECURITY;
ALTER TABLE drift_checks FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON drift_checks
    USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT ON drift_checks TO tenfold_app;
