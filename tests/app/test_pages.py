"""The console's ports on the parts below: the assistant's way to a model, and the usage page on the ledger."""

from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from tenfold.app.pages import ReceiptUsage
from tenfold.assistant.assistant import FEATURE
from tenfold.assistant.calling import PathCaller
from tenfold.assistant.types import CallSummary
from tenfold.core.call import CallOptions
from tenfold.core.chat import ChatRequest, Message, TextDelta, TextPart
from tenfold.core.errors import InvalidRequest, UpstreamError
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.usage import Usage
from tenfold.ledger.fake import FakeReceiptRows
from tenfold.ledger.types import Receipt
from tenfold.providers.transport.fake import FakeReply
from tests.support.pipeline import FRAMES, World, streamed

REQUEST = ChatRequest(model="m", messages=[Message(role="user", parts=[TextPart(text="Hi")])])
OPTIONS = CallOptions(feature=FEATURE)
ACME, OTHER = TenantId(uuid7()), TenantId(uuid7())
ID = "01a1fa65-cf12-76e8-ae71-d93cb37291ad"


# -- the assistant's caller ------------------------------------------------------------------


async def test_a_reply_ends_with_what_it_cost() -> None:
    world = World({"openai": [streamed("openai")]})
    events = [event async for event in PathCaller(world.pipeline).call(world.principal, REQUEST, OPTIONS)]
    *said, summary = events
    assert "".join(event.text for event in said if isinstance(event, TextDelta)) == "Hello"
    assert isinstance(summary, CallSummary)
    assert (summary.model, summary.provider, summary.cost_nano, summary.cache) == ("m", "openai", 18_000, "bypass")
    assert world.outcomes.only.options.feature == FEATURE == "assistant"


async def test_a_refusal_has_no_summary() -> None:
    world = World({"openai": [FakeReply(status=429, body=b"{}")]})
    with pytest.raises(UpstreamError):
        [event async for event in PathCaller(world.pipeline).call(world.principal, REQUEST, OPTIONS)]


async def test_a_reader_that_leaves_cancels_the_call() -> None:
    world = World({"openai": [streamed("openai", stop_at=len(FRAMES["openai"][0] * 2), then="hang")]})
    async with aclosing(PathCaller(world.pipeline).call(world.principal, REQUEST, OPTIONS)) as events:
        await anext(events)
    assert world.outcomes.only.status == "cancelled"
    world.assert_settled()


# -- the usage page --------------------------------------------------------------------------


def receipt(at: datetime, tenant_id: TenantId = ACME, *, usage: Usage | None = None, cost: int | None = 5) -> Receipt:
    return Receipt(
        id=uuid7(),
        tenant_id=tenant_id,
        at=at,
        operation="chat",
        client_dialect="openai",
        model_asked="m",
        model_used="m-2026",
        status="ok",
        http_status=200,
        latency_ms=7,
        cache="miss",
        usage=usage,
        total_nano=cost,
    )


async def test_receipts_come_in_pages_the_newest_first() -> None:
    rows = FakeReceiptRows()
    start = datetime(2026, 1, 1, tzinfo=UTC)
    receipts = [receipt(start + timedelta(seconds=second)) for second in range(5)]
    receipts.append(receipt(receipts[-1].at))  # of the same instant: none may be left out between two pages
    await rows.add(ACME, receipts)
    await rows.add(OTHER, [receipt(start, OTHER)])
    usage = ReceiptUsage(rows)
    seen: list[str] = []
    cursor, pages = None, 0
    while pages == 0 or cursor is not None:
        page = await usage.receipts(ACME, cursor=cursor, limit=2)
        seen += [line.id for line in page.items]
        cursor, pages = page.cursor, pages + 1
    assert pages == 3
    newest_first = sorted(receipts, key=lambda one: (one.at, one.id), reverse=True)
    assert seen == [str(one.id) for one in newest_first]


async def test_a_line_tells_what_is_known() -> None:
    rows = FakeReceiptRows()
    at = datetime(2026, 1, 1, tzinfo=UTC)
    await rows.add(ACME, [receipt(at, usage=Usage(input_tokens=3, output_tokens=4))])
    await rows.add(ACME, [receipt(at - timedelta(days=1), cost=None)])
    metered, unknown = (await ReceiptUsage(rows).receipts(ACME, cursor=None, limit=10)).items
    assert (metered.model, metered.input_tokens, metered.output_tokens, metered.cost_nano) == ("m-2026", 3, 4, 5)
    assert (unknown.input_tokens, unknown.cost_nano) == (0, None)


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "2026-01-01_", "_", "2026-01-01T00:00:00+00:00_not-an-id", f"0001-01-01T00:00+14:00_{UUID(int=7)}"],
)
async def test_a_cursor_that_is_none_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidRequest, match="cursor"):
        await ReceiptUsage(FakeReceiptRows()).receipts(ACME, cursor=cursor, limit=1)


@pytest.mark.parametrize("at", ["2026-01-01", "2026-01-01T00:00:00+05:00"])
async def test_a_cursor_of_any_time_zone_is_one(at: str) -> None:
    rows = FakeReceiptRows()
    await rows.add(ACME, [receipt(datetime(2025, 1, 1, tzinfo=UTC))])
    assert len((await ReceiptUsage(rows).receipts(ACME, cursor=f"{at}_{ID}", limit=1)).items) == 1


async def test_the_spend_of_the_last_days() -> None:
    rows = FakeReceiptRows()
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for days_ago, cost in ((0, 1), (0, 2), (2, 4), (3, 8)):
        await rows.add(ACME, [receipt(today - timedelta(days=days_ago), cost=cost)])
    spend = await ReceiptUsage(rows).daily_spend(ACME, days=3)
    assert [(day.day, day.calls, day.cost_nano) for day in spend] == [
        ((today - timedelta(days=2)).date(), 1, 4),
        (today.date(), 2, 3),
    ]
