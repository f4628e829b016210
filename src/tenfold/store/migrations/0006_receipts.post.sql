ALTER TABLE receipts VALIDATE CONSTRAINT receipts_cache_check;
