"""A Tenfold that the tests share, and the groups they run in: what breaks processes has others of its own."""

from pathlib import Path

import pytest

from tests.support.tenfold_fixtures import one_trust_store, tenfold, upstream

__all__ = ["one_trust_store", "tenfold", "upstream"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            shared = isinstance(item, pytest.Function) and "tenfold" in item.fixturenames
            item.add_marker(pytest.mark.xdist_group("e2e" if shared else "e2e-own-processes"))
