"""Pools, unit of work, migrations, embedded Postgres. Sole user of the database driver."""

from tenfold.store.changes import Changes, tell_change
from tenfold.store.embedded import EmbeddedPostgres
from tenfold.store.errors import MigrationError, StartupError
from tenfold.store.members import Members
from tenfold.store.migrate import Applied, MigrationStatus, migrate, migration_status
from tenfold.store.pool import Store
from tenfold.store.sweep import among_tenants, expire, keep, tenants_among
from tenfold.store.transaction import ReadTransaction, Row, Transaction

__all__ = [
    "Applied",
    "Changes",
    "EmbeddedPostgres",
    "Members",
    "MigrationError",
    "MigrationStatus",
    "ReadTransaction",
    "Row",
    "StartupError",
    "Store",
    "Transaction",
    "among_tenants",
    "expire",
    "keep",
    "migrate",
    "migration_status",
    "tell_change",
    "tenants_among",
]
