"""Session-wide fixtures: the stand-in for the vendors, and a Tenfold in front of it."""

from collections.abc import Iterator

import pytest

from tests.support.tenfold_process import TenfoldProcess, configuration
from tests.support.upstream_server import UpstreamServer


@pytest.fixture(scope="session")
def upstream() -> Iterator[UpstreamServer]:
    with UpstreamServer() as server:
        yield server


@pytest.fixture(scope="session")
def tenfold(upstream: UpstreamServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TenfoldProcess]:
    """One process for all tests of a worker that only call it."""
    with TenfoldProcess(tmp_path_factory.mktemp("tenfold"), configuration(upstream)) as process:
        yield process
