-- Receipts know their run, the budget leases they are charged to, and whether they are what a process that died had
-- drafted before the call. Columns with a constant default: no row is rewritten.

ALTER TABLE receipts
    ADD COLUMN run    text,
    ADD COLUMN leases uuid[],                         -- NULL: no budget was charged
    ADD COLUMN draft  boolean NOT NULL DEFAULT false; -- charged at the bound: nothing more was heard of the call

-- NOT VALID: no partition is read under the lock. The rows that are there keep the narrower rule that was here before;
-- the post phase says so to Postgres.
ALTER TABLE receipts
    DROP CONSTRAINT receipts_cache_check,
    ADD CONSTRAINT receipts_cache_check CHECK (cache IN ('miss', 'bypass', 'hit', 'coalesced')) NOT VALID;
