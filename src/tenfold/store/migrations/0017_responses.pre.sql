-- Stored responses of the Responses API: what was asked and answered, until it expires or is deleted. One that is made in
-- the background has a job of the same id.

CREATE TABLE responses (
    tenant_id    uuid NOT NULL REFERENCES tenants (id),
    id           uuid NOT NULL,
    previous_id  uuid,                  -- not a key: what it goes on from may be deleted, and is then missed
    background   boolean NOT NULL,
    stream       boolean NOT NULL,      -- its events can be followed
    status       text NOT NULL CHECK (status IN ('queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled')),
    died         boolean NOT NULL DEFAULT false, -- failed because its job did; the job may yet be redriven
    model        text NOT NULL,
    request      bytea NOT NULL,        -- of the background, until it needs it no more
    input        bytea NOT NULL,        -- its own input items, a JSON array
    response     bytea NOT NULL,        -- the Response object
    cost_nano    bigint NOT NULL DEFAULT 0,
    key          bytea,                 -- digest of its Idempotency-Key
    request_hash bytea,
    version      bigint NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX responses_by_key ON responses (tenant_id, key) WHERE key IS NOT NULL;
CREATE INDEX responses_by_expiry ON responses (tenant_id, expires_at);
ALTER TABLE responses ENABLE ROW LEVEL SECURITY;
ALTER TABLE responses FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON responses USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON responses TO tenfold_app;

-- Which of these tenants have responses that have expired. It runs with the rights of whoever calls it and looks into
-- one tenant after the other, as it could itself.
CREATE FUNCTION tenfold.tenants_with_expired_responses(among uuid[]) RETURNS SETOF uuid
    LANGUAGE plpgsql SET search_path = tenfold, pg_temp
AS $$
DECLARE
    tenant uuid;
BEGIN
    FOREACH tenant IN ARRAY among LOOP
        PERFORM set_config('tenfold.tenant_id', tenant::text, true);
        IF EXISTS (SELECT FROM responses r WHERE r.tenant_id = tenant AND r.expires_at <= now()) THEN
            RETURN NEXT tenant;
        END IF;
    END LOOP;
    PERFORM set_config('tenfold.tenant_id', '', true);
END $$;
REVOKE ALL ON FUNCTION tenfold.tenants_with_expired_responses(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenfold.tenants_with_expired_responses(uuid[]) TO tenfold_app;
