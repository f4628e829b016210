"""Calls over plain HTTP, the receipts they leave, and waiting for what comes of them."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.support.tenfold_process import TenfoldProcess

PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
VENDOR_MODELS = ["gpt-4o-mini", "claude-haiku-4-5", "gemini-2.5-flash"]

every_dialect = pytest.mark.parametrize("dialect", list(PATHS))
every_vendor = pytest.mark.parametrize("model", VENDOR_MODELS)
whole_and_streamed = pytest.mark.parametrize("stream", [False, True])


def ask(
    tenfold: TenfoldProcess,
    model: str,
    text: str,
    *,
    dialect: str = "openai",
    key: str | None = None,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> httpx.Response:
    body = {"model": model, "max_tokens": 300, "messages": [{"role": "user", "content": text}], **more}
    authorization = {"Authorization": f"Bearer {key or tenfold.key}", **(headers or {})}
    return httpx.post(f"{tenfold.url}{PATHS[dialect]}", json=body, headers=authorization, timeout=20)


async def receipts(
    tenfold: TenfoldProcess, feature: str, count: int = 1, *, status: str | None = None
) -> list[dict[str, Any]]:
    """So many receipts, which may be yet to come, the oldest first."""
    for _ in range(100):
        found = await tenfold.receipts("feature = $1 AND status = coalesce($2, status)", feature, status)
        if len(found) >= count:
            break
        await asyncio.sleep(0.1)
    assert len(found) == count
    return found


async def eventually(condition: Callable[[], Awaitable[bool]], patience_s: float = 60.0) -> None:
    deadline = time.monotonic() + patience_s
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
