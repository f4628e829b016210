"""Fixtures of the suites that call a whole Tenfold: the stand-in for the vendors, and a Tenfold in front of it."""

import functools
import ssl
from collections.abc import Iterator

import pytest

from tests.support.tenfold_process import STEADY, TenfoldProcess, configuration
from tests.support.upstream_server import UpstreamServer

_MORE_MODELS = f"""
{STEADY}
[models.unpriced]
provider = "openai"

[models.house-model]
provider = "openai"
upstream = "gpt-4o-mini"
price = {{ input = 7, output = 11 }}

[providers.nowhere]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"

[models.nobody-there]
provider = "nowhere"
price = {{ input = 1, output = 2 }}

[[models.two-targets.targets]]
provider = "nowhere"
upstream = "gpt-4o-mini"

[[models.two-targets.targets]]
provider = "gemini"
upstream = "gemini-2.5-flash"
"""


@pytest.fixture(scope="package", autouse=True)
def one_trust_store() -> Iterator[None]:
    """Each new HTTP client reads all authorities, which takes 20 to 70 ms; here are thousands, and none speaks TLS."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", functools.cache(ssl.create_default_context))
        yield


@pytest.fixture(scope="session")
def upstream() -> Iterator[UpstreamServer]:
    with UpstreamServer() as server:
        yield server


@pytest.fixture(scope="session")
def tenfold(upstream: UpstreamServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TenfoldProcess]:
    """One process for all tests of a worker that only call it."""
    with TenfoldProcess(tmp_path_factory.mktemp("tenfold"), configuration(upstream, _MORE_MODELS)) as process:
        yield process
