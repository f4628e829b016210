"""Durable work: jobs that are kept in the database from their acceptance to their end, and the workers that do them."""
