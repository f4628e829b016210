"""Receipts, sums and FOCUS rows as lines of CSV (RFC 4180). Pure.

A text that a spreadsheet would take for a formula gets an apostrophe in front: it came from a client.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from tenfold.core.money import format_usd
from tenfold.ledger.reports.rollup import NO_KEY
from tenfold.ledger.reports.types import Counted, HourRow, UsageSum

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_QUOTED = frozenset(',"\r\n')

RECEIPT_COLUMNS = tuple(name for name in Counted.__struct_fields__ if name not in ("tenant_id", "leases"))
SUM_COLUMNS = UsageSum.__struct_fields__

# FOCUS 1.4, Cost and Usage: its mandatory columns, then the two that 1.2 and 1.3 had in place of the provider names,
# one recommended, the tags, and our own.
FOCUS_VERSION = "1.4"
FOCUS_COLUMNS = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "HostProviderName",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
    "ServiceProviderName",
    "ServiceSubcategory",
    "Tags",
    "x_CacheHits",
    "x_CachedInputTokens",
    "x_Calls",
    "x_EstimatedCalls",
    "x_Feature",
    "x_InputTokens",
    "x_KeyId",
    "x_Model",
    "x_Operation",
    "x_OutputTokens",
    "x_Status",
    "x_UnpricedCalls",
)
_NO_PROVIDER = "Tenfold"  # answered without one: from the cache, or refused


def header(columns: Sequence[str]) -> str:
    return ",".join(columns) + "\r\n"


def receipt_lines(receipts: Iterable[Counted]) -> str:
    return "".join(_line(getattr(receipt, name) for name in RECEIPT_COLUMNS) for receipt in receipts)


def sum_lines(sums: Iterable[UsageSum]) -> str:
    return "".join(_line(getattr(each, name) for name in SUM_COLUMNS) for each in sums)


def focus_lines(rows: Iterable[HourRow], account: tuple[str, str]) -> str:
    """`account`: id and name of the tenant. Each row is one hour of a key, operation, model, provider, feature and
    status."""
    return "".join(_line(_focus(row, account)[name] for name in FOCUS_COLUMNS) for row in rows)


def _focus(row: HourRow, account: tuple[str, str]) -> dict[str, object]:
    cost = _Amount(format_usd(row.total_nano))
    start = row.hour.astimezone(UTC)
    month = start.replace(day=1, hour=0)
    provider = row.provider or _NO_PROVIDER
    return {
        "BilledCost": cost,
        "BillingAccountId": account[0],
        "BillingAccountName": account[1],
        "BillingCurrency": "USD",
        "BillingPeriodEnd": (month + timedelta(days=32)).replace(day=1),
        "BillingPeriodStart": month,
        "ChargeCategory": "Usage",
        "ChargeClass": None,
        "ChargeDescription": f"{row.calls} calls ({row.operation}) of {row.model}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": start + timedelta(hours=1),
        "ChargePeriodStart": start,
        "ContractedCost": cost,
        "EffectiveCost": cost,
        "HostProviderName": provider,
        "InvoiceIssuerName": provider,
        "ListCost": cost,
        "PricingQuantity": None,
        "PricingUnit": None,
        "ProviderName": provider,
        "PublisherName": provider,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": row.model or row.operation,
        "ServiceProviderName": provider,
        "ServiceSubcategory": "Generative AI",
        "Tags": msgspec.json.encode({"feature": row.feature}).decode() if row.feature else None,
        "x_CacheHits": row.cache_hits,
        "x_CachedInputTokens": row.cache_read_tokens,
        "x_Calls": row.calls,
        "x_EstimatedCalls": row.estimated,
        "x_Feature": row.feature or None,
        "x_InputTokens": row.input_tokens,
        "x_KeyId": None if row.key_id == NO_KEY else str(row.key_id),
        "x_Model": row.model,
        "x_Operation": row.operation,
        "x_OutputTokens": row.output_tokens,
        "x_Status": row.status,
        "x_UnpricedCalls": row.unpriced,
    }


class _Amount(str):
    """A decimal number that we wrote: its minus is no formula."""

    __slots__ = ()


def _line(cells: Iterable[object]) -> str:
    return ",".join(map(_cell, cells)) + "\r\n"


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | _Amount):
        return str(value)
    if isinstance(value, datetime):
        return _moment(value)
    text = str(value)
    if text.startswith(_FORMULA):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if _QUOTED & set(text) else text


def _moment(value: datetime) -> str:
    """ISO 8601 in UTC; the fraction of a second only where there is one."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
