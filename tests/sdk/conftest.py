"""One Tenfold for all vendor SDK suites, and the vendors' own clients pointed at it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anthropic
import openai
import pytest
import pytest_asyncio
from pytest_asyncio import is_async_test

from tests.sdk.langchain_base import close_forgotten_clients
from tests.support.tenfold_fixtures import one_trust_store, tenfold, upstream
from tests.support.tenfold_process import TenfoldProcess

__all__ = ["one_trust_store", "tenfold", "upstream"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process serves each group of suites. LangChain keeps its async clients for ever, so its tests share the
    loop that their connections live on."""
    for item in items:
        if item.path.parent != Path(__file__).parent:
            continue
        is_langchain = item.path.name.startswith("test_langchain")
        item.add_marker(pytest.mark.xdist_group("sdk-langchain" if is_langchain else "sdk"))
        if is_langchain and is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def langchain_clients() -> AsyncIterator[openai.DefaultAsyncHttpxClient]:
    """One for those that would make their own for each test and close none."""
    async with openai.DefaultAsyncHttpxClient() as client:
        yield client
    await close_forgotten_clients()


@pytest.fixture(scope="session")
def openai_client(tenfold: TenfoldProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{tenfold.url}/v1", api_key=tenfold.key, max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture
async def async_openai(tenfold: TenfoldProcess) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{tenfold.url}/v1", api_key=tenfold.key, max_retries=0, timeout=20
    ) as client:
        yield client


@pytest.fixture(scope="session")
def anthropic_client(tenfold: TenfoldProcess) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=tenfold.url, api_key=tenfold.key, max_retries=0, timeout=20) as client:
        yield client


@pytest.fixture
async def async_anthropic(tenfold: TenfoldProcess) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=tenfold.url, api_key=tenfold.key, max_retries=0, timeout=20) as client:
        yield client
