"""The Status page: the state of each target in words, for whoever is signed in."""

import pytest

from tenfold.console.services import KeyLimit
from tests.console.browser import Browser
from tests.console.test_health_api import standing
from tests.support.console import FakeConsole


async def test_each_target_has_its_state_in_words(console: FakeConsole, browser: Browser) -> None:
    keys = (KeyLimit(key="1", limit=64, in_flight=3, waiting=0), KeyLimit(key="2", limit=4096, in_flight=0, waiting=7))
    console.targets.told = [
        standing("anthropic", "claude", state="open", asked_again_s=2.2, latency_ms=None),
        standing("openai", "a", keys=keys),
        standing("openai", "b", state="half_open", keys=keys, calls=0),
        standing("openai", "c", asked_again_s=11.0, keys=keys),
    ]
    await browser.sign_up()

    page = await browser.open("/status")

    assert browser.status == 200
    for said in (
        "2 of 4 are down and 1 asked us to wait.",
        "Down, asked again in 3 s",
        "Being tried again",
        "Asked us to wait, 11 s more",
        "claude as small anthropic",
        "12, 2 failed, 1 slow 310 ms –",
        "openai, key 2 0 7 4096",
    ):
        assert said in page.text
    assert "anthropic, key" not in page.text


@pytest.mark.parametrize(
    ("told", "said"), [([], "No provider's model is configured."), ([standing()], "All of them can be called.")]
)
async def test_the_summary(told: list[object], said: str, console: FakeConsole, browser: Browser) -> None:
    console.targets.told = told  # type: ignore[assignment]
    await browser.sign_up()
    assert said in (await browser.open("/status")).text


async def test_names_of_models_are_text(console: FakeConsole, browser: Browser) -> None:
    console.targets.told = [standing("<b>p</b>", "<script>alert(1)</script>")]
    await browser.sign_up()
    page = await browser.open("/status")
    assert "<script>alert" not in page.html
    assert "<script>alert(1)</script>" in page.text


async def test_it_is_for_people_who_are_signed_in(browser: Browser) -> None:
    await browser.open("/status")
    assert browser.response.url.path == "/login"
    assert "/status" not in browser.page.links
    await browser.sign_up()
    assert "/status" in browser.page.links
