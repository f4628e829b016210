-- Receipts know the steps of the fallback chain that a call took, and the requests it sent to providers. Nullable columns:
-- no row is rewritten, and the lock of each partition is held for a moment.

ALTER TABLE receipts
    ADD COLUMN degraded text,    -- NULL: no step was taken
    ADD COLUMN attempts integer; -- NULL: from before they were counted
