-- Tenants, their people, keys and sessions. Passwords are argon2id; keys and session tokens are SHA-256 of 256 random bits.

-- Directory tables: read before a tenant is known. No row-level security, nothing secret in clear.

CREATE TABLE tenants (
    id         uuid PRIMARY KEY,
    slug       text NOT NULL UNIQUE CHECK (length(slug) <= 63),
    name       text NOT NULL CHECK (length(name) <= 80),
    cell       text NOT NULL DEFAULT 'main', -- which database holds the tenant's rows
    created_at timestamptz NOT NULL
);
GRANT SELECT, INSERT ON tenants TO tenfold_app;

CREATE TABLE key_directory (
    digest      bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    tenant_id   uuid NOT NULL REFERENCES tenants (id),
    key_id      uuid NOT NULL,
    scopes      text[] NOT NULL,
    expires_at  timestamptz,
    revoked_at  timestamptz,
    -- The transaction that wrote the row last. Processes follow the changes from the oldest transaction that was running
    -- when they looked last: none is missed in whatever order transactions commit, which no time stamp can promise.
    changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX key_directory_changes ON key_directory (changed_xid);
GRANT SELECT, INSERT, UPDATE (revoked_at, changed_xid) ON key_directory TO tenfold_app;

CREATE TABLE login_directory (
    login     text PRIMARY KEY CHECK (length(login) <= 254),
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    user_id   uuid NOT NULL
);
GRANT SELECT, INSERT ON login_directory TO tenfold_app;

CREATE TABLE session_directory (
    digest    bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    tenant_id uuid NOT NULL REFERENCES tenants (id)
);
GRANT SELECT, INSERT, DELETE ON session_directory TO tenfold_app;

-- Tables of tenants.

CREATE TABLE users (
    tenant_id     uuid NOT NULL REFERENCES tenants (id),
    id            uuid NOT NULL,
    login         text NOT NULL,
    password_hash text NOT NULL,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON users USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE (password_hash) ON users TO tenfold_app;

CREATE TABLE api_keys (
    tenant_id  uuid NOT NULL REFERENCES tenants (id),
    id         uuid NOT NULL,
    digest     bytea NOT NULL CHECK (octet_length(digest) = 32),
    name       text NOT NULL CHECK (length(name) <= 80),
    prefix     text NOT NULL,
    scopes     text[] NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON api_keys USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE (revoked_at) ON api_keys TO tenfold_app;

CREATE TABLE sessions (
    tenant_id  uuid NOT NULL REFERENCES tenants (id),
    digest     bytea NOT NULL CHECK (octet_length(digest) = 32),
    user_id    uuid NOT NULL,
    created_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, digest),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
ALTER TABLE sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE sessions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON sessions USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE (seen_at), DELETE ON sessions TO tenfold_app;
