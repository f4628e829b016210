"""`tenfold webhook`: endpoints of a tenant, and what was delivered, on a database of its own."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from tenfold.app.cli_parts import DATABASE_AWAY
from tenfold.app.cli_webhook import webhook
from tenfold.core.ids import TenantId, uuid7
from tenfold.store import Store
from tenfold.webhooks.queries import PostgresWebhookRows
from tenfold.webhooks.types import Attempt, Delivery, DeliveryState
from tests.app import test_cli_budget
from tests.app.test_cli_budget import NOBODY, Cli

URL = "https://127.0.0.1/in"


@pytest.fixture
def cli(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setitem(test_cli_budget.main.commands, str(webhook.name), webhook)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tenfold.toml").write_text('[egress]\nallow = ["127.0.0.1/32"]\n')
    runner = Cli(tmp_path, database)
    runner("tenant", "create", "default")
    return runner


def logged(database: str, endpoint: str, *states: DeliveryState) -> list[str]:
    """Deliveries that a worker tried."""
    names = []

    async def write() -> None:
        store = await Store.open(database)
        try:
            async with store.directory(readonly=True) as tx:
                tenant_id = TenantId(await tx.fetchval("SELECT id FROM tenants WHERE slug = 'default'"))
            for state in states:
                delivery = Delivery(
                    tenant_id=tenant_id,
                    id=uuid7(),
                    endpoint_id=UUID(endpoint.removeprefix("we_")),
                    event_id=uuid7(),
                    type="batch.failed",
                    resource="batch_1",
                    body=b'{"type":"batch.failed"}',
                    state=state,
                    created_at=datetime(2026, 1, 1, tzinfo=UTC),
                    job_id=uuid7(),
                    last=Attempt(at=datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC), status=500, latency_ms=7, reply="oh"),
                )
                await PostgresWebhookRows(store).attempted(delivery, gone=False, failing_before=delivery.created_at)
                names.append(f"dlv_{delivery.id.hex}")
        finally:
            await store.aclose()

    asyncio.run(write())
    return names


def test_an_endpoint_is_created_listed_shown_set_rotated_and_ended(cli: Cli) -> None:
    said = cli("webhook", "create", URL, "--event", "batch.*", "--event", "response.failed").stdout
    line, secret = said.splitlines()
    assert line.startswith("created we_")
    assert line.endswith(f"  {URL}: batch.*, response.failed, enabled")
    assert secret.startswith("secret (shown once): whsec_")
    endpoint = line.split()[1]
    assert (
        cli("webhook", "list").stdout == cli("webhook", "show", endpoint).stdout == line.removeprefix("created ") + "\n"
    )
    assert "whsec_" not in cli("webhook", "show", endpoint, "--json").stdout

    cli("webhook", "set", endpoint, "--disabled", "--description", "ours")
    shown = cli.json("webhook", "show", endpoint)
    assert (shown["disabled_by"], shown["description"], shown["events"]) == (
        "asked",
        "ours",
        ["batch.*", "response.failed"],
    )
    rotated = cli.json("webhook", "rotate", endpoint, "--grace-s", "60")
    assert rotated["secret"].startswith("whsec_")
    assert rotated["secret"] not in secret
    assert rotated["old_secret_until"] is not None
    assert cli("webhook", "end", endpoint).stdout == f"ended {endpoint}\n"
    assert cli("webhook", "list").stdout == "none\n"


def test_what_was_delivered_is_told_and_delivered_once_more(cli: Cli, database: str) -> None:
    endpoint = cli.json("webhook", "create", URL)["id"]
    failed, delivered = logged(database, endpoint, "failed", "delivered")
    listed = cli("webhook", "deliveries", endpoint, "--state", "failed").stdout
    assert listed == f"{failed}  batch.failed batch_1: failed, 1 attempt, last 2026-01-01 00:00:05Z  500 in 7 ms\n"
    page = cli.json("webhook", "deliveries", endpoint, "--limit", "1")
    rest = cli.json("webhook", "deliveries", endpoint, "--after", page["cursor"])
    assert {each["id"] for each in page["items"] + rest["items"]} == {failed, delivered}
    told = cli.json("webhook", "delivery", failed)
    assert (told["body"], [each["status"] for each in told["items"]]) == ('{"type":"batch.failed"}', [500])
    assert '{"type":"batch.failed"}\n2026-01-01 00:00:05Z  500 in 7 ms\n' in cli("webhook", "delivery", failed).stdout

    assert cli("webhook", "redeliver", delivered).stdout == f"on its way: {delivered}\n"
    assert cli("webhook", "redeliver", endpoint, "--since", "2026-01-01").stdout == "on their way: 1\n"
    assert cli.json("webhook", "redeliver", endpoint, "--since", "2026-01-01T00:00:01Z") == {"count": 0, "more": False}
    assert cli("webhook", "test", endpoint).stdout.startswith("on its way: dlv_")


def test_what_is_wrong_is_told(cli: Cli) -> None:
    assert "leads to no public address" in cli.fails("webhook", "create", "https://10.0.0.1/")
    assert "one or more of" in cli.fails("webhook", "create", URL, "--event", "response.done")
    for word in ("show", "rotate", "end", "test", "deliveries", "set"):
        assert "no such webhook endpoint" in cli.fails("webhook", word, f"we_{uuid7().hex}")
    for word in ("delivery", "redeliver"):
        assert "no such delivery" in cli.fails("webhook", word, f"dlv_{uuid7().hex}")
    assert "no tenant" in cli.fails("webhook", "list", "--tenant", "nobody")
    cli.environment["TENFOLD_DATABASE_URL"] = NOBODY
    cli.fails("webhook", "list", code=DATABASE_AWAY)
