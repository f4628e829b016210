"""In a real browser: from sign up to the first answer, with scripts and without, on a desk and on a phone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tenfold.core.clock import SystemClock
from tests.console.browser import PASSWORD
from tests.console.chromium import chromium, served
from tests.console.test_health_api import standing
from tests.support.console import FakeConsole, PausingCaller, fake_console

T = TypeVar("T")
WAIT_S = 15


@dataclass(frozen=True, kw_only=True)
class Site:
    url: str
    console: FakeConsole


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with fake_console(clock=SystemClock()) as console, served(console.app) as url:
        yield Site(url=url, console=console)


async def in_browser(use: Callable[[], T]) -> T:
    """Selenium blocks: it works in a thread, while the server answers in the loop."""
    return await asyncio.to_thread(use)


def text_of(chrome: Chrome, css: str) -> str:
    return chrome.find_element(By.CSS_SELECTOR, css).text


def wait_for(chrome: Chrome, condition: Callable[[Chrome], object]) -> None:
    WebDriverWait(chrome, WAIT_S, poll_frequency=0.05).until(condition)


def sign_up(chrome: Chrome, url: str) -> str:
    chrome.get(url)
    chrome.find_element(By.ID, "tenant_name").send_keys("Acme & Söhne")
    chrome.find_element(By.ID, "login").send_keys("ann@example.org")
    chrome.find_element(By.ID, "password").send_keys(PASSWORD)
    chrome.find_element(By.CSS_SELECTOR, "form[action='/signup'] button").click()
    wait_for(chrome, lambda chrome: chrome.find_elements(By.ID, "new-key"))
    return text_of(chrome, "#new-key")


def complaints(chrome: Chrome) -> list[str]:
    """What the browser's own console says: refused scripts, failed requests, errors."""
    return [entry["message"] for entry in chrome.get_log("browser")]  # type: ignore[no-untyped-call]


async def test_with_scripts_the_answer_streams_in(site: Site, tmp_path: Path) -> None:
    caller = PausingCaller()
    site.console.use_caller(caller)

    def ask() -> None:
        key = sign_up(chrome, site.url)
        assert key.startswith("tf_")
        chrome.find_element(By.ID, "question").send_keys("How do I use the OpenAI SDK?")
        chrome.find_element(By.CSS_SELECTOR, "form[action='/ask'] button.primary").click()
        wait_for(chrome, lambda chrome: "Set `base_url`" in text_of(chrome, "#answer"))

    def the_rest() -> None:
        assert "as `api_key`" not in text_of(chrome, "#answer")
        assert chrome.find_element(By.ID, "answer").get_attribute("aria-busy") == "true"

    def finished() -> None:
        wait_for(chrome, lambda chrome: chrome.find_elements(By.ID, "source-1"))
        answer = text_of(chrome, "#answer")
        assert "Set base_url to the address of Tenfold" in answer
        assert "0.000012 USD" in answer
        assert chrome.find_element(By.ID, "answer").get_attribute("aria-busy") is None
        assert chrome.current_url == f"{site.url}/signup"
        chrome.find_element(By.CSS_SELECTOR, ".sources a").click()
        wait_for(chrome, lambda chrome: "/docs/quickstart" in chrome.current_url)
        assert complaints(chrome) == []

    with chromium(tmp_path) as chrome:
        await in_browser(ask)
        await in_browser(the_rest)
        caller.go_on.set()
        await in_browser(finished)


async def test_an_example_is_asked_with_one_click(site: Site, tmp_path: Path) -> None:
    def use() -> None:
        sign_up(chrome, site.url)
        chip = chrome.find_element(By.CSS_SELECTOR, ".chip")
        question = chip.text
        chip.click()
        wait_for(chrome, lambda chrome: chrome.find_elements(By.ID, "source-1"))
        assert chrome.find_element(By.ID, "question").get_property("value") == question

    with chromium(tmp_path) as chrome:
        await in_browser(use)
    assert len(site.console.searcher.asked) == 1


async def test_a_refusal_is_told_where_the_answer_would_be(site: Site, tmp_path: Path) -> None:
    def use() -> None:
        sign_up(chrome, site.url)
        chrome.find_element(By.ID, "question").send_keys("Why?")
        chrome.execute_script("document.querySelector('form[data-ask] [name=form_token]').value = 'x'")
        chrome.find_element(By.CSS_SELECTOR, "form[action='/ask'] button.primary").click()
        wait_for(chrome, lambda chrome: "expired" in text_of(chrome, "[data-status]"))
        assert chrome.find_element(By.CSS_SELECTOR, "form[action='/ask'] button.primary").is_enabled()

    with chromium(tmp_path) as chrome:
        await in_browser(use)


async def test_without_scripts_everything_works_too(site: Site, tmp_path: Path) -> None:
    def use() -> None:
        sign_up(chrome, site.url)
        assert not chrome.find_element(By.CSS_SELECTOR, ".copy").is_displayed()
        chrome.find_element(By.ID, "question").send_keys("How do I use the OpenAI SDK?")
        chrome.find_element(By.CSS_SELECTOR, "form[action='/ask'] button.primary").click()
        wait_for(chrome, lambda chrome: chrome.find_elements(By.ID, "source-1"))
        assert chrome.current_url == f"{site.url}/ask"
        assert "Set base_url to the address of Tenfold" in text_of(chrome, "#answer")
        chrome.get(f"{site.url}/keys")
        chrome.find_element(By.CSS_SELECTOR, "form[action$='/revoke'] button").click()
        wait_for(chrome, lambda chrome: "revoked" in text_of(chrome, "table"))
        assert complaints(chrome) == []

    with chromium(tmp_path, scripts=False) as chrome:
        await in_browser(use)


async def test_the_status_is_read_without_scripts(site: Site, tmp_path: Path) -> None:
    site.console.targets.told = [
        standing("anthropic", "claude-haiku-4-5", state="open", asked_again_s=2.2, served_as=("support-model",)),
        standing("openai", "gpt-4o-mini"),
        standing("openai", "gpt-4o", asked_again_s=11.0),
    ]

    def use() -> None:
        sign_up(chrome, site.url)
        chrome.find_element(By.CSS_SELECTOR, "nav a[href='/status']").click()
        wait_for(chrome, lambda chrome: chrome.current_url == f"{site.url}/status")
        assert text_of(chrome, ".lead") == "1 of 3 is down and 1 asked us to wait."
        states = [each.text for each in chrome.find_elements(By.CSS_SELECTOR, ".state")]
        assert states == ["Down, asked again in 3 s", "Up", "Asked us to wait, 11 s more"]
        assert complaints(chrome) == []

    with chromium(tmp_path, scripts=False) as chrome:
        await in_browser(use)


@pytest.mark.parametrize("width", [360, 1280])
async def test_no_page_scrolls_sideways(width: int, site: Site, tmp_path: Path) -> None:
    def use() -> None:
        chrome.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 780, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        chrome.get(site.url)
        assert_fits(chrome)
        sign_up(chrome, site.url)
        chrome.execute_script("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        assert_fits(chrome)
        for path in ("/", "/keys", "/usage", "/budgets", "/status", "/docs/quickstart", "/nothing"):
            chrome.get(site.url + path)
            assert_fits(chrome)

    def assert_fits(chrome: Chrome) -> None:
        wide = chrome.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width, chrome.current_url

    with chromium(tmp_path) as chrome:
        await in_browser(use)
