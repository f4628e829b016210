-- Receipts: one row for each call that began, for ever unchanged. Partitioned by day (UTC), so that retention drops
-- a partition instead of deleting rows.

CREATE TABLE receipts (
    tenant_id              uuid NOT NULL REFERENCES tenants (id),
    at                     timestamptz NOT NULL, -- when the call began
    id                     uuid NOT NULL,        -- the call's
    key_id                 uuid,
    operation              text NOT NULL,
    client_dialect         text NOT NULL,
    provider               text,                 -- NULL: no upstream was reached
    model_asked            text NOT NULL,
    model_used             text,
    status                 text NOT NULL CHECK (status IN ('ok', 'error', 'cut', 'cancelled')),
    http_status            smallint NOT NULL,
    error_code             text,
    stream                 boolean NOT NULL,
    cache                  text NOT NULL CHECK (cache IN ('miss', 'bypass', 'hit')),
    latency_ms             integer NOT NULL,
    first_byte_ms          integer,
    -- Tokens; all NULL when nothing was metered. The parts are parts of the two totals.
    input_tokens           bigint,
    output_tokens          bigint,
    cache_read_tokens      bigint,
    cache_write_tokens     bigint,
    cache_write_1h_tokens  bigint,
    input_audio_tokens     bigint,
    cache_audio_read_tokens bigint,
    output_audio_tokens    bigint,
    output_image_tokens    bigint,
    reasoning_tokens       bigint,
    estimated              boolean NOT NULL,     -- the tokens are our estimate: the provider did not tell
    -- 10^-9 USD; all NULL when no price is known, which is not the same as 0.
    input_nano             bigint,
    output_nano            bigint,
    total_nano             bigint,
    priced                 boolean NOT NULL GENERATED ALWAYS AS (total_nano IS NOT NULL) STORED,
    feature                text,
    task                   text,
    end_user               text,
    PRIMARY KEY (tenant_id, at, id)
) PARTITION BY RANGE (at);
ALTER TABLE receipts ENABLE ROW LEVEL SECURITY;
ALTER TABLE receipts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON receipts USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT ON receipts TO tenfold_app; -- no UPDATE, no DELETE: a receipt cannot be rewritten

-- Partitions have no GRANT: the app reaches them through `receipts` only, under its policy.

-- What no day's partition takes: receipts that were replayed late, and every receipt should the days ahead be missing.
CREATE TABLE receipts_other PARTITION OF receipts DEFAULT;
ALTER TABLE receipts_other ENABLE ROW LEVEL SECURITY;
ALTER TABLE receipts_other FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON receipts_other USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());

-- Runs with the rights of the owner of the tables, because the app may not create any: it is the one thing of the kind
-- the app may do, and it takes nothing but a day and a number of days.
CREATE FUNCTION tenfold.ensure_receipt_partitions(first_day date, days integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = tenfold, pg_temp
AS $$
DECLARE
    day     date;
    name    text;
    created integer := 0;
BEGIN
    IF days NOT BETWEEN 1 AND 62 THEN
        RAISE EXCEPTION 'days must be 1 to 62, not %', days;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('tenfold.ensure_receipt_partitions')); -- every process asks for them at midnight
    FOR day IN SELECT first_day + n FROM generate_series(0, days - 1) AS n LOOP
        name := 'receipts_' || to_char(day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(format('tenfold.%I', name)) IS NOT NULL;
        BEGIN
            -- Made apart and attached: that waits for no reader or writer of the other days.
            EXECUTE format('CREATE TABLE %I (LIKE receipts INCLUDING ALL)', name);
            EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
            EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
            EXECUTE format('CREATE POLICY tenant ON %I USING (tenant_id = tenfold.tenant_id()) '
                           'WITH CHECK (tenant_id = tenfold.tenant_id())', name);
            EXECUTE format('ALTER TABLE receipts ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name,
                           day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
            created := created + 1;
        EXCEPTION WHEN check_violation THEN
            NULL; -- receipts of this day are in receipts_other already, and stay there
        END;
    END LOOP;
    RETURN created;
END $$;
REVOKE ALL ON FUNCTION tenfold.ensure_receipt_partitions(date, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenfold.ensure_receipt_partitions(date, integer) TO tenfold_app;

SELECT tenfold.ensure_receipt_partitions((now() AT TIME ZONE 'UTC')::date, 8);
