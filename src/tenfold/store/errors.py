"""What can go wrong between Tenfold and its database, and the one translation of the driver's errors.

StoreUnavailable      (core) the database is away, busy or slow: retry
|- StartupError       it cannot be started or used as configured: a person must act; the message says how
|  |- MigrationError  the schema cannot be brought up to date; nothing half-done is left behind
Errors of our own SQL are bugs and pass through untouched.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from asyncpg import exceptions

from tenfold.core.errors import StoreUnavailable


class StartupError(StoreUnavailable):
    retryable = False


class MigrationError(StartupError):
    pass


class _Closable(Protocol):
    def is_closed(self) -> bool: ...


_LOGIN = (exceptions.InvalidAuthorizationSpecificationError, exceptions.InvalidCatalogNameError)
_AWAY = (
    exceptions.PostgresConnectionError,
    exceptions.AdminShutdownError,
    exceptions.CrashShutdownError,
    exceptions.CannotConnectNowError,
    exceptions.IdleSessionTimeoutError,
    exceptions.IdleInTransactionSessionTimeoutError,
    OSError,
)
_BUSY = (
    exceptions.InsufficientResourcesError,
    exceptions.TransactionRollbackError,  # deadlock, serialization
    exceptions.LockNotAvailableError,
    exceptions.InvalidCachedStatementError,  # another process migrated the schema; the driver has dropped its cache
)


@contextmanager
def translated(connection: _Closable | None = None) -> Iterator[None]:
    """Driver errors to StoreUnavailable and StartupError; everything else passes through."""
    try:
        yield
    except (exceptions.QueryCanceledError, TimeoutError) as error:
        raise StoreUnavailable("The database did not answer in time.") from error
    except _LOGIN as error:
        raise StartupError("The database refused this user, password or database name. Check database.url.") from error
    except _BUSY as error:
        raise StoreUnavailable("The database is busy. Try again.") from error
    except _AWAY as error:
        raise StoreUnavailable("The database is not reachable at the moment.") from error
    except exceptions.InterfaceError as error:
        if connection is None or not is_lost(connection):
            raise  # a misuse of the driver
        raise StoreUnavailable("The connection to the database was lost.") from error
    except exceptions.InternalClientError as error:  # the driver met the server's goodbye half way into a request
        raise StoreUnavailable("The connection to the database was lost.") from error


def is_lost(connection: _Closable) -> bool:
    """Of a connection that its holder has not given back."""
    try:
        return connection.is_closed()
    except exceptions.InterfaceError:  # the pool took it away when it was lost
        return True
