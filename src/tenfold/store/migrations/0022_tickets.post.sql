-- Calls that waited under a ticket are jobs now: those that still wait are asked, under the same ticket. What came of
-- the others was kept for a week at most.

DO $$
DECLARE
    tenant record;
BEGIN
    IF to_regclass('tenfold.parked_calls') IS NULL THEN
        RETURN;
    END IF;
    FOR tenant IN SELECT id, slug, plan FROM tenants LOOP
        PERFORM set_config('tenfold.tenant_id', tenant.id::text, true);
        WITH waiting AS (
            SELECT p.id, p.created_at, 1000000 AS most,
                   convert_to(jsonb_build_object(
                       'operation', p.operation, 'dialect', p.client_dialect, 'options', p.options,
                       'body', translate(encode(p.body, 'base64'), E'\n', '')
                   )::text, 'UTF8') AS input,
                   jsonb_build_object(
                       'id', p.id, 'kind', 'call', 'max_attempts', 1000000, 'give_up_s', 604800, 'first_retry_s', 5,
                       'facts', jsonb_strip_nulls(jsonb_build_object(
                           'operation', p.operation, 'dialect', p.client_dialect, 'model', p.model, 'feature', p.feature
                       )),
                       'principal', jsonb_build_object(
                           'tenant_id', p.tenant_id, 'tenant_slug', tenant.slug, 'plan', tenant.plan,
                           'key_id', p.key_id, 'user_id', p.user_id, 'scopes', jsonb_build_array('inference')
                       )
                   ) AS asked
            FROM parked_calls p WHERE p.tenant_id = tenant.id AND p.state = 'waiting' AND p.expires_at > now()
        ), moved AS (
            INSERT INTO jobs (tenant_id, id, kind, asked, input, priority, created_at, max_attempts)
            SELECT tenant.id, id, 'call', asked, input, 4, created_at, most FROM waiting
            ON CONFLICT DO NOTHING
            RETURNING id, length(input) AS input_bytes
        )
        INSERT INTO job_queue (tenant_id, job_id, kind, priority, input_bytes, due, run_at)
        SELECT tenant.id, id, 'call', 4, input_bytes, true, now() FROM moved;
    END LOOP;
END $$;

DROP FUNCTION IF EXISTS tenfold.tenants_with_expired_tickets(uuid[]);
DROP TABLE IF EXISTS parked_calls;
