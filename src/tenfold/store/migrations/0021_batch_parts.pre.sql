-- Parts of batches that were handed over to a vendor's own batch tier: which lines, as whose batch, and how far. They
-- stay until the batch goes, so that no line is handed over twice.

CREATE TABLE batch_parts (
    tenant_id uuid NOT NULL,
    batch_id  uuid NOT NULL,
    id        uuid NOT NULL,        -- the vendor knows the part by it
    target    text NOT NULL,        -- the label of the target, as the settings make it
    at        timestamptz NOT NULL, -- of the receipts of its lines
    lines     integer[] NOT NULL,   -- of the input file, from 1
    state     text NOT NULL DEFAULT 'cut' CHECK (state IN ('cut', 'charged', 'handed', 'collected')),
    vendor_id text,                 -- the vendor's name of its batch
    PRIMARY KEY (tenant_id, batch_id, id),
    FOREIGN KEY (tenant_id, batch_id) REFERENCES batches (tenant_id, id) ON DELETE CASCADE
);
ALTER TABLE batch_parts ENABLE ROW LEVEL SECURITY;
ALTER TABLE batch_parts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON batch_parts USING (tenant_id = tenfold.tenant_id()) WITH CHECK (tenant_id = tenfold.tenant_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON batch_parts TO tenfold_app;
