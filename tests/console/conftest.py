"""The console on fakes, and a browser without a screen or a script: an HTTP client that keeps cookies."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.console.browser import Browser
from tests.support.console import FakeConsole, fake_console


@pytest.fixture
async def console() -> AsyncIterator[FakeConsole]:
    async with fake_console() as console:
        yield console


@pytest.fixture
async def browser(console: FakeConsole) -> AsyncIterator[Browser]:
    async with new_client(console) as client:
        yield Browser(client)


@pytest.fixture
async def other_browser(console: FakeConsole) -> AsyncIterator[Browser]:
    async with new_client(console) as client:
        yield Browser(client)


@pytest.fixture
async def api(console: FakeConsole) -> AsyncIterator[httpx.AsyncClient]:
    async with new_client(console) as client:
        yield client


def new_client(console: FakeConsole, base_url: str = "http://tenfold.test") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(console.app), base_url=base_url)
