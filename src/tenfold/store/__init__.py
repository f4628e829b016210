"""Pools, unit of work, migrations, embedded Postgres. Sole user of the database driver."""

from tenfold.store.embedded import EmbeddedPostgres
from tenfold.store.errors import MigrationError, StartupError
from tenfold.store.migrate import Applied, MigrationStatus, migrate, migration_status
from tenfold.store.pool import Store
from tenfold.store.transaction import ReadTransaction, Row, Transaction

__all__ = [
    "Applied",
    "EmbeddedPostgres",
    "MigrationError",
    "MigrationStatus",
    "ReadTransaction",
    "Row",
    "StartupError",
    "Store",
    "Transaction",
    "migrate",
    "migration_status",
]
