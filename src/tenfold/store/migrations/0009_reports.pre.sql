-- Sums made of receipts while they are written, what corrects a receipt later, and what became of tasks.

-- Sums by the hour. What has no key, provider or feature is '' here (the key: all zeros), so that every row has a key
-- of its own. Kept equal to the receipts and their corrections; `tenfold.ledger.reports` says how.
CREATE TABLE usage_hours (
    tenant_id          uuid NOT NULL REFERENCES tenants (id),
    hour               timestamptz NOT NULL,
    key_id             uuid NOT NULL,
    operation          text NOT NULL,
    model              text NOT NULL, -- the one used, else the one asked for
    provider           text NOT NULL,
    feature            text NOT NULL,
    status             text NOT NULL,
    calls              bigint NOT NULL,
    cache_hits         bigint NOT NULL, -- answered from the cache or by the call of an identical one in flight
    estimated          bigint NOT NULL, -- stand on our estimate still
    unpriced           bigint NOT NULL,
    paid               bigint NOT NULL, -- priced, and no cache hit that was free
    input_tokens       bigint NOT NULL,
    output_tokens      bigint NOT NULL,
    cache_read_tokens  bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    reasoning_tokens   bigint NOT NULL,
    paid_input_tokens  bigint NOT NULL, -- of the paid calls
    paid_output_tokens bigint NOT NULL,
    input_nano         bigint NOT NULL,
    output_nano        bigint NOT NULL,
    total_nano         bigint NOT NULL,
    latency_ms         bigint NOT NULL,
    PRIMARY KEY (tenant_id, hour, key_id, operation, model, provider, feature, status)
) WITH (fillfactor = 70); -- the rows of this hour change with every batch: in place, while their page has room
ALTER TABLE usage_hours ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage_hours FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON usage_hours USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON usage_hours TO tenfold_app;

-- How many calls cost how much: the priced calls of a day and feature, by bucket of their cost.
CREATE TABLE cost_days (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    day       date NOT NULL,
    feature   text NOT NULL,
    bucket    integer NOT NULL, -- see tenfold.ledger.reports.buckets
    calls     bigint NOT NULL,
    PRIMARY KEY (tenant_id, day, feature, bucket)
) WITH (fillfactor = 70);
ALTER TABLE cost_days ENABLE ROW LEVEL SECURITY;
ALTER TABLE cost_days FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON cost_days USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON cost_days TO tenfold_app;

-- What a receipt counts beside what it says: differences, one row for each source that told of it.
CREATE TABLE adjustments (
    tenant_id          uuid NOT NULL REFERENCES tenants (id),
    receipt_at         timestamptz NOT NULL,
    receipt_id         uuid NOT NULL,
    source             text NOT NULL CHECK (length(source) BETWEEN 1 AND 200),
    at                 timestamptz NOT NULL DEFAULT now(),
    flagged            boolean NOT NULL, -- more than can be right: for a person to look at
    input_tokens       bigint NOT NULL,
    output_tokens      bigint NOT NULL,
    cache_read_tokens  bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    reasoning_tokens   bigint NOT NULL,
    input_nano         bigint NOT NULL,
    output_nano        bigint NOT NULL,
    total_nano         bigint NOT NULL,
    PRIMARY KEY (tenant_id, receipt_at, receipt_id, source)
);
ALTER TABLE adjustments ENABLE ROW LEVEL SECURITY;
ALTER TABLE adjustments FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON adjustments USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, DELETE ON adjustments TO tenfold_app; -- DELETE: retention

-- What became of a task. The last report of a task holds.
CREATE TABLE outcomes (
    tenant_id  uuid NOT NULL REFERENCES tenants (id),
    task       text NOT NULL CHECK (length(task) BETWEEN 1 AND 200),
    outcome    text NOT NULL CHECK (outcome IN ('success', 'failure')),
    value_nano bigint, -- what the outcome is worth, 10^-9 USD
    at         timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, task)
);
CREATE INDEX outcomes_by_time ON outcomes (tenant_id, at, task);
ALTER TABLE outcomes ENABLE ROW LEVEL SECURITY;
ALTER TABLE outcomes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON outcomes USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON outcomes TO tenfold_app;

-- Few receipts carry a task or are an estimate: the others are not in these indexes and pay nothing for them.
CREATE INDEX receipts_by_task ON receipts (tenant_id, task, at) WHERE task IS NOT NULL;
CREATE INDEX receipts_estimated ON receipts (tenant_id, at, id) WHERE estimated;

-- Runs with the rights of the owner, because the app may drop no table. It drops whole days of receipts that are at
-- least 35 days old, whatever it is asked, and takes nothing but a number of days.
CREATE FUNCTION tenfold.drop_receipt_partitions(keep_days integer) RETURNS text[]
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = tenfold, pg_temp SET lock_timeout = '2s'
AS $$
DECLARE
    first_kept text;
    name       text;
    dropped    text[] := '{}';
BEGIN
    IF keep_days < 35 THEN
        RAISE EXCEPTION 'receipts are kept for 35 days at least, not %', keep_days;
    END IF;
    first_kept := 'receipts_' || to_char((now() AT TIME ZONE 'UTC')::date - keep_days, 'YYYYMMDD');
    FOR name IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'tenfold.receipts'::regclass AND c.relname ~ '^receipts_[0-9]{8}$' AND c.relname < first_kept
        ORDER BY c.relname
    LOOP
        BEGIN
            EXECUTE format('DROP TABLE tenfold.%I', name);
            dropped := dropped || name;
        EXCEPTION WHEN lock_not_available THEN
            EXIT; -- somebody reads or writes receipts for longer than calls may wait for us: the next run drops it
        END;
    END LOOP;
    RETURN dropped;
END $$;
REVOKE ALL ON FUNCTION tenfold.drop_receipt_partitions(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenfold.drop_receipt_partitions(integer) TO tenfold_app;
