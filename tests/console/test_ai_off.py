"""The product with all AI off: signing up, keys, usage, documentation and the Ask page are of use without any model."""

import json
from collections.abc import Callable

import httpx
import pytest

from tenfold.assistant.ending import NO_MODEL, SWITCHED_OFF
from tenfold.core.errors import FeatureOff, UpstreamUnavailable
from tenfold.core.sse import SseDecoder
from tests.console.browser import Browser, key_on
from tests.support.console import FakeConsole


def assistant_off(console: FakeConsole) -> None:
    console.switches.off.add("assistant")


def model_off(console: FakeConsole) -> None:
    console.switches.off.add("offline-extractive")


def provider_off(console: FakeConsole) -> None:
    """The one path refuses the call: every target's provider is switched off."""
    console.caller.error = FeatureOff("The provider is switched off.")


def providers_away(console: FakeConsole) -> None:
    console.caller.error = UpstreamUnavailable("No connection.")


def nobody_knows(console: FakeConsole) -> None:
    console.switches.away = True


Break = Callable[[FakeConsole], None]
every_way = pytest.mark.parametrize(
    ("break_it", "notice", "asked"),
    [
        (assistant_off, SWITCHED_OFF, False),
        (model_off, SWITCHED_OFF, False),
        (provider_off, SWITCHED_OFF, True),
        (providers_away, NO_MODEL, True),
        (nobody_knows, NO_MODEL, False),
    ],
)


@every_way
async def test_pages_are_of_use_without_a_model(
    console: FakeConsole, browser: Browser, break_it: Break, notice: str, asked: bool
) -> None:
    break_it(console)

    key = await browser.sign_up()
    assert (await console.keyring.load(key)).tenant_slug.startswith("acme-")

    page = await browser.send("/ask", question="How do I use the OpenAI SDK?")
    assert (browser.status, browser.response.headers["tenfold-degraded"]) == (200, "search")
    assert notice in page.text
    assert "Set base_url to the address of Tenfold followed by /v1" in page.text
    assert "/docs/quickstart#call-it-with-the-openai-sdk" in page.links
    assert bool(console.caller.requests) is asked

    await browser.open("/keys")
    await browser.send("/keys", name="second")
    assert key_on(browser.page) != key
    for path in ("/usage", "/budgets", "/docs", "/docs/quickstart"):
        await browser.open(path)
        assert browser.status == 200, path


@every_way
async def test_the_api_answers_with_what_the_search_found(
    console: FakeConsole, browser: Browser, api: httpx.AsyncClient, break_it: Break, notice: str, asked: bool
) -> None:
    break_it(console)
    bearer = {"authorization": f"Bearer {await browser.sign_up()}"}

    whole = await api.post("/api/v1/ask", json={"question": "How?"}, headers=bearer)
    assert (whole.status_code, whole.headers["tenfold-degraded"]) == (200, "search")
    answer = whole.json()
    assert (answer["outcome"], answer["notice"], answer["text"]) == ("degraded", notice, "")
    assert [source["title"] for source in answer["nearest"]] == ["Quick start", "Keys"]
    assert (answer["model"], answer["cost_usd"]) == (None, None)

    streamed = await api.post("/api/v1/ask", json={"question": "How?", "stream": True}, headers=bearer)
    assert streamed.headers["tenfold-degraded"] == "search"
    [event] = SseDecoder().feed(streamed.content)
    assert (event.event, json.loads(event.data)["notice"]) == ("end", notice)

    assert console.recorder.told == [("end_to_end", 0.0, True)] * 2, "an answer that is declared is a good one"


async def test_an_answer_by_a_fallback_says_so_and_is_an_answer(
    console: FakeConsole, browser: Browser, api: httpx.AsyncClient
) -> None:
    bearer = {"authorization": f"Bearer {await browser.sign_up()}"}
    console.caller.summary = type(console.caller.summary)(model="spare", degraded=("fallback",))
    reply = await api.post("/api/v1/ask", json={"question": "How?"}, headers=bearer)
    assert (reply.json()["outcome"], reply.headers["tenfold-degraded"]) == ("answered", "fallback")


async def test_an_answer_that_breaks_off_is_no_good_one(console: FakeConsole, browser: Browser) -> None:
    await browser.sign_up()
    console.caller.error, console.caller.error_after = UpstreamUnavailable("cut"), 1
    await browser.send("/ask", question="How?")
    assert console.recorder.told == [("end_to_end", 0.0, False)]


async def test_a_search_that_fails_counts_against_the_whole_and_a_bad_question_does_not(
    console: FakeConsole, browser: Browser, api: httpx.AsyncClient
) -> None:
    bearer = {"authorization": f"Bearer {await browser.sign_up()}"}
    assert (await api.post("/api/v1/ask", json={"question": ""}, headers=bearer)).status_code == 400
    assert console.recorder.told == []
    console.searcher.away = True
    assert (await api.post("/api/v1/ask", json={"question": "How?"}, headers=bearer)).status_code == 503
    assert console.recorder.told == [("end_to_end", 0.0, False)]
