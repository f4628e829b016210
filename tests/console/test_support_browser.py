"""In a real browser: the widget on a page of another site with a strict policy of its own; documents and tickets."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By
from starlette.responses import HTMLResponse

from tenfold.core.clock import SystemClock
from tests.console.chromium import chromium, served
from tests.console.support_parts import answered, principal_of
from tests.console.test_browser import Site, complaints, in_browser, sign_up, text_of, wait_for
from tests.support.console import fake_console

SHOTS = os.environ.get("TENFOLD_SHOTS")  # a folder: what the browser sees is kept there, to be looked at


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with fake_console(clock=SystemClock()) as console, served(console.app) as url:
        yield Site(url=url, console=console)


def shot(chrome: Chrome, name: str) -> None:
    if SHOTS:
        chrome.save_screenshot(f"{SHOTS}/{name}.png")


def shop(url: str, key: str) -> FastAPI:
    """A page of somebody else, which lets in the widget and nothing else."""
    app = FastAPI()
    html = (
        "<!doctype html><html lang=en><title>Shop</title><h1>Pumps</h1><p>The best ones.</p>"
        f'<script src="{url}/widget.js" data-key="{key}" data-label="Help" async></script></html>'
    )
    policy = f"default-src 'none'; script-src {url}; frame-src {url}"

    @app.get("/")
    async def page() -> HTMLResponse:
        return HTMLResponse(html, headers={"content-security-policy": policy})

    @app.get("/favicon.ico")
    async def favicon() -> HTMLResponse:
        return HTMLResponse("")

    return app


async def test_the_widget_answers_on_another_sites_page_and_nowhere_else(site: Site, tmp_path: Path) -> None:
    console = site.console
    tenant = await console.tenants.create_tenant("acme", "Acme")
    owner = await principal_of(console, (await console.keys.create_key(tenant.id, "owner")).secret)

    async def key_for(*origins: str) -> str:
        return (await console.keys.create_key(tenant.id, "Help with your pump", ["support"], origins=origins)).secret

    def button(chrome: Chrome) -> object:
        host = chrome.find_element(By.CSS_SELECTOR, "tenfold-widget")
        return host.shadow_root.find_element(By.CSS_SELECTOR, "button")

    def into_frame(chrome: Chrome) -> None:
        host = chrome.find_element(By.CSS_SELECTOR, "tenfold-widget")
        chrome.switch_to.frame(host.shadow_root.find_element(By.CSS_SELECTOR, "iframe"))

    def ask(chrome: Chrome, url: str) -> Callable[[], None]:
        def use() -> None:
            chrome.get(url)
            wait_for(chrome, lambda chrome: chrome.find_elements(By.CSS_SELECTOR, "tenfold-widget"))
            assert button(chrome).get_attribute("aria-expanded") == "false"  # type: ignore[attr-defined]
            button(chrome).send_keys(Keys.ENTER)  # type: ignore[attr-defined]
            into_frame(chrome)
            wait_for(chrome, lambda chrome: chrome.find_elements(By.ID, "question"))
            shot(chrome, "widget-open")
            chrome.find_element(By.ID, "question").send_keys("How often?", Keys.ENTER)
            wait_for(chrome, lambda chrome: "Looking into the documents" in text_of(chrome, "#said"))
            assert chrome.find_element(By.ID, "question").get_property("value") == ""

        return use

    def judge(chrome: Chrome) -> Callable[[], None]:
        def use() -> None:
            wait_for(chrome, lambda chrome: "Every 30 days" in text_of(chrome, "#said"))
            assert "Looking into" not in text_of(chrome, "#said")
            shot(chrome, "widget-answered")
            chrome.find_element(By.CSS_SELECTOR, "[name=helpful][value=yes]").click()
            wait_for(chrome, lambda chrome: "It helped." in text_of(chrome, "#said"))
            assert len(chrome.find_elements(By.CSS_SELECTOR, "#said li[id]")) >= 2
            chrome.switch_to.default_content()
            chrome.refresh()  # it is still known
            wait_for(chrome, lambda chrome: chrome.find_elements(By.CSS_SELECTOR, "tenfold-widget"))
            button(chrome).click()  # type: ignore[attr-defined]
            into_frame(chrome)
            wait_for(chrome, lambda chrome: "Every 30 days" in text_of(chrome, "#said"))
            chrome.find_element(By.ID, "question").send_keys(Keys.ESCAPE)
            chrome.switch_to.default_content()
            wait_for(chrome, lambda chrome: button(chrome).get_attribute("aria-expanded") == "false")  # type: ignore[attr-defined]
            assert complaints(chrome) == []

        return use

    def refused(chrome: Chrome, url: str) -> Callable[[], None]:
        def use() -> None:
            chrome.get(url)
            wait_for(chrome, lambda chrome: chrome.find_elements(By.CSS_SELECTOR, "tenfold-widget"))
            button(chrome).click()  # type: ignore[attr-defined]
            wait_for(chrome, lambda chrome: any("frame-ancestors" in each for each in complaints(chrome)))

        return use

    with chromium(tmp_path) as chrome:
        origins = "http://127.0.0.1:1", "http://127.0.0.1"
        pages = FastAPI()
        async with served(pages) as url:
            pages.mount("/", shop(site.url, await key_for(url)))
            await in_browser(ask(chrome, url))
            (ticket,) = (await console.support.list(owner)).items
            await answered(console, owner, ticket.name, "Every 30 days [1].")
            await in_browser(judge(chrome))
        async with served(shop(site.url, await key_for(*origins))) as url:
            await in_browser(refused(chrome, url))


async def test_a_document_is_uploaded_and_its_state_follows(site: Site, tmp_path: Path) -> None:
    manual = tmp_path / "manual.md"
    manual.write_text("# Pump\n\nTurn it off first.\n\n## Filter\n\n| part | days |\n|---|---|\n| filter | 30 |\n")

    def upload() -> None:
        sign_up(chrome, site.url)
        chrome.find_element(By.CSS_SELECTOR, "nav a[href='/knowledge']").click()
        wait_for(chrome, lambda chrome: chrome.find_elements(By.ID, "file"))
        chrome.find_element(By.ID, "file").send_keys(str(manual))
        chrome.find_element(By.CSS_SELECTOR, "form[data-upload] button").click()
        wait_for(chrome, lambda chrome: "Being read" in text_of(chrome, "#files"))
        shot(chrome, "knowledge-reading")

    def read() -> None:
        wait_for(chrome, lambda chrome: chrome.find_elements(By.CSS_SELECTOR, "#files th a"))
        shot(chrome, "knowledge")
        link = chrome.find_element(By.CSS_SELECTOR, "#files th a").get_attribute("href")
        chrome.get(f"{link}?from=8&to=26#cited")
        assert text_of(chrome, "#cited") == "Turn it off first."
        shot(chrome, "place")
        assert complaints(chrome) == []

    with chromium(tmp_path / "profile") as chrome:
        await in_browser(upload)
        site.console.knowledge.read()
        await in_browser(read)


@pytest.mark.parametrize("width", [360, 1280])
async def test_no_page_of_support_scrolls_sideways(width: int, site: Site, tmp_path: Path) -> None:
    console = site.console
    keys: list[str] = []

    async def pieces() -> AsyncIterator[bytes]:
        yield b"The pump starts by itself."

    def begin() -> None:
        chrome.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        keys.append(sign_up(chrome, site.url))

    def look(ticket: str, key: str) -> None:
        for path, name in (
            ("/support", "support"),
            (f"/support/{ticket}", "ticket"),
            ("/keys", "keys"),
            (f"/widget?key={key}", "frame"),
            ("/knowledge", "knowledge"),
            ("/cache", "cache"),
        ):
            chrome.get(site.url + path)
            shot(chrome, f"{name}-{width}")
            wide = chrome.execute_script("return document.documentElement.scrollWidth")
            assert wide <= width, chrome.current_url

    with chromium(tmp_path) as chrome:
        await in_browser(begin)
        who = await principal_of(console, keys[0])
        question = "How do I clean the filter of a pump that has averylongnamewithoutanyblankinit_" + "x" * 60 + "?"
        ticket = (await console.support.ask(who, question, email="eva@example.org")).thread.ticket.name
        await answered(console, who, ticket, "", hand_off="abstained")
        key = (await console.keys.create_key(who.tenant_id, "Help", ["support"], origins=[site.url])).secret
        await console.knowledge.add(who, f"{'manual' * 20}.md", pieces())
        await asyncio.to_thread(look, ticket, key)
