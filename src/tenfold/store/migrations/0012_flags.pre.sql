-- Feature flags and kill switches, and the log of their changes, which the app's role can read and add to, and no more.

-- Of the installation: directory tables, without a tenant. Processes read them at their start, and again on a change.

CREATE TABLE operator_flags (
    id         uuid PRIMARY KEY,
    key        text NOT NULL UNIQUE CHECK (length(key) BETWEEN 1 AND 128),
    definition text NOT NULL CHECK (octet_length(definition) <= 16384), -- JSON
    revision   integer NOT NULL CHECK (revision > 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE (definition, revision, updated_at), DELETE ON operator_flags TO tenfold_app;

CREATE TABLE operator_kills (
    id         uuid PRIMARY KEY,
    scope      text NOT NULL CHECK (scope IN ('feature', 'model', 'provider')),
    subject    text NOT NULL CHECK (length(subject) BETWEEN 1 AND 256),
    reason     text NOT NULL CHECK (length(reason) <= 500),
    actor      text NOT NULL CHECK (length(actor) <= 256),
    created_at timestamptz NOT NULL,
    UNIQUE (scope, subject)
);
GRANT SELECT, INSERT, DELETE ON operator_kills TO tenfold_app;

CREATE TABLE operator_flag_changes (
    id      uuid PRIMARY KEY,
    at      timestamptz NOT NULL,
    actor   text NOT NULL CHECK (length(actor) <= 256),
    kind    text NOT NULL CHECK (kind IN ('flag', 'kill')),
    subject text NOT NULL CHECK (length(subject) <= 300),
    action  text NOT NULL CHECK (action IN ('created', 'changed', 'ended')),
    before  text, -- JSON
    after   text,
    reason  text NOT NULL CHECK (length(reason) <= 500)
);
GRANT SELECT, INSERT ON operator_flag_changes TO tenfold_app;

-- Of a tenant: its own, and what the operator set for it alone.

CREATE TABLE flags (
    tenant_id  uuid NOT NULL REFERENCES tenants (id),
    id         uuid NOT NULL,
    key        text NOT NULL CHECK (length(key) BETWEEN 1 AND 128),
    owner      text NOT NULL CHECK (owner IN ('operator', 'tenant')),
    definition text NOT NULL CHECK (octet_length(definition) <= 16384), -- JSON
    revision   integer NOT NULL CHECK (revision > 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, key)
);
ALTER TABLE flags ENABLE ROW LEVEL SECURITY;
ALTER TABLE flags FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON flags USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE (definition, revision, updated_at), DELETE ON flags TO tenfold_app;

CREATE TABLE kills (
    tenant_id  uuid NOT NULL REFERENCES tenants (id),
    id         uuid NOT NULL,
    scope      text NOT NULL CHECK (scope IN ('tenant', 'feature', 'model', 'provider')),
    subject    text NOT NULL CHECK (length(subject) BETWEEN 1 AND 256),
    owner      text NOT NULL CHECK (owner IN ('operator', 'tenant')),
    reason     text NOT NULL CHECK (length(reason) <= 500),
    actor      text NOT NULL CHECK (length(actor) <= 256),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, owner, scope, subject) -- whoever ends a switch of its own ends nobody else's
);
ALTER TABLE kills ENABLE ROW LEVEL SECURITY;
ALTER TABLE kills FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON kills USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, DELETE ON kills TO tenfold_app;

CREATE TABLE flag_changes (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    id        uuid NOT NULL,
    at        timestamptz NOT NULL,
    actor     text NOT NULL CHECK (length(actor) <= 256),
    owner     text NOT NULL CHECK (owner IN ('operator', 'tenant')),
    kind      text NOT NULL CHECK (kind IN ('flag', 'kill')),
    subject   text NOT NULL CHECK (length(subject) <= 300),
    action    text NOT NULL CHECK (action IN ('created', 'changed', 'ended')),
    before    text, -- JSON
    after     text,
    reason    text NOT NULL CHECK (length(reason) <= 500),
    PRIMARY KEY (tenant_id, id)
);
ALTER TABLE flag_changes ENABLE ROW LEVEL SECURITY;
ALTER TABLE flag_changes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON flag_changes
    USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT ON flag_changes TO tenfold_app;
