"""A small run in which everything is right, and ways to make one thing wrong."""

from datetime import UTC, datetime
from uuid import UUID

from msgspec.structs import replace

from tenfold.app.chaos.audit import Facts, LedgerBudget, LedgerReceipt
from tenfold.app.chaos.bill import Line, Outcome
from tenfold.app.chaos.cast import MODELS, PlannedBudget, PlannedTenant
from tenfold.app.chaos.load import Kind, Sent
from tenfold.core.usage import Usage

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
MODEL = MODELS[0]
USAGE = Usage(input_tokens=1001, output_tokens=77, cache_read_tokens=333)
COST = MODEL.quote.cost(USAGE).total_nano
CAST = (
    PlannedTenant(
        slug="acme",
        features=("search", "chat"),
        runs=2,
        budgets=(
            PlannedBudget(per="tenant", period="day", limit_nano=10 * COST),
            PlannedBudget(per="key", period="total", limit_nano=10 * COST, subject="0"),
            PlannedBudget(per="feature", period="month", limit_nano=10 * COST),
            PlannedBudget(per="model", period="total", limit_nano=10 * COST, subject=MODEL.name),
            PlannedBudget(per="run", period="total", limit_nano=10 * COST),
            PlannedBudget(per="endpoint", period="day", limit_nano=10 * COST, subject="chat"),
            PlannedBudget(per="tenant", period="total", limit_nano=1, hard=False),
        ),
    ),
    PlannedTenant(slug="other"),
)


def call_id(number: int) -> UUID:
    return UUID(int=number)


def request_id(number: int) -> str:
    return f"req_{call_id(number).hex}"


def line(
    number: int, *, tenant: str = "acme", outcome: Outcome = "ok", usage: Usage = USAGE, operation: str = ""
) -> Line:
    return Line(
        request_id=request_id(number),
        at=AT.timestamp(),
        model=MODEL.name,
        outcome=outcome,
        usage=usage,
        tenant=tenant,
        operation=operation or f"op-{number}",
    )


def sent(
    number: int, *, tenant: str = "acme", kind: Kind = "plain", key: str | None = None, operation: str = ""
) -> Sent:
    return Sent(
        kind=kind,
        tenant=tenant,
        key=0,
        model=MODEL.name,
        operation=operation or f"op-{number}",
        feature="search" if tenant == "acme" else None,
        run="run-1" if tenant == "acme" else None,
        idempotency_key=key,
        status=200,
        request_id=request_id(number),
        complete=True,
        interrupted=False,
        digest="d",
    )


def receipt(number: int, *, tenant: str = "acme", total: int | None = COST, task: str = "") -> LedgerReceipt:
    return LedgerReceipt(
        id=call_id(number),
        tenant=tenant,
        at=AT,
        task=task or f"op-{number}",
        total_nano=total,
        adjusted_nano=0,
        estimated=False,
        corrected=False,
    )


def budget(**changes: object) -> LedgerBudget:
    whole = LedgerBudget(
        name="acme/tenant",
        hard=True,
        limit_nano=10 * COST,
        reserved_nano=9 * COST,
        settled_nano=4 * COST,
        released_nano=5 * COST,
        held_nano=0,
        charged_nano=0,
        counted_nano=4 * COST,
    )
    return replace(whole, **changes)


def right() -> Facts:
    """A whole call; one that was cut and is corrected; one that never reached the provider; an error that cost nothing;
    a keyed one that was asked for twice, and a cache hit."""
    free = Usage()
    guess = 5 * COST
    return Facts(
        cast=CAST,
        bill=[
            line(1),
            line(2, outcome="cut"),
            line(4, outcome="error", usage=free),
            line(5, tenant="other"),
        ],
        sent=[
            sent(1),
            replace(sent(2, kind="left"), complete=False),
            replace(sent(3), status=0, request_id=None, complete=False),
            replace(sent(4), status=500),
            sent(5, tenant="other", kind="keyed", key="k"),
            sent(6, tenant="other", kind="keyed", key="k", operation="op-5"),
            sent(7, kind="same"),
        ],
        receipts=[
            receipt(1),
            replace(receipt(2, total=guess), estimated=True, corrected=True, adjusted_nano=COST - guess),
            replace(receipt(3, total=guess), estimated=True, corrected=True, adjusted_nano=-guess),
            receipt(4, total=None),
            receipt(5, tenant="other"),
            receipt(6, tenant="other", total=0, task="op-5"),
            receipt(7, total=0),
        ],
        budgets=[budget()],
        keys_in_flight=[],
    )
