"""Webhooks put together: for a serving process, for the console, and for a command."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tenfold.access.handlers import Tenants
from tenfold.access.queries import PostgresAccessRows
from tenfold.app.database import open_database
from tenfold.app.settings import Settings
from tenfold.console.services import WebhookServices
from tenfold.core.clock import Clock, SystemClock
from tenfold.core.principal import ALL_SCOPES, Principal
from tenfold.jobs.follow import Followers
from tenfold.jobs.handlers import JobService
from tenfold.jobs.queries import PostgresJobRows
from tenfold.providers.transport import Timeouts
from tenfold.providers.transport.egress import Answer, EgressGuard, GuardedClient
from tenfold.store import Store
from tenfold.webhooks.handlers import WebhookAdmin
from tenfold.webhooks.log import WebhookLog
from tenfold.webhooks.ports import Queue, Sender
from tenfold.webhooks.queries import PostgresWebhookRows
from tenfold.webhooks.types import KIND, MAX_REPLY_BYTES

TIMEOUT_S = 15.0


class GuardedSender:
    """Implements webhooks.ports.Sender. Standard Webhooks recommends to give a receiver 15 to 30 s."""

    def __init__(self, client: GuardedClient, *, timeout_s: float = TIMEOUT_S) -> None:
        self._client = client
        self._timeouts = Timeouts(
            connect_s=5, acquire_s=5, first_byte_s=timeout_s, between_bytes_s=5, total_s=timeout_s + 5
        )

    async def check(self, url: str) -> None:
        """See `Sender.check`."""
        await self._client.check(url)

    async def post(self, url: str, headers: list[tuple[bytes, bytes]], body: bytes) -> Answer:
        """See `Sender.post`."""
        return await self._client.post(url, headers, body, timeouts=self._timeouts, most_bytes=MAX_REPLY_BYTES)


def guarded_sender(settings: Settings) -> GuardedSender:
    guard = EgressGuard(allow=settings.egress.allow, allow_http=settings.egress.allow_http)
    return GuardedSender(GuardedClient(guard), timeout_s=settings.webhooks.timeout_s)


def webhook_services(store: Store, sender: Sender, jobs: Queue, clock: Clock) -> WebhookServices:
    """For the console."""
    rows = PostgresWebhookRows(store)
    admin = WebhookAdmin(rows, sender, clock)
    return WebhookServices(admin=admin, log=WebhookLog(rows, admin, jobs, clock))


@dataclass(frozen=True, kw_only=True)
class Webhooking:
    tenants: Tenants
    admin: WebhookAdmin
    log: WebhookLog

    async def principal(self, slug: str) -> Principal:
        """The operator, on behalf of the tenant. Raises NotFound, StoreUnavailable."""
        return (await self.tenants.tenant(slug)).principal(ALL_SCOPES)


@asynccontextmanager
async def open_webhooks(settings: Settings) -> AsyncIterator[Webhooking]:
    """For a command: it asks for jobs, and does none. Raises StoreUnavailable."""
    async with open_database(settings) as (_, store):
        clock, rows = SystemClock(), PostgresJobRows(store)
        jobs = JobService(rows, {KIND}, followers=Followers(rows), clock=clock)
        try:
            services = webhook_services(store, guarded_sender(settings), jobs, clock)
            tenants = Tenants(PostgresAccessRows(store), clock)
            yield Webhooking(tenants=tenants, admin=services.admin, log=services.log)
        finally:
            await jobs.aclose()
