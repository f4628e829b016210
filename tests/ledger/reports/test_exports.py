"""Lines of CSV: read back by a CSV reader they are what was written, and no cell is a formula."""

import csv
import io
import json
import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tenfold.core.ids import TenantId
from tenfold.ledger.reports import exports
from tenfold.ledger.reports.counting import counted
from tenfold.ledger.reports.fake import FakeReportRows
from tenfold.ledger.reports.types import HourRow
from tests.ledger.reports.samples import DAY, MONTH, call, key

TENANT = TenantId(UUID(int=1))
ACCOUNT = (str(TENANT), "acme")

# FOCUS 1.4, Cost and Usage dataset: feature level "Mandatory", and those of them that allow no null.
MANDATORY = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "HostProviderName",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ServiceCategory",
    "ServiceName",
    "ServiceProviderName",
]
NULLABLE = {"BillingAccountName", "ChargeClass", "ChargeDescription", "PricingQuantity", "PricingUnit"}


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


async def hour_rows(**facts: Any) -> list[HourRow]:
    rows = FakeReportRows()
    rows.add([call(TENANT, 1_234_500_000, minute=75, **facts)])
    return await rows.hours(TENANT, MONTH, limit=9)


def test_a_receipt_as_csv() -> None:
    one = counted(call(TENANT, 5, feature="a,b", task='say "x"\r\n', estimated=True, key_id=key(7)))
    [row] = read(exports.header(exports.RECEIPT_COLUMNS) + exports.receipt_lines([one]))
    assert (row["feature"], row["task"], row["total_nano"]) == ("a,b", 'say "x"\r\n', "5")
    assert (row["at"], row["estimated"], row["error_code"]) == ("2026-08-15T00:00:00Z", "true", "")
    assert row["key_id"] == str(key(7))
    assert "tenant_id" not in row


async def test_focus_has_the_mandatory_columns_in_order() -> None:
    [row] = read(exports.header(exports.FOCUS_COLUMNS) + exports.focus_lines(await hour_rows(), ACCOUNT))
    assert set(MANDATORY) <= set(row)
    assert all(row[name] for name in MANDATORY if name not in NULLABLE)
    own = [name.startswith("x_") for name in exports.FOCUS_COLUMNS]
    assert own == sorted(own), "columns of our own come after those of FOCUS"
    assert all(re.fullmatch(r"(x_)?[A-Z][A-Za-z]+", name) for name in exports.FOCUS_COLUMNS)


async def test_a_focus_row() -> None:
    [hour] = await hour_rows(feature="search", key_id=key(7))
    [row] = read(exports.header(exports.FOCUS_COLUMNS) + exports.focus_lines([hour], ACCOUNT))
    costs = {row[name] for name in ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")}
    assert (costs, row["BillingCurrency"]) == ({"1.2345"}, "USD")
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == ("2026-08-15T01:00:00Z", "2026-08-15T02:00:00Z")
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == ("2026-08-01T00:00:00Z", "2026-09-01T00:00:00Z")
    assert (row["ChargeCategory"], row["ChargeClass"]) == ("Usage", "")
    assert (row["ServiceCategory"], row["ServiceSubcategory"]) == ("AI and Machine Learning", "Generative AI")
    assert (row["ServiceProviderName"], row["HostProviderName"], row["ProviderName"]) == ("main", "main", "main")
    assert json.loads(row["Tags"]) == {"feature": "search"}
    assert (row["x_Calls"], row["x_InputTokens"], row["x_KeyId"]) == ("1", "1500", str(key(7)))


async def test_the_months_of_focus() -> None:
    [hour] = await hour_rows()
    for month, following in [(12, "2027-01"), (1, "2026-02"), (2, "2026-03")]:
        moved = structs.replace(hour, hour=datetime(2026, month, 28, 23, tzinfo=UTC))
        [row] = read(exports.header(exports.FOCUS_COLUMNS) + exports.focus_lines([moved], ACCOUNT))
        assert row["BillingPeriodEnd"] == f"{following}-01T00:00:00Z"


async def test_a_negative_amount_is_a_number_and_a_text_no_formula() -> None:
    [hour] = await hour_rows(provider="=cmd|' /C calc'!A0")
    [row] = read(
        exports.header(exports.FOCUS_COLUMNS) + exports.focus_lines([structs.replace(hour, total_nano=-5)], ACCOUNT)
    )
    assert row["BilledCost"] == "-0.000000005"
    assert row["ProviderName"] == "'=cmd|' /C calc'!A0"


@given(st.text(max_size=30))
def test_any_text_comes_back_and_is_no_formula(text: str) -> None:
    line = exports.receipt_lines([counted(call(TENANT, at=DAY, feature=text, end_user=text))])
    [row] = read(exports.header(exports.RECEIPT_COLUMNS) + line)
    assert row["feature"] in (text, f"'{text}")
    assert not row["feature"].startswith(("=", "+", "-", "@", "\t", "\r"))
