"""Files of tenants: handed in by clients, or left by batches. Kept in the database, where every process sees them."""
