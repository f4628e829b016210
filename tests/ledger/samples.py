"""Receipts and usages to test with."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from msgspec import structs

from tenfold.core.ids import TenantId, uuid7
from tenfold.core.usage import Usage
from tenfold.ledger.types import Receipt
from tenfold.store import Store

START = datetime(2026, 8, 15, 12, 0, 0, 123456, tzinfo=UTC)


def receipt(tenant_id: TenantId, *, second: int = 0, **facts: Any) -> Receipt:
    defaults: dict[str, Any] = {
        "id": uuid7(),
        "at": START + timedelta(seconds=second),
        "operation": "chat",
        "client_dialect": "openai",
        "provider": "main",
        "model_asked": "gpt-4o-mini",
        "model_used": "gpt-4o-mini-2024-07-18",
        "status": "ok",
        "http_status": 200,
        "latency_ms": 812,
        "first_byte_ms": 210,
        "cache": "miss",
        "usage": Usage(input_tokens=1500, output_tokens=300, cache_read_tokens=1000),
        "input_nano": 150_000,
        "output_nano": 180_000,
        "total_nano": 330_000,
    }
    return Receipt(tenant_id=tenant_id, **{**defaults, **facts})


def full_receipt(tenant_id: TenantId) -> Receipt:
    """Every field set, each token count different."""
    counts = {name: 10 + place for place, name in enumerate(Usage.__struct_fields__)}
    return receipt(
        tenant_id,
        key_id=UUID(int=7),
        status="cut",
        http_status=200,
        error_code="stream_interrupted",
        stream=True,
        cache="bypass",
        estimated=True,
        usage=Usage(**counts),
        feature="support",
        task="T-17",
        end_user="Zoë",
        run="run-9",
        leases=(UUID(int=11), UUID(int=12)),
        draft=True,
        degraded="fallback,stale",
        attempts=3,
    )


def draft(final: Receipt) -> Receipt:
    """What is written down before the call of this receipt asks a provider."""
    return structs.replace(
        final,
        status="cut",
        http_status=500,
        latency_ms=0,
        first_byte_ms=None,
        provider=None,
        model_used=None,
        error_code=None,
        usage=Usage(input_tokens=90_000, output_tokens=4096),
        input_nano=9_000_000,
        output_nano=900_000,
        total_nano=9_900_000,
        estimated=True,
        draft=True,
        degraded=None,
        attempts=1,
    )


def bare_receipt(tenant_id: TenantId, second: int = 0) -> Receipt:
    """Every field that may be absent is."""
    nothing = dict.fromkeys(
        ("provider", "model_used", "first_byte_ms", "usage", "input_nano", "output_nano", "total_nano")
    )
    return receipt(tenant_id, second=second, status="error", http_status=404, error_code="model_not_found", **nothing)


async def add_tenant(store: Store, tenant_id: TenantId) -> None:
    async with store.directory() as tx:
        await tx.execute(
            "INSERT INTO tenants (id, slug, name, created_at) VALUES ($1, $2, 'Test', now())", tenant_id, tenant_id.hex
        )


@st.composite
def usages(draw: st.DrawFn, max_input: int = 2_000_000, max_output: int = 200_000) -> Usage:
    """Any usage whose parts are parts of its totals."""
    total = draw(st.integers(0, max_input))
    read = draw(st.integers(0, total))
    written = draw(st.integers(0, total - read))
    cached_audio = draw(st.integers(0, read))
    output = draw(st.integers(0, max_output))
    output_audio = draw(st.integers(0, output))
    image = draw(st.integers(0, output - output_audio))
    return Usage(
        input_tokens=total,
        output_tokens=output,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=draw(st.integers(0, written)),
        input_audio_tokens=cached_audio + draw(st.integers(0, total - read - written)),
        cache_audio_read_tokens=cached_audio,
        output_audio_tokens=output_audio,
        output_image_tokens=image,
        reasoning_tokens=draw(st.integers(0, output - output_audio - image)),
    )
