"""The pages and the control plane: the console on the parts below it, each seen through the port it asks for."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from fastapi import FastAPI

from tenfold import __version__
from tenfold.access.accounts import Accounts
from tenfold.access.handlers import ApiKeys, Tenants
from tenfold.access.keyring import Keyring
from tenfold.access.passwords import Passwords
from tenfold.access.queries import PostgresAccessRows
from tenfold.access.types import Page
from tenfold.app.budgeting import money_services
from tenfold.app.settings import Settings
from tenfold.assistant.assistant import Assistant
from tenfold.assistant.precompute.handlers import Precompute
from tenfold.assistant.tickets.ports import Support
from tenfold.console.app import create_console
from tenfold.console.cache_services import CacheServices
from tenfold.console.documentation import MarkdownDocumentation
from tenfold.console.knowledge_services import KnowledgeService
from tenfold.console.services import (
    ConsoleServices,
    DaySpend,
    FlagServices,
    HealthServices,
    JobServices,
    ReceiptLine,
    SloService,
    WebhookServices,
)
from tenfold.core.clock import SystemClock
from tenfold.core.errors import InvalidRequest
from tenfold.core.ids import TenantId
from tenfold.inference.tickets.handlers import Tickets
from tenfold.ledger.ports import ReceiptRows
from tenfold.ledger.queries import PostgresReceiptRows
from tenfold.ledger.reports.handlers import Reports
from tenfold.ledger.types import Cursor
from tenfold.store import Store


def build_console(
    settings: Settings,
    store: Store,
    keyring: Keyring,
    documentation: MarkdownDocumentation,
    reports: Reports,
    slo: SloService,
    *,
    assistant: Assistant,
    support: Support,
    knowledge: KnowledgeService,
    precompute: Precompute,
    flags: FlagServices | None = None,
    health: HealthServices | None = None,
    tickets: Tickets | None = None,
    jobs: JobServices | None = None,
    webhooks: WebhookServices | None = None,
    cache: CacheServices | None = None,
) -> FastAPI:
    rows, clock = PostgresAccessRows(store), SystemClock()
    return create_console(
        ConsoleServices(
            accounts=Accounts(rows, Passwords(), clock),
            keys=ApiKeys(rows, Tenants(rows, clock), clock),
            keyring=keyring,
            assistant=assistant,
            usage=ReceiptUsage(PostgresReceiptRows(store)),
            documentation=documentation,
            model=settings.assistant.model,
            version=__version__,
            sign_up_open=settings.security.sign_up,
            secure_cookies=settings.security.secure_cookies,
            money=money_services(store, clock),
            flags=flags,
            tickets=tickets,
            slo=slo,
            health=health,
            jobs=jobs,
            webhooks=webhooks,
            cache=cache,
            support=support,
            knowledge=knowledge,
            precompute=precompute,
        ),
        reports,
    )


class ReceiptUsage:
    """The usage page on the ledger."""

    def __init__(self, rows: ReceiptRows) -> None:
        self._rows = rows

    async def receipts(self, tenant_id: TenantId, *, cursor: str | None, limit: int) -> Page[ReceiptLine]:
        found = await self._rows.recent(tenant_id, limit=limit + 1, before=_cursor(cursor))
        shown = found[:limit]
        lines = [
            ReceiptLine(
                id=str(receipt.id),
                at=receipt.at,
                operation=receipt.operation,
                model=receipt.model_used or receipt.model_asked,
                provider=receipt.provider,
                input_tokens=receipt.usage.input_tokens if receipt.usage else 0,
                output_tokens=receipt.usage.output_tokens if receipt.usage else 0,
                cost_nano=receipt.total_nano,
                latency_ms=receipt.latency_ms,
                cache=receipt.cache,
                status=receipt.status,
            )
            for receipt in shown
        ]
        more = len(found) > limit
        return Page(items=lines, cursor=f"{shown[-1].at.isoformat()}_{shown[-1].id}" if more else None)

    async def daily_spend(self, tenant_id: TenantId, *, days: int) -> list[DaySpend]:
        first = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)
        groups = await self._rows.spend(tenant_id, since=first, group_by="day")
        return [
            DaySpend(
                day=date.fromisoformat(group.group or ""),
                calls=group.calls,
                cost_nano=group.total_nano,
                cache_hits=group.cache_hits,
            )
            for group in groups
        ]


def _cursor(text: str | None) -> Cursor | None:
    if text is None:
        return None
    at, _, receipt_id = text.partition("_")
    try:
        return Cursor(at=datetime.fromisoformat(at).astimezone(UTC), id=UUID(receipt_id))
    except (ValueError, OverflowError):
        raise InvalidRequest("The cursor is not one this page gave.", param="cursor") from None
