"""Budget alerts: logged once, posted signed, tried again with pauses, given up in the end, never lost on the way."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import pytest
from msgspec import json
from msgspec.structs import replace
from openai import InvalidWebhookSignatureError, OpenAI

from tenfold.app.alerts import BATCH, MAX_TRIES, Alerts, endpoint_of, event
from tenfold.app.setting_tables import AlertSettings
from tenfold.app.settings import SettingsError
from tenfold.app.webhook import Endpoint, Webhook
from tenfold.core.clock import FakeClock, SystemClock
from tenfold.core.errors import StoreUnavailable, UpstreamTimeout
from tenfold.core.ids import TenantId, uuid7
from tenfold.edge.http import Request
from tenfold.ledger.budgets.fake import FakeBudgetRows
from tenfold.ledger.budgets.types import Budget, BudgetAlert
from tenfold.providers.transport import HttpClient
from tenfold.providers.transport.fake import FakeReply, FakeTransport
from tenfold.webhooks.signing import signature, signing_key
from tests.ledger.samples import receipt
from tests.support.http_server import Served

SECRET = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"
URL = "https://hooks.example/in/x?token=1"
AT = datetime(2026, 1, 1, tzinfo=UTC)
ALERT = BudgetAlert(
    id=UUID("01a1fa29-1de3-7529-8b96-ba00e3ae355d"),
    tenant_id=TenantId(uuid7()),
    budget_id=uuid7(),
    per="feature",
    subject="search",
    period="month",
    period_start=AT,
    percent=80,
    limit_nano=10 * 10**9,
    spent_nano=8_250_000_000,
    hard=True,
    at=AT,
)


class MemoryOutbox:
    """Alerts that are due; `away` is a database that is."""

    def __init__(self, *due: BudgetAlert) -> None:
        self.due = list(due)
        self.done: list[BudgetAlert] = []
        self.put_off_for: list[float] = []
        self.away = False

    async def claim(self, limit: int, for_s: float) -> list[BudgetAlert]:
        claimed, self.due = self.due[:limit], self.due[limit:]
        return claimed

    async def delivered(self, alert: BudgetAlert) -> None:
        if self.away:
            raise StoreUnavailable("away")
        self.done.append(alert)

    async def put_off(self, alert: BudgetAlert, for_s: float) -> None:
        self.due.append(replace(alert, tries=alert.tries + 1))
        self.put_off_for.append(for_s)


class Answers:
    """A receiver that says these in turn; None: taken."""

    def __init__(self, *answers: str | None) -> None:
        self.answers = list(answers)
        self.posted: list[str] = []

    async def post(self, event_id: str, body: bytes) -> str | None:
        self.posted.append(event_id)
        return self.answers.pop(0) if self.answers else None


def highest(_: float, high: float) -> float:
    return high


def said(caplog: pytest.LogCaptureFixture, level: int) -> Sequence[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


async def test_without_a_webhook_the_log_is_told(caplog: pytest.LogCaptureFixture) -> None:
    outbox = MemoryOutbox(ALERT, replace(ALERT, id=uuid7(), per="tenant", subject="", period="total"))
    assert await Alerts(outbox, None).deliver() == 2
    assert said(caplog, logging.WARNING) == [
        "budget alert: feature search has spent 8.25 of 10 USD of this month (80 % reached)",
        "budget alert: tenant has spent 8.25 of 10 USD in total (80 % reached)",
    ]
    assert [vars(record)["tenant"] for record in caplog.records] == [str(ALERT.tenant_id)] * 2
    assert len(outbox.done) == 2


async def test_a_failed_try_is_put_off_longer_each_time_and_then_given_up(caplog: pytest.LogCaptureFixture) -> None:
    outbox, receiver = MemoryOutbox(ALERT), Answers(*["it answered 500"] * MAX_TRIES)
    alerts = Alerts(outbox, receiver, jitter=highest)
    while await alerts.deliver():
        pass
    assert outbox.put_off_for[:5] == [10, 20, 40, 80, 160]
    assert outbox.put_off_for[-1] == 4 * 3600
    assert 24 * 3600 < sum(outbox.put_off_for) < 72 * 3600
    assert receiver.posted == [f"alert_{ALERT.id.hex}"] * MAX_TRIES, "the same id: a receiver may drop repetitions"
    assert [alert.id for alert in outbox.done] == [ALERT.id]
    assert (alerts.delivered, alerts.failed_tries, alerts.given_up) == (0, MAX_TRIES, 1)
    assert len(said(caplog, logging.ERROR)) == 1
    assert sum("has spent" in line for line in said(caplog, logging.WARNING)) == 1, "logged once, however often tried"


async def test_a_later_try_delivers() -> None:
    outbox, receiver = MemoryOutbox(ALERT), Answers("it answered 503", None)
    alerts = Alerts(outbox, receiver)
    assert await alerts.deliver() == 1
    assert 1 <= outbox.put_off_for[0] <= 10
    assert await alerts.deliver() == 1
    assert (len(outbox.done), outbox.due, alerts.delivered) == (1, [], 1)


async def test_one_batch_at_a_time() -> None:
    outbox = MemoryOutbox(*(replace(ALERT, id=uuid7()) for _ in range(BATCH + 3)))
    alerts = Alerts(outbox, Answers())
    assert [await alerts.deliver() for _ in range(3)] == [BATCH, 3, 0]


async def test_a_delivery_that_cannot_be_noted_is_told_and_the_others_go_on() -> None:
    outbox, receiver = MemoryOutbox(ALERT, replace(ALERT, id=uuid7())), Answers()
    outbox.away = True
    with pytest.raises(StoreUnavailable):
        await Alerts(outbox, receiver).deliver()
    assert len(receiver.posted) == 2


async def test_of_two_processes_one_delivers() -> None:
    """On the fake of the real rows: what one has claimed, the other does not get."""
    clock = FakeClock()
    rows = FakeBudgetRows(clock)
    tenant_id = ALERT.tenant_id
    budget = Budget(
        id=uuid7(), tenant_id=tenant_id, per="tenant", period="total", limit_nano=10, created_at=clock.now()
    )
    await rows.add(budget)
    grant = await rows.lease(tenant_id, uuid7(), budget.id, "", wanted=9, at_least=9)
    assert grant is not None
    rows.settle_receipts(tenant_id, [receipt(tenant_id, total_nano=9, leases=(grant.lease.id,))])
    receivers = [Answers(), Answers()]
    for receiver in receivers:
        await Alerts(rows, receiver).deliver()
    assert [len(receiver.posted) for receiver in receivers] == [1, 0]
    (alert,) = await rows.alerts(tenant_id, limit=10)
    assert (alert.percent, alert.delivered) == (80, True)


# -- the webhook -----------------------------------------------------------------------------


def webhook(transport: FakeTransport) -> Webhook:
    return Webhook(transport, Endpoint.parse(URL, SECRET), FakeClock())


async def test_what_is_posted() -> None:
    transport = FakeTransport([FakeReply(status=204)])
    assert await webhook(transport).post("alert_1", event(ALERT)) is None
    request = transport.requests[0]
    assert (request.method, request.path) == ("POST", "/in/x?token=1")
    body = json.decode(request.body)
    assert (body["type"], body["timestamp"]) == ("budget.alert", "2026-01-01T00:00:00Z")
    told = body["data"]
    assert (told["per"], told["subject"], told["percent"], told["hard"]) == ("feature", "search", 80, True)
    assert (told["spent_usd"], told["limit_usd"], told["period_start"]) == ("8.25", "10", "2026-01-01T00:00:00Z")
    assert (told["alert_id"], told["budget_id"]) == (str(ALERT.id), str(ALERT.budget_id))


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (FakeReply(status=302, headers=[(b"location", b"http://127.0.0.1/")]), "it answered 302"),
        (FakeReply(status=410), "it answered 410"),
        (FakeReply(status=500, body=b"no"), "it answered 500"),
        (FakeReply(error=UpstreamTimeout("no reply in time")), "no reply in time"),
    ],
)
async def test_what_is_no_delivery(reply: FakeReply, why: str) -> None:
    transport = FakeTransport([reply])
    assert await webhook(transport).post("alert_1", b"{}") == why
    assert len(transport.requests) == 1


async def test_a_receiver_verifies_it_with_the_sdk_it_has() -> None:
    received: list[tuple[dict[str, str], bytes]] = []

    async def receive(request: Request) -> None:
        received.append(({k.decode(): v.decode() for k, v in request.headers.items()}, await request.body(1 << 20)))
        request.whole(200, "", b"")

    async with Served(receive) as served:
        endpoint = Endpoint.parse(f"{served.url}/hook", SECRET)
        client = HttpClient(endpoint.origin)
        try:
            assert await Webhook(client, endpoint, SystemClock()).post("alert_1", event(ALERT)) is None
        finally:
            await client.aclose()
    headers, body = received[0]
    sdk = OpenAI(api_key="-", webhook_secret=SECRET)
    sdk.webhooks.verify_signature(body, headers)
    with pytest.raises(InvalidWebhookSignatureError):
        sdk.webhooks.verify_signature(body + b" ", headers)


def test_the_signature_is_the_one_of_the_specification() -> None:
    """The example of the reference libraries (standard-webhooks, test_webhook)."""
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


# -- settings --------------------------------------------------------------------------------


def test_the_endpoint_of_the_settings() -> None:
    assert endpoint_of(AlertSettings(), {}) is None
    settings = AlertSettings(webhook_url=URL, webhook_secret="env:HOOK")
    endpoint = endpoint_of(settings, {"HOOK": SECRET})
    assert endpoint is not None
    assert (str(endpoint.origin), endpoint.target) == ("https://hooks.example", "/in/x?token=1")
    assert SECRET not in repr(endpoint)
    assert "c2Vj" not in repr(endpoint)


@pytest.mark.parametrize(
    ("url", "key", "why"),
    [
        (URL, "", "alerts: webhook_secret points to the environment variable HOOK, which is not set"),
        (URL, "geheim", "alerts: a webhook secret is whsec_ and 24 to 64 random bytes"),
        (URL, "whsec_Zm9v", "alerts: a webhook secret is whsec_"),
        (URL, "whsec_!!!", "alerts: a webhook secret is whsec_"),
        ("https://me:pw@h/x", SECRET, "alerts: the URL must not hold a user name or password"),
        ("https://:80/", SECRET, "alerts: the URL has no valid host"),
        ("https://h/ü", SECRET, "alerts: the URL holds characters that must be percent-encoded"),
    ],
)
def test_an_endpoint_that_cannot_be_used(url: str, key: str, why: str) -> None:
    settings = AlertSettings(webhook_url=url, webhook_secret="env:HOOK")
    with pytest.raises(SettingsError) as caught:
        endpoint_of(settings, {"HOOK": key})
    assert str(caught.value).startswith(why)
    assert "geheim" not in str(caught.value)
    assert "pw" not in str(caught.value)
