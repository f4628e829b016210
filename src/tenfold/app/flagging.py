"""Flags and switches put together: for a serving process, for the console, and for a command."""

import getpass
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tenfold.access.handlers import Tenants
from tenfold.access.queries import PostgresAccessRows
from tenfold.app.database import open_database
from tenfold.app.settings import Settings
from tenfold.console.services import FlagServices
from tenfold.core.clock import Clock, SystemClock
from tenfold.rollout.book import Flags, RolloutBook
from tenfold.rollout.handlers import FlagAdmin
from tenfold.rollout.ports import TOPIC
from tenfold.rollout.queries import PostgresRolloutRows
from tenfold.store import Changes, Store


def follow_flags(store: Store, changes: Changes) -> RolloutBook:
    """Before `changes.start`; after it comes the book's own `start`, then its `run` until the process stops."""
    book = RolloutBook(PostgresRolloutRows(store))
    changes.follow(TOPIC, book.forget)
    return book


def flag_services(store: Store, book: RolloutBook, clock: Clock) -> FlagServices:
    """For the console."""
    return FlagServices(admin=FlagAdmin(PostgresRolloutRows(store), clock), values=Flags(book))


@dataclass(frozen=True, kw_only=True)
class Flagging:
    tenants: Tenants
    admin: FlagAdmin
    book: RolloutBook
    actor: str


@asynccontextmanager
async def open_flags(settings: Settings) -> AsyncIterator[Flagging]:
    """For a command. Raises StoreUnavailable."""
    async with open_database(settings) as (_, store):
        clock, rows = SystemClock(), PostgresRolloutRows(store)
        yield Flagging(
            tenants=Tenants(PostgresAccessRows(store), clock),
            admin=FlagAdmin(rows, clock),
            book=RolloutBook(rows),
            actor=f"operator:{_login()}",
        )


def _login() -> str:
    """Who runs the command, as the system says."""
    try:
        return getpass.getuser()[:200]
    except (OSError, KeyError):  # a user id without a name
        return "unknown"
