"""A real Tenfold none of whose models can be reached: people sign up, make keys, read, ask, and see how it stands."""

import socket
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from tenfold.assistant.ending import NO_MODEL
from tests.console.browser import Browser, key_on
from tests.support.tenfold_process import TenfoldProcess
from tests.support.upstream_server import eventually

QUESTION = "How do I point the OpenAI SDK at Tenfold?"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TenfoldProcess]:
    """Its one provider is at an address where nobody listens."""
    config = f"""
        [providers.gone]
        kind = "openai"
        base_url = "http://127.0.0.1:{_nobodys_port()}/v1"

        [models.m]
        provider = "gone"
        price = {{ input = 1, output = 1 }}

        [assistant]
        model = "m"
    """
    with TenfoldProcess(tmp_path_factory.mktemp("alone"), config, workers=2) as process:
        yield process


def _nobodys_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@pytest.fixture
async def browser(alone: TenfoldProcess) -> AsyncIterator[Browser]:
    async with httpx.AsyncClient(base_url=alone.url, timeout=30) as client:
        yield Browser(client)


async def test_the_product_is_of_use_without_a_model(alone: TenfoldProcess, browser: Browser) -> None:
    key = await browser.sign_up()
    page = await browser.send("/ask", question=QUESTION)
    assert (browser.status, browser.response.headers["tenfold-degraded"]) == (200, "search")
    assert NO_MODEL in page.text
    assert any(link.startswith("/docs/") for link in page.links)

    await browser.open("/keys")
    await browser.send("/keys", name="second", scope="usage")
    usage_key = key_on(browser.page)
    for path in ("/usage", "/budgets", "/docs", "/docs/guides/slo"):
        await browser.open(path)
        assert browser.status == 200, path

    bearer = {"authorization": f"Bearer {key}"}
    answer = await browser.client.post("/api/v1/ask", json={"question": QUESTION}, headers=bearer)
    assert (answer.status_code, answer.headers["tenfold-degraded"]) == (200, "search")
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    assert (await browser.client.post("/v1/chat/completions", json=body, headers=bearer)).status_code == 502

    def standings() -> dict[str, dict[str, object]]:
        reply = httpx.get(f"{alone.url}/api/v1/slo", headers={"authorization": f"Bearer {usage_key}"})
        assert reply.status_code == 200, reply.text
        return {each["name"]: each for each in reply.json()["data"]}

    def all_are_measured() -> bool:
        found = standings()
        return bool(found) and all(found[name]["p95_ms"] is not None for name in ("auth", "search", "retrieve"))

    eventually(all_are_measured, "the pathways are measured", 20)
    whole = standings()["end_to_end"]
    assert whole["alerts"] is False, "nobody has declared it"
    metrics = httpx.get(f"{alone.url}/metrics").text
    assert 'tenfold_slo_calls_total{slo="end_to_end",pathway="end_to_end",objective="availability"} 3' in metrics
    assert 'tenfold_slo_good_total{slo="end_to_end",pathway="end_to_end",objective="availability"} 2' in metrics
