"""The opt-in language model: it runs where it is installed, and says how to install it where it is not."""

import os
import signal

import pytest
from msgspec import json

from tenfold.core.chat import Ended, Metered, TextDelta
from tenfold.core.errors import UpstreamUnavailable
from tenfold.providers.offline.local_llm import LocalLlmProvider
from tenfold.providers.offline.smollm2 import ABOUT, MODEL, is_installed
from tenfold.providers.openai import OpenAIWire
from tenfold.providers.ports import WireRequest

needs_model = pytest.mark.skipif(not is_installed(), reason="requirements/local-llm.txt is not installed")
REQUEST = WireRequest(
    path="/chat/completions",
    body=json.encode(
        {
            "model": MODEL,
            "messages": [{"role": "user", "content": "Say hello."}],
            "max_tokens": 8,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ),
)


async def says(provider: LocalLlmProvider) -> str:
    exchange = await provider.send(REQUEST, [])
    decoder = provider.wire.stream_decoder()
    events = [event async for block in exchange.blocks() for event in decoder.feed(block)] + decoder.finish()
    assert isinstance(events[-1], Ended)
    [metered] = [event for event in events if isinstance(event, Metered)]
    assert metered.usage.output_tokens >= 1
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@needs_model
async def test_it_streams_and_is_named_for_what_it_is() -> None:
    provider = LocalLlmProvider(OpenAIWire())
    try:
        assert await says(provider)
        assert (await provider.check()).startswith(ABOUT)
        assert "small" in ABOUT
    finally:
        await provider.aclose()
    assert provider.child_pid is None


@needs_model
async def test_a_killed_model_is_started_again() -> None:
    provider = LocalLlmProvider(OpenAIWire())
    try:
        assert await says(provider)
        first = provider.child_pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert await says(provider)
        assert provider.child_pid not in (None, first)
    finally:
        await provider.aclose()


@pytest.mark.skipif(is_installed(), reason="it is installed")
async def test_where_it_is_not_installed_it_says_so() -> None:
    provider = LocalLlmProvider(OpenAIWire())
    with pytest.raises(UpstreamUnavailable, match=r"requirements/local-llm\.txt"):
        await provider.send(REQUEST, [])
    assert provider.child_pid is None
    await provider.aclose()
