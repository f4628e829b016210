"""`tenfold report` on a database of its own."""

import asyncio
import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from msgspec import json

from tenfold.app.cli_report import report
from tenfold.core.ids import TenantId, uuid7
from tenfold.ledger.queries import insert_receipts
from tenfold.ledger.reports.queries import PostgresReportRows
from tenfold.ledger.reports.types import Outcome
from tenfold.store import Store
from tests.ledger.reports.samples import Place, call

Run = Callable[..., Result]
NOW = datetime.now(UTC)
NOON = NOW.replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.fixture
def run(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    environment = {"TENFOLD_HOME": str(tmp_path / "home"), "TENFOLD_DATABASE_URL": database}

    def invoke(*words: str, code: int = 0) -> Result:
        result = CliRunner().invoke(report, [*words], env=environment)
        assert result.exit_code == code, result.output + str(result.exception)
        return result

    return invoke


@pytest.fixture
async def place(store: Store) -> Place:
    return Place(PostgresReportRows(store), store)


@pytest.fixture
async def tenant(store: Store) -> TenantId:
    tenant_id = TenantId(uuid7())
    async with store.directory() as tx:
        await tx.execute(
            "INSERT INTO tenants (id, slug, name, created_at) VALUES ($1, 'acme', 'Acme', now())", tenant_id
        )
    return tenant_id


async def in_thread(run: Run, *words: str, code: int = 0) -> Result:
    """A command has a loop of its own."""
    return await asyncio.to_thread(run, *words, "--tenant", "acme", code=code)


async def test_usage_and_outcomes(run: Run, place: Place, tenant: TenantId) -> None:
    at = NOW - timedelta(hours=1)
    told = [call(tenant, 1_500_000_000, at=at, feature="search", task="t"), call(tenant, None, at=at)]
    await place.add(tenant, told)
    await place.rows.report_outcomes(tenant, [Outcome(task="t", outcome="success", at=at)])
    assert "1.5 USD  (1 without a price)" in (await in_thread(run, "usage")).stdout
    page = json.decode((await in_thread(run, "usage", "--by", "feature", "--only", "feature=search", "--json")).stdout)
    assert [line["total_nano"] for line in page["items"]] == [1_500_000_000]
    said = (await in_thread(run, "outcomes")).stdout
    assert "1 of 1 succeeded, 1.5 USD: 1.5 USD a success; 1 calls without a task" in said
    assert json.decode((await in_thread(run, "outcomes", "--json")).stdout)["total"]["successes"] == 1


async def test_drift_exits_with_1_on_a_finding(run: Run, place: Place, tenant: TenantId) -> None:
    assert (await in_thread(run, "drift")).stdout == "none\n"
    for days_ago, nano in ((10, 1000), (3, 1300)):
        at = NOON - timedelta(days=days_ago)
        await place.add(tenant, [call(tenant, nano, at=at, feature="search") for _ in range(30)])
    said = (await in_thread(run, "drift", code=1)).stdout
    assert "search" in said
    assert "(+30.00 %)" in said
    assert "price 0.0000003 USD" in " ".join(said.split())
    found = json.decode((await in_thread(run, "drift", "--threshold", "30", "--json")).stdout)
    assert found["findings"] == 0


async def test_exports(run: Run, place: Place, tenant: TenantId, tmp_path: Path) -> None:
    await place.add(tenant, [call(tenant, 5, at=NOW - timedelta(hours=1), feature="@search")])
    [row] = rows_of((await in_thread(run, "export")).stdout)
    assert (row["total_nano"], row["feature"]) == ("5", "'@search")
    [row] = rows_of((await in_thread(run, "export", "--by", "feature")).stdout)
    assert row["calls"] == "1"
    await in_thread(run, "export", "--format", "focus", "--out", str(tmp_path / "focus.csv"))
    [row] = rows_of((tmp_path / "focus.csv").read_bytes().decode())
    assert (row["BilledCost"], row["BillingAccountName"]) == ("0.000000005", "acme")


async def test_rebuild(run: Run, place: Place, tenant: TenantId, store: Store) -> None:
    async with store.tenant(tenant) as tx:
        await insert_receipts(tx, tenant, [call(tenant, 5, at=NOW)])
    today = f"{NOW:%Y-%m-%d}"
    assert json.decode((await in_thread(run, "rebuild", "--since", today, "--json")).stdout) == {"wrong": 2}
    assert "0 rows were wrong" in (await in_thread(run, "rebuild", "--since", today)).stdout


async def test_misuse(run: Run, tenant: TenantId) -> None:
    for words, code in [
        (("usage", "--only", "feature"), 2),
        (("usage", "--only", "colour=red"), 1),
        (("usage", "--by", "colour"), 2),
        (("export", "--only", "feature=x"), 2),
        (("export", "--format", "focus", "--by", "model"), 2),
        (("usage", "--since", "2026-02-01", "--until", "2026-01-01"), 1),
        (("drift", "--days", "0"), 2),
    ]:
        said = await in_thread(run, *words, code=code)
        assert "Traceback" not in said.output


def test_every_command_has_its_help() -> None:
    for command in (report, *report.commands.values()):
        assert command.help
        for option in command.params:
            assert isinstance(option, click.Option)
            assert option.help, (command.name, option.name)


def rows_of(text: str) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))
