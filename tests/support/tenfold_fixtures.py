"""Session-wide fixtures: the stand-in for the vendors, and a Tenfold in front of it."""

from collections.abc import Iterator

import pytest

from tests.support.tenfold_process import TenfoldProcess, configuration
from tests.support.upstream_server import UpstreamServer

# Its tests make one provider fail hundreds of times, and each counts what it asked: no circuit opens, and nothing is
# tried again that a client did not ask for.
_MORE_MODELS = """
[breakers]
min_failures = 10000

[routes."gpt-4o-mini"]
retries = 0

[routes."claude-haiku-4-5"]
retries = 0

[routes."gemini-2.5-flash"]
retries = 0

[models.unpriced]
provider = "openai"

[models.house-model]
provider = "openai"
upstream = "gpt-4o-mini"
price = { input = 7, output = 11 }

[providers.nowhere]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"

[models.nobody-there]
provider = "nowhere"
price = { input = 1, output = 2 }

[[models.two-targets.targets]]
provider = "nowhere"
upstream = "gpt-4o-mini"

[[models.two-targets.targets]]
provider = "gemini"
upstream = "gemini-2.5-flash"
"""


@pytest.fixture(scope="session")
def upstream() -> Iterator[UpstreamServer]:
    with UpstreamServer() as server:
        yield server


@pytest.fixture(scope="session")
def tenfold(upstream: UpstreamServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TenfoldProcess]:
    """One process for all tests of a worker that only call it."""
    with TenfoldProcess(tmp_path_factory.mktemp("tenfold"), configuration(upstream, _MORE_MODELS)) as process:
        yield process
