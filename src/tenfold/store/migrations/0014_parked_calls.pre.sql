-- Calls that no provider answered and whose feature lets them wait: kept until they are asked again. The body is the
-- request as it was sent; it is dropped as soon as the call has ended or has waited too long.

CREATE TABLE parked_calls (
    tenant_id      uuid NOT NULL REFERENCES tenants (id),
    id             uuid NOT NULL,          -- the call's; its ticket is tkt_ and these 32 digits
    key_id         uuid,
    user_id        uuid,
    operation      text NOT NULL,
    client_dialect text NOT NULL,
    model          text NOT NULL,
    feature        text,
    options        jsonb NOT NULL,
    body           bytea NOT NULL,
    body_bytes     integer NOT NULL,
    state          text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'failed', 'expired')),
    -- What came of it.
    http_status    smallint,
    error_code     text,
    reply          bytea,
    created_at     timestamptz NOT NULL DEFAULT now(),
    ended_at       timestamptz,
    expires_at     timestamptz NOT NULL,   -- waiting: not asked after this; ended: deleted after this
    PRIMARY KEY (tenant_id, id),
    CHECK (state = 'waiting' OR body_bytes = 0)
);
CREATE INDEX parked_calls_waiting ON parked_calls (tenant_id, id) WHERE state = 'waiting';
CREATE INDEX parked_calls_by_expiry ON parked_calls (tenant_id, expires_at);
ALTER TABLE parked_calls ENABLE ROW LEVEL SECURITY;
ALTER TABLE parked_calls FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON parked_calls USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON parked_calls TO tenfold_app;

-- Which of these tenants have tickets that have expired. It runs with the rights of whoever calls it and looks into one
-- tenant after the other, as it could itself.
CREATE FUNCTION tenfold.tenants_with_expired_tickets(among uuid[]) RETURNS SETOF uuid
    LANGUAGE plpgsql SET search_path = tenfold, pg_temp
AS $$
DECLARE
    tenant uuid;
BEGIN
    FOREACH tenant IN ARRAY among LOOP
        PERFORM set_config('tenfold.tenant_id', tenant::text, true);
        IF EXISTS (SELECT FROM parked_calls p WHERE p.tenant_id = tenant AND p.expires_at <= now()) THEN
            RETURN NEXT tenant;
        END IF;
    END LOOP;
    PERFORM set_config('tenfold.tenant_id', '', true);
END $$;
REVOKE ALL ON FUNCTION tenfold.tenants_with_expired_tickets(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenfold.tenants_with_expired_tickets(uuid[]) TO tenfold_app;
