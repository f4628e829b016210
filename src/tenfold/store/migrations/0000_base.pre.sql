-- What every table stands on: the tenant of the transaction, the app's role, pgvector.
-- The pattern that the other files copy is in README.md beside this file.

CREATE FUNCTION tenfold.tenant_id() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('tenfold.tenant_id', true), '')::uuid;

COMMENT ON FUNCTION tenfold.tenant_id() IS
    'The tenant of this transaction (Store.tenant sets it); NULL outside of one, so that every policy is false.';

-- The role exists once for all databases of a server, so another migration may be making it right now.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenfold_app') THEN
        BEGIN
            CREATE ROLE tenfold_app NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'tenfold_app' AND (rolsuper OR rolbypassrls)) THEN
        RAISE EXCEPTION 'the role tenfold_app passes by row-level security'
            USING HINT = 'Run: ALTER ROLE tenfold_app NOSUPERUSER NOBYPASSRLS;';
    END IF;
    IF NOT pg_has_role(current_user, 'tenfold_app', 'MEMBER') THEN
        EXECUTE format('GRANT tenfold_app TO %I', current_user);
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'the user % may not make the role tenfold_app or become it', current_user
        USING HINT = format(
            'Let an administrator run once: CREATE ROLE tenfold_app NOLOGIN; GRANT tenfold_app TO %I;', current_user);
END $$;

GRANT USAGE ON SCHEMA tenfold TO tenfold_app;
GRANT EXECUTE ON FUNCTION tenfold.tenant_id() TO tenfold_app;

-- No default privileges on tables: each table grants what the app needs of it and no more
-- (a table of receipts grants SELECT and INSERT, and so cannot be rewritten).

-- A server without pgvector is served too (retrieval then ranks without an index). Where an administrator has
-- installed it, its schema only needs to be on the search path.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector' AND installed_version IS NULL) THEN
        CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;
    END IF;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'the user % may not install pgvector', current_user
        USING HINT = 'Let an administrator run once in this database: CREATE EXTENSION vector;';
END $$;
