"""A headless Chromium and a real server for it, both only for the time of a test."""

import os
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from tenfold.edge.asgi import AsgiMount
from tenfold.edge.http import HttpServer

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
_SCRIPTS_OFF = {"profile.managed_default_content_settings.javascript": 2}


@contextmanager
def chromium(profile: Path, *, scripts: bool = True, width: int = 1280, height: int = 900) -> Iterator[Chrome]:
    """Skips the test where there is no Chromium, fails it where CI=true."""
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if binary is None or driver is None:
        reason = "needs chromium and chromedriver (Debian: apt-get install chromium chromium-driver)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    options = ChromeOptions()
    options.binary_location = binary
    for flag in (*_FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if not scripts:
        options.add_experimental_option("prefs", _SCRIPTS_OFF)
    chrome = Chrome(options=options, service=ChromeService(driver))
    try:
        yield chrome
    finally:
        chrome.quit()


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """The address at which the application is served, in this event loop, until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = HttpServer(AsgiMount(app, 1024 * 1024))
    await server.start(listener)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        await server.stop(0)
