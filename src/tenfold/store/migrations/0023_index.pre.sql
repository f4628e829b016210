-- The index is made anew beside the one that is searched, and one row switches. Words and vectors stand in `postings` and
-- `chunk_vectors` under the id of a set, in their column kb_id; the knowledge base says which sets are searched. A set
-- that is null has the knowledge base's own id.

ALTER TABLE documents ADD COLUMN text text;           -- what it was cut from; null: read in before this was kept

ALTER TABLE knowledge_bases
    ADD COLUMN words_set         uuid,
    ADD COLUMN vectors_set       uuid,                 -- made by `embedder`
    ADD COLUMN next_words_set    uuid,                 -- in the making
    ADD COLUMN next_vectors_set  uuid,
    ADD COLUMN next_embedder     text,                 -- fingerprint of the model that makes them
    ADD COLUMN discarded_words   uuid[] NOT NULL DEFAULT '{}',  -- sets whose rows are to be deleted
    ADD COLUMN discarded_vectors uuid[] NOT NULL DEFAULT '{}',
    ADD COLUMN reembed_holder    uuid,                 -- who makes the next vectors, and until when at most
    ADD COLUMN reembed_until     timestamptz;

ALTER TABLE postings DROP CONSTRAINT postings_tenant_id_kb_id_fkey;
ALTER TABLE chunk_vectors DROP CONSTRAINT chunk_vectors_tenant_id_kb_id_number_fkey;

-- Which of these tenants have sets to make or to delete: vectors of another model than the wanted one, or what was
-- discarded. It runs with the rights of whoever calls it and looks into one tenant after the other.
CREATE FUNCTION tenfold.tenants_with_sets_to_make(among uuid[], wanted text) RETURNS SETOF uuid
    LANGUAGE plpgsql SET search_path = tenfold, pg_temp
AS $$
DECLARE
    tenant uuid;
BEGIN
    FOREACH tenant IN ARRAY among LOOP
        PERFORM set_config('tenfold.tenant_id', tenant::text, true);
        IF EXISTS (SELECT FROM knowledge_bases k WHERE k.tenant_id = tenant
                   AND (k.embedder <> wanted OR k.discarded_words <> '{}' OR k.discarded_vectors <> '{}')) THEN
            RETURN NEXT tenant;
        END IF;
    END LOOP;
    PERFORM set_config('tenfold.tenant_id', '', true);
END $$;

REVOKE ALL ON FUNCTION tenfold.tenants_with_sets_to_make(uuid[], text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenfold.tenants_with_sets_to_make(uuid[], text) TO tenfold_app;
