"""A mock upstream for the tests of the benchmark harness. Where its tools are absent, they say so and skip."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.load import missing
from bench.mock import Mock, mock_upstream
from bench.processes import find


@pytest.fixture(scope="package")
def mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mock]:
    if not (find("cc") or find("gcc") or find("clang")):
        pytest.skip("no C compiler: the mock upstream of the benchmark cannot be built")
    with mock_upstream(tmp_path_factory.mktemp("mock"), None) as running:
        yield running


@pytest.fixture
def wrk() -> None:
    if reason := missing():
        pytest.skip(reason)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "gateway"
