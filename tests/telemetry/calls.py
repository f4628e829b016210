"""Finished calls for whoever tells of them."""

from typing import Any

from tenfold.core.call import Call, CallOptions
from tenfold.core.principal import Principal
from tenfold.core.usage import Usage
from tests.support.pipeline import principal

SECRETS = ("sk-the-body-holds-this", "the-prompt-itself", "a-vendor-header")
ACME = principal()


def finished(whose: Principal = ACME, **facts: Any) -> Call:
    """A call that went well, but for `facts`: attributes of Call."""
    call = Call(
        principal=whose,
        operation=facts.pop("operation", "chat"),
        dialect="openai",
        body=f'{{"model":"m","messages":"{" ".join(SECRETS[:2])}"}}'.encode(),
        options=facts.pop("options", CallOptions(upstream_headers=((b"anthropic-beta", SECRETS[2].encode()),))),
    )
    call.model, call.provider, call.upstream_model = "m", "main", "m-2026"
    call.status, call.http_status = "ok", 200
    call.usage = Usage(input_tokens=12, output_tokens=3)
    call.cost_nano = 18_000
    call.started_at = 1_767_225_600.25  # 2026-01-01T00:00:00.250Z
    call.first_byte, call.finished = call.started + 0.2, call.started + 0.5
    for name, value in facts.items():
        setattr(call, name, value)
    return call
