"""Pools, unit of work, migrations, embedded Postgres. Sole user of the database driver."""
