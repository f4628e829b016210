-- What processes that share this database need to know of each other. Directory tables: no tenant's data is in them.

-- The serving processes. One that has not been seen for a while is dead: others take over what it had begun.
CREATE TABLE members (
    id         uuid PRIMARY KEY,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now() -- by the clock of the database
);
GRANT SELECT, INSERT, UPDATE (seen_at), DELETE ON members TO tenfold_app;

-- That something of a tenant has changed which processes keep in memory: a topic is a set of rows, "budgets" for one.
CREATE TABLE tenant_changes (
    topic       text NOT NULL CHECK (length(topic) <= 40),
    tenant_id   uuid NOT NULL REFERENCES tenants (id),
    changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id(), -- see key_directory
    PRIMARY KEY (topic, tenant_id)
);
CREATE INDEX tenant_changes_by_time ON tenant_changes (changed_xid);
GRANT SELECT, INSERT, UPDATE (changed_xid) ON tenant_changes TO tenfold_app;
