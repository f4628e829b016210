"""Attribute names of one call, after the OpenTelemetry conventions for generative AI (semantic-conventions-genai).

What the conventions have no word for (cost, cache, tenant) stands under `tenfold.`.
"""

from typing import Any

from tenfold.core.call import Call
from tenfold.core.money import format_usd

_MAX_NAME = 200


def attributes(call: Call) -> dict[str, Any]:
    """Everything a log line or span says of a call. No content, no secret."""
    found: dict[str, Any] = {
        "tenfold.request_id": call.request_id,
        "tenfold.tenant": call.principal.tenant_slug,
        "tenfold.tenant_id": str(call.principal.tenant_id),
        "tenfold.key_id": str(call.principal.key_id) if call.principal.key_id else None,
        "tenfold.dialect": call.dialect,
        "tenfold.cache": call.cache_state,
        "tenfold.status": call.status,
        "tenfold.cost_usd": format_usd(call.cost_nano) if call.cost_nano is not None else None,
        "tenfold.usage_estimated": call.estimated or None,
        "tenfold.feature": call.options.feature,
        "tenfold.task": call.options.task,
        "tenfold.provider": call.provider,
        "tenfold.upstream_request_id": call.upstream_request_id,
        "tenfold.degraded": ",".join(call.degraded) if call.degraded else None,
        "tenfold.attempts": call.attempts if call.attempts > 1 else None,
        "http.response.status_code": call.http_status,
        "gen_ai.operation.name": call.operation,
        "gen_ai.provider.name": call.provider,
        "gen_ai.request.model": model_name(call) or None,
        "gen_ai.response.model": call.upstream_model,
    }
    if call.usage is not None:
        found["gen_ai.usage.input_tokens"] = call.usage.input_tokens
        found["gen_ai.usage.output_tokens"] = call.usage.output_tokens
        found["gen_ai.usage.cache_read.input_tokens"] = call.usage.cache_read_tokens or None
        found["gen_ai.usage.cache_creation.input_tokens"] = call.usage.cache_write_tokens or None
        found["gen_ai.usage.reasoning.output_tokens"] = call.usage.reasoning_tokens or None
    if call.error is not None:
        found["error.type"] = call.error.code
    return {name: value for name, value in found.items() if value is not None}


def model_name(call: Call) -> str:
    """As the client named it, which may be at any length where there is no such model."""
    return call.model[:_MAX_NAME]


def duration_s(call: Call) -> float:
    return (call.finished or call.started) - call.started


def first_byte_s(call: Call) -> float | None:
    return call.first_byte - call.started if call.first_byte is not None else None
