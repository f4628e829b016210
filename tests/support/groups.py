"""Tests of one `xdist_group` run on one worker, so that what they share is started once.

pytest-xdist 3.8 writes the group to an attribute that pytest 9.2 no longer reads, and hands each test out by itself
(pytest-xdist issue 1386). Here it is written where pytest 9.2 reads it. To go once xdist does so.
"""

from collections.abc import Iterator

import pytest
from _pytest.nodeid import NodeId


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Around all others: the conftest of a folder marks its tests in the same hook."""
    yield
    if not getattr(config.option, "loadgroup", False):  # set in workers
        return
    for item in items:
        group = "_".join(sorted({mark.args[0] for mark in item.iter_markers("xdist_group")}))
        if group and not item.nodeid.endswith(f"@{group}"):
            item._id = NodeId.parse(f"{item.nodeid}@{group}")
