-- The semantic cache: questions that were answered, what they rest on, and what was seen of answers given again.

-- What has to be equal for two calls to be compared at all. `epoch` is raised by a reset: what was kept or seen under
-- an earlier one counts no longer. The status is that of the process that saw something last.
CREATE TABLE semantic_scopes (
    tenant_id      uuid NOT NULL REFERENCES tenants (id),
    id             uuid NOT NULL,
    digest         bytea NOT NULL,
    dialect        text NOT NULL,
    model          text NOT NULL,
    stream         boolean NOT NULL,
    max_false_hits double precision NOT NULL,
    epoch          integer NOT NULL DEFAULT 0,
    hits           bigint NOT NULL DEFAULT 0,
    checks         bigint NOT NULL DEFAULT 0,
    bound          double precision NOT NULL DEFAULT 1,
    is_off         boolean NOT NULL DEFAULT false,
    why_off        text NOT NULL DEFAULT '',
    created_at     timestamptz NOT NULL DEFAULT now(),
    used_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, digest)
);
CREATE INDEX semantic_scopes_by_use ON semantic_scopes (tenant_id, used_at);

-- One that is gone stays for a time without its contents, so that every process hears of it. `changed_xid` is the
-- transaction that changed it: whoever follows asks for all since the oldest that ran when it asked last.
CREATE TABLE semantic_entries (
    tenant_id   uuid NOT NULL,
    id          uuid NOT NULL,
    scope_id    uuid NOT NULL,
    question    text NOT NULL,
    vector      bytea NOT NULL,          -- 32-bit floats, little-endian
    answer_id   uuid NOT NULL,           -- the same where answers were found to say the same
    answer      text NOT NULL,
    body        bytea NOT NULL,          -- as the client got it
    told        jsonb NOT NULL,          -- who answered, and the usage
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz NOT NULL,
    gone        boolean NOT NULL DEFAULT false,
    changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, scope_id) REFERENCES semantic_scopes (tenant_id, id)
);
CREATE INDEX semantic_entries_changed ON semantic_entries (tenant_id, scope_id, changed_xid);
CREATE INDEX semantic_entries_by_end ON semantic_entries (tenant_id, expires_at);

-- The documents an entry rests on. `kb` is the name of a knowledge base, or empty: then it is a document of the
-- caller's own, of which the caller says when it changes.
CREATE TABLE semantic_grounds (
    tenant_id uuid NOT NULL,
    kb        text NOT NULL,
    document  text NOT NULL,
    version   text NOT NULL,
    entry_id  uuid NOT NULL,
    PRIMARY KEY (tenant_id, entry_id, kb, document, version),
    FOREIGN KEY (tenant_id, entry_id) REFERENCES semantic_entries (tenant_id, id)
);
CREATE INDEX semantic_grounds_by_document ON semantic_grounds (tenant_id, kb, document);

-- Fresh answers that were compared with what the cache would have said.
CREATE TABLE semantic_observations (
    tenant_id   uuid NOT NULL,
    scope_id    uuid NOT NULL,
    id          uuid NOT NULL,
    seen        jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (tenant_id, scope_id, id),
    FOREIGN KEY (tenant_id, scope_id) REFERENCES semantic_scopes (tenant_id, id)
);
CREATE INDEX semantic_observations_changed ON semantic_observations (tenant_id, scope_id, changed_xid);

-- Documents of callers that have changed: what was asked before `evicted_at` is not kept. An empty version: all.
CREATE TABLE evicted_documents (
    tenant_id  uuid NOT NULL REFERENCES tenants (id),
    document   text NOT NULL,
    version    text NOT NULL,
    evicted_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, document, version)
);
CREATE INDEX evicted_documents_by_time ON evicted_documents (tenant_id, evicted_at);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['semantic_scopes', 'semantic_entries', 'semantic_grounds', 'semantic_observations',
                                'evicted_documents'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format(
            'CREATE POLICY tenant ON %I USING (tenant_id = tenfold.tenant_id())
             WITH CHECK (tenant_id = tenfold.tenant_id())', name
        );
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO tenfold_app', name);
    END LOOP;
END $$;

-- Of these tenants, those where something is to be tidied up: entries past their time, or evictions of before.
CREATE FUNCTION tenfold.tenants_with_old_cache(among uuid[], before timestamptz) RETURNS SETOF uuid
    LANGUAGE plpgsql SET search_path = tenfold, pg_temp
AS $$
DECLARE
    tenant uuid;
BEGIN
    FOREACH tenant IN ARRAY among LOOP
        PERFORM set_config('tenfold.tenant_id', tenant::text, true);
        IF EXISTS (SELECT FROM semantic_entries e WHERE e.tenant_id = tenant AND e.expires_at < now())
            OR EXISTS (SELECT FROM semantic_scopes s WHERE s.tenant_id = tenant AND s.used_at < before)
            OR EXISTS (SELECT FROM evicted_documents d WHERE d.tenant_id = tenant AND d.evicted_at < before) THEN
            RETURN NEXT tenant;
        END IF;
    END LOOP;
    PERFORM set_config('tenfold.tenant_id', '', true);
END $$;
REVOKE ALL ON FUNCTION tenfold.tenants_with_old_cache(uuid[], timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenfold.tenants_with_old_cache(uuid[], timestamptz) TO tenfold_app;
