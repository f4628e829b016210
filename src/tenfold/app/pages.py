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
from tenfold.app.knowledge import Documentation
from tenfold.app.settings import Settings
from tenfold.assistant.assistant import Assistant
from tenfold.assistant.calling import PathCaller
from tenfold.assistant.ports import Recorder, Switches
from tenfold.console.app import create_console
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
from tenfold.inference.pipeline import Pipeline
from tenfold.inference.tickets.handlers import Tickets
from tenfold.ledger.ports import ReceiptRows
from tenfold.ledger.queries import PostgresReceiptRows
from tenfold.ledger.reports.handlers import Reports
from tenfold.ledger.reports.ports import ReportRows
from tenfold.ledger.types import Cursor
from tenfold.store import Store

# Passages less relevant than this are noise: no model is asked. Measured over the packaged documentation: SciFact's
# claims, which it says nothing about, stay below 0.4, questions about the product are above it.
RELEVANCE_FLOOR = 0.4


def build_console(
    settings: Settings,
    store: Store,
    keyring: Keyring,
    pipeline: Pipeline,
    documentation: Documentation,
    reports: ReportRows,
    slo: SloService | None = None,
    *,
    recorder: Recorder | None = None,
    switches: Switches | None = None,
    flags: FlagServices | None = None,
    health: HealthServices | None = None,
    tickets: Tickets | None = None,
    jobs: JobServices | None = None,
    webhooks: WebhookServices | None = None,
) -> FastAPI:
    rows, clock = PostgresAccessRows(store), SystemClock()
    assistant = Assistant(
        documentation,
        PathCaller(pipeline),
        clock,
        model=settings.assistant.model,
        floor=RELEVANCE_FLOOR,
        switches=switches,
        recorder=recorder,
    )
    return create_console(
        ConsoleServices(
            accounts=Accounts(rows, Passwords(), clock),
            keys=ApiKeys(rows, Tenants(rows, clock), clock),
            keyring=keyring,
            assistant=assistant,
            usage=ReceiptUsage(PostgresReceiptRows(store)),
            documentation=documentation.pages,
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
        ),
        Reports(reports, clock),
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
            DaySpend(day=date.fromisoformat(group.group or ""), calls=group.calls, cost_nano=group.total_nano)
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
