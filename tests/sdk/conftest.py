"""One Tenfold for all vendor SDK suites, and the vendors' own clients pointed at it."""

from collections.abc import AsyncIterator, Iterator

import anthropic
import openai
import pytest

from tests.support.tenfold_fixtures import tenfold, upstream
from tests.support.tenfold_process import TenfoldProcess

__all__ = ["tenfold", "upstream"]


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
