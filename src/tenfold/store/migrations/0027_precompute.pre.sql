-- Questions of the support assistant that are asked often, and what was answered ahead of time. Until enough people have
-- asked a question nothing is known of it but a digest.

CREATE TABLE question_days (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    digest    bytea NOT NULL,       -- of the question as questions are compared, keyed by the tenant
    day       date NOT NULL,
    asks      integer NOT NULL,
    PRIMARY KEY (tenant_id, digest, day)
);
CREATE INDEX question_days_by_day ON question_days (tenant_id, day);

CREATE TABLE question_askers (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    digest    bytea NOT NULL,
    asker     bytea NOT NULL,       -- digest of who asked, keyed by tenant and question: no two questions show one person
    day       date NOT NULL,        -- the last one
    PRIMARY KEY (tenant_id, digest, asker)
);
CREATE INDEX question_askers_by_day ON question_askers (tenant_id, day);

CREATE TABLE frequent_questions (
    tenant_id   uuid NOT NULL REFERENCES tenants (id),
    digest      bytea NOT NULL,
    text        text NOT NULL,      -- as the person asked it who made them enough
    asked_at    timestamptz NOT NULL DEFAULT now(),
    answered_at timestamptz,        -- ahead of time, the last time
    answer      jsonb,              -- its text and citations
    documents   text[] NOT NULL DEFAULT '{}',
    call_nano   bigint NOT NULL DEFAULT 0,   -- what the answer cost when a model gave it
    paid_nano   bigint NOT NULL DEFAULT 0,   -- for answers ahead of time, in all
    hits        bigint NOT NULL DEFAULT 0,   -- asked since, and answered from a cache
    saved_nano  bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, digest)
);

CREATE TABLE precompute_runs (
    tenant_id   uuid NOT NULL REFERENCES tenants (id),
    id          uuid NOT NULL,      -- of its job
    budget_nano bigint NOT NULL,
    questions   integer NOT NULL DEFAULT 0,  -- asked so far
    answered    integer NOT NULL DEFAULT 0,
    cost_nano   bigint NOT NULL DEFAULT 0,
    done        bytea[] NOT NULL DEFAULT '{}',
    started_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz,
    ended_why   text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, id)
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['question_days', 'question_askers', 'frequent_questions', 'precompute_runs'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY tenant ON %I USING (tenant_id = tenfold.tenant_id())
             WITH CHECK (tenant_id = tenfold.tenant_id())', name
        );
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO tenfold_app', name);
    END LOOP;
END $$;

-- Which of these tenants have questions that are asked often, and were asked in the last days. Both run with the rights of
-- whoever calls them and look into one tenant after the other, as it could itself.
CREATE FUNCTION tenfold.tenants_with_frequent_questions(among uuid[], within_days integer) RETURNS SETOF uuid
    LANGUAGE plpgsql SET search_path = tenfold, pg_temp
AS $$
DECLARE
    tenant uuid;
BEGIN
    FOREACH tenant IN ARRAY among LOOP
        PERFORM set_config('tenfold.tenant_id', tenant::text, true);
        IF EXISTS (SELECT FROM frequent_questions f JOIN question_days d ON d.tenant_id = tenant AND d.digest = f.digest
                   WHERE f.tenant_id = tenant AND d.day > (now() AT TIME ZONE 'UTC')::date - within_days) THEN
            RETURN NEXT tenant;
        END IF;
    END LOOP;
    PERFORM set_config('tenfold.tenant_id', '', true);
END $$;
REVOKE ALL ON FUNCTION tenfold.tenants_with_frequent_questions(uuid[], integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenfold.tenants_with_frequent_questions(uuid[], integer) TO tenfold_app;

-- Where something was counted so many days ago or longer, or nobody asks a question any more whose words are kept, or a
-- run is so old.
CREATE FUNCTION tenfold.tenants_with_old_questions(among uuid[], keep_days integer, keep_run_days integer)
    RETURNS SETOF uuid
    LANGUAGE plpgsql SET search_path = tenfold, pg_temp
AS $$
DECLARE
    tenant uuid;
    today  date := (now() AT TIME ZONE 'UTC')::date;
BEGIN
    FOREACH tenant IN ARRAY among LOOP
        PERFORM set_config('tenfold.tenant_id', tenant::text, true);
        IF EXISTS (SELECT FROM question_days d WHERE d.tenant_id = tenant AND d.day <= today - keep_days)
           OR EXISTS (SELECT FROM question_askers a WHERE a.tenant_id = tenant AND a.day <= today - keep_days)
           OR EXISTS (SELECT FROM frequent_questions f WHERE f.tenant_id = tenant AND NOT EXISTS (
                          SELECT FROM question_days d WHERE d.tenant_id = tenant AND d.digest = f.digest))
           OR EXISTS (SELECT FROM precompute_runs r
                      WHERE r.tenant_id = tenant AND r.started_at <= now() - make_interval(days => keep_run_days)) THEN
            RETURN NEXT tenant;
        END IF;
    END LOOP;
    PERFORM set_config('tenfold.tenant_id', '', true);
END $$;
REVOKE ALL ON FUNCTION tenfold.tenants_with_old_questions(uuid[], integer, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenfold.tenants_with_old_questions(uuid[], integer, integer) TO tenfold_app;
