-- Idempotency keys: what was asked under a key, and what came of it.

CREATE TABLE idempotency_keys (
    tenant_id           uuid NOT NULL REFERENCES tenants (id),
    key                 bytea NOT NULL CHECK (octet_length(key) = 32),          -- SHA-256 of the client's
    request_hash        bytea NOT NULL CHECK (octet_length(request_hash) = 32),
    call_id             uuid NOT NULL,                                          -- the call that was made; `at` of its receipt
    call_at             timestamptz NOT NULL,
    holder              uuid NOT NULL,                                          -- the process that makes it: members.id
    state               text NOT NULL DEFAULT 'in_flight'
                        CHECK (state IN ('in_flight', 'done', 'interrupted', 'too_large')),
    -- What was sent, once it is done.
    ended               text CHECK (ended IN ('ok', 'error', 'cut')),
    http_status         smallint,
    stream              boolean,
    model               text,
    provider            text,
    upstream_model      text,
    upstream_request_id text,
    ignored             text[],
    body                bytea,
    created_at          timestamptz NOT NULL DEFAULT now(),
    expires_at          timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, key),
    CHECK (state <> 'done' OR (ended, http_status, stream, model, ignored, body) IS NOT NULL)
);
CREATE INDEX idempotency_keys_in_flight ON idempotency_keys (tenant_id, holder) WHERE state = 'in_flight';
CREATE INDEX idempotency_keys_by_expiry ON idempotency_keys (tenant_id, expires_at);
ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON idempotency_keys
    USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotency_keys TO tenfold_app;

-- Which of these tenants have keys that a process left in flight, or that have expired. They run with the rights of
-- whoever calls them and look into one tenant after the other, as it could itself: so they need no hole in the wall, and
-- they work as well where the owner of the tables is no superuser and bound by their policies.
CREATE FUNCTION tenfold.tenants_with_keys_in_flight(among uuid[], of_holder uuid) RETURNS SETOF uuid
    LANGUAGE plpgsql SET search_path = tenfold, pg_temp
AS $$
DECLARE
    tenant uuid;
BEGIN
    FOREACH tenant IN ARRAY among LOOP
        PERFORM set_config('tenfold.tenant_id', tenant::text, true);
        IF EXISTS (SELECT FROM idempotency_keys k
                   WHERE k.tenant_id = tenant AND k.holder = of_holder AND k.state = 'in_flight') THEN
            RETURN NEXT tenant;
        END IF;
    END LOOP;
    PERFORM set_config('tenfold.tenant_id', '', true);
END $$;

CREATE FUNCTION tenfold.tenants_with_expired_keys(among uuid[]) RETURNS SETOF uuid
    LANGUAGE plpgsql SET search_path = tenfold, pg_temp
AS $$
DECLARE
    tenant uuid;
BEGIN
    FOREACH tenant IN ARRAY among LOOP
        PERFORM set_config('tenfold.tenant_id', tenant::text, true);
        IF EXISTS (SELECT FROM idempotency_keys k WHERE k.tenant_id = tenant AND k.expires_at <= now()) THEN
            RETURN NEXT tenant;
        END IF;
    END LOOP;
    PERFORM set_config('tenfold.tenant_id', '', true);
END $$;

REVOKE ALL ON FUNCTION tenfold.tenants_with_keys_in_flight(uuid[], uuid) FROM PUBLIC;
REVOKE ALL ON FUNCTION tenfold.tenants_with_expired_keys(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenfold.tenants_with_keys_in_flight(uuid[], uuid) TO tenfold_app;
GRANT EXECUTE ON FUNCTION tenfold.tenants_with_expired_keys(uuid[]) TO tenfold_app;
