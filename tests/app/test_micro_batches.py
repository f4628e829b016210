"""Which providers let calls for embeddings wait for each other."""

import asyncio

import pytest
from msgspec import json
from pydantic import ValidationError

from tenfold.app.settings import Settings
from tenfold.app.upstreams import build_providers
from tenfold.core.chat import EmbeddingsRequest
from tenfold.providers.micro_batching import MicroBatching
from tests.app.test_upstreams import OFFLINE
from tests.support.raw_server import Peer, RawServer

PROVIDERS = {
    "one": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1"},
    "two": {"kind": "gemini", "base_url": "http://127.0.0.1:1"},
    "three": {"kind": "anthropic", "base_url": "http://127.0.0.1:1"},
}


async def wrapped(models: dict[str, object]) -> set[str]:
    seats = build_providers(Settings.model_validate({"providers": PROVIDERS, "models": models}), {}, OFFLINE)
    names = {name for name, (seat,) in seats.items() if isinstance(seat.provider, MicroBatching)}
    for (seat,) in seats.values():
        await seat.provider.aclose()
    return names


async def test_off_unless_a_model_says_so() -> None:
    models: dict[str, object] = {name: {"provider": name} for name in PROVIDERS}
    assert await wrapped(models) == set()
    assert await wrapped(models | {"e": {"provider": "one", "micro_batch_ms": 5}}) == {"one"}


async def test_every_target_of_the_model_that_can_embed() -> None:
    targets = [{"provider": name, "upstream": "e"} for name in PROVIDERS]
    assert await wrapped({"e": {"targets": targets, "micro_batch_ms": 5}}) == {"one", "two"}


async def test_the_smaller_window_of_two_holds_and_calls_share_a_request() -> None:
    asked: list[list[str]] = []

    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            asked.append(json.decode(request.body)["input"])
            data = [{"index": n, "embedding": [1.0]} for n in range(len(asked[-1]))]
            body = json.encode({"data": data, "usage": {"prompt_tokens": 9, "total_tokens": 9}})
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    async with RawServer(script) as server:
        settings = Settings.model_validate(
            {
                "providers": {"one": {"kind": "openai", "base_url": f"http://127.0.0.1:{server.port}/v1"}},
                "models": {
                    "a": {"provider": "one", "upstream": "e", "micro_batch_ms": 1000, "micro_batch_inputs": 9},
                    "b": {"provider": "one", "upstream": "e", "micro_batch_ms": 1000, "micro_batch_inputs": 2},
                },
            }
        )
        provider = build_providers(settings, {}, OFFLINE)["one"][0].provider
        try:
            requests = [
                provider.wire.encode_embeddings(EmbeddingsRequest(model="a", inputs=[text]), "e") for text in "xy"
            ]
            exchanges = await asyncio.gather(*(provider.send(request, []) for request in requests))
            assert [exchange.status for exchange in exchanges] == [200, 200]
        finally:
            await provider.aclose()
    assert asked == [["x", "y"]]


@pytest.mark.parametrize("wrong", [{"micro_batch_ms": -1}, {"micro_batch_ms": 1001}, {"micro_batch_inputs": 1}])
def test_what_cannot_be_meant(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"providers": PROVIDERS, "models": {"e": {"provider": "one"} | wrong}})
