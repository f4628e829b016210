"""Filters: what the database finds is what the same filter says of plain values, and nothing in a filter is SQL."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenfold.core.errors import InvalidRequest
from tenfold.core.ids import TenantId
from tenfold.retrieval.fake import FakeEmbedder
from tenfold.retrieval.filters import MAX_COMPARISONS, MAX_DEPTH, MAX_VALUES, check, matches
from tenfold.retrieval.library import Library
from tenfold.retrieval.types import AllOf, AnyOf, Compare, Filter, SourceDocument
from tenfold.store import Store
from tests.retrieval.conftest import new_tenant

METADATA: list[dict[str, Any]] = [
    {},
    {"a": 1},
    {"a": 1.0, "b": "x"},
    {"a": "1"},
    {"a": True, "b": "y"},
    {"a": False},
    {"a": None},
    {"a": 2.5, "b": "Ä"},
    {"a": "x", "b": "a"},
    {"a": "B", "b": ""},
    {"a": [1], "b": {"c": 1}},
    {"a'b": "it's", "b": "%"},
    {"a": -1e300, "b": "x' OR true --"},
]
KEYS = ("a", "b", "a'b", "absent", "")
scalars = st.sampled_from([1.0, 2.5, -1.0, 0.0, True, False, "1", "x", "y", "B", "a", "Ä", "it's", "x' OR true --", ""])
orders = st.builds(
    Compare, key=st.sampled_from(KEYS), type=st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]), value=scalars
)
lists = st.builds(
    Compare,
    key=st.sampled_from(KEYS),
    type=st.sampled_from(["in", "nin"]),
    value=st.lists(scalars, max_size=3).map(tuple),
)
filters: st.SearchStrategy[Filter] = st.recursive(
    orders | lists,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: AllOf(filters=tuple(parts)))
        | st.lists(inner, max_size=3).map(lambda parts: AnyOf(filters=tuple(parts)))
    ),
    max_leaves=6,
)


@pytest.fixture
async def filled(store: Store, tenant: TenantId) -> Library:
    """Each document is found by words and, of the same text, by vectors."""
    library = Library(store, FakeEmbedder(dimensions=16))
    documents = [SourceDocument(id=f"d{n}", text=f"zebra {n}", metadata=one) for n, one in enumerate(METADATA)]
    await library.ingest(tenant, "kb", documents)
    await library.embed(tenant, "kb")
    return library


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(given_filter=filters)
async def test_the_database_agrees_with_plain_values(filled: Library, tenant: TenantId, given_filter: Filter) -> None:
    expected = {f"d{n}" for n, one in enumerate(METADATA) if matches(given_filter, one)}
    for query in ("zebra", "the"):  # by words and by vectors; by vectors alone
        found = await filled.search(tenant, "kb", query, 100, filters=given_filter)
        assert {passage.document_id for passage in found} == expected


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (Compare(key="a", type="eq", value=1.0), {"d1", "d2"}),
        (Compare(key="a", type="ne", value=1.0), {f"d{n}" for n in range(13)} - {"d1", "d2"}),
        (Compare(key="a", type="gte", value=1.0), {"d1", "d2", "d7"}),
        (Compare(key="b", type="gt", value="x"), {"d4", "d7", "d12"}),
        (Compare(key="a", type="in", value=("x", True)), {"d4", "d8"}),
        (Compare(key="b", type="nin", value=("x", "y", "a", "")), {f"d{n}" for n in (0, 1, 3, 5, 6, 7, 10, 11, 12)}),
        (AllOf(filters=()), {f"d{n}" for n in range(13)}),
        (AnyOf(filters=()), set()),
    ],
    ids=["eq", "ne", "gte", "gt of text", "in", "nin", "all of none", "any of none"],
)
async def test_what_a_filter_means(filled: Library, tenant: TenantId, one: Filter, expected: set[str]) -> None:
    found = await filled.search(tenant, "kb", "zebra", 100, filters=one)
    assert {passage.document_id for passage in found} == expected


async def test_the_filter_comes_before_the_best(library: Library, tenant: TenantId) -> None:
    """The one document that is allowed is found behind 300 that match better."""
    better = [SourceDocument(id=f"d{n}", text="zebra " * 5 + str(n), metadata={"kind": "old"}) for n in range(300)]
    last = SourceDocument(id="last", text="zebra among many other words of all kinds", metadata={"kind": "new"})
    await library.ingest(tenant, "kb", [*better, last])
    await library.embed(tenant, "kb")
    only = Compare(key="kind", type="eq", value="new")
    [passage] = await library.search(tenant, "kb", "zebra", 5, filters=only)
    assert (passage.document_id, passage.metadata) == ("last", {"kind": "new"})


async def test_a_filter_that_is_always_true_changes_nothing(library: Library, tenant: TenantId) -> None:
    documents = [SourceDocument(id=f"d{n}", text=f"zebra {'lion ' * n}") for n in range(20)]
    await library.ingest(tenant, "kb", documents)
    everything = AllOf(filters=())
    assert await library.search(tenant, "kb", "zebra lion", filters=everything) == await library.search(
        tenant, "kb", "zebra lion"
    )


async def test_a_filter_never_reaches_another_tenant(library: Library, store: Store, tenant: TenantId) -> None:
    other = await new_tenant(store, "elsewhere")
    await library.ingest(other, "kb", [SourceDocument(id="secret", text="zebra", metadata={"a": 1})])
    await library.ingest(tenant, "kb", [SourceDocument(id="mine", text="zebra", metadata={"a": 2})])
    for one in (Compare(key="a", type="eq", value=1.0), Compare(key="a", type="ne", value="' OR true --")):
        found = await library.search(tenant, "kb", "zebra", filters=one)
        assert {passage.document_id for passage in found} <= {"mine"}


def nested(depth: int) -> Filter:
    return Compare(key="a", type="eq", value=1.0) if depth == 0 else AllOf(filters=(nested(depth - 1),))


@pytest.mark.parametrize(
    "bad",
    [
        nested(MAX_DEPTH + 1),
        AnyOf(filters=tuple(Compare(key="a", type="eq", value=1.0) for _ in range(MAX_COMPARISONS + 1))),
        Compare(key="a", type="in", value=tuple(str(n) for n in range(MAX_VALUES + 1))),
        Compare(key="a", type="in", value="x"),
        Compare(key="a", type="eq", value=("x",)),
        Compare(key="a\x00", type="eq", value="x"),
        Compare(key="a", type="eq", value="\ud800"),
        Compare(key="a", type="gt", value=float("nan")),
        Compare(key="a", type="in", value=(float("inf"),)),
    ],
    ids=["deep", "many", "long list", "in one", "eq list", "NUL", "surrogate", "nan", "inf"],
)
async def test_what_cannot_be_asked_is_refused(library: Library, tenant: TenantId, bad: Filter) -> None:
    with pytest.raises(InvalidRequest):
        check(bad)
    await library.ingest(tenant, "kb", [SourceDocument(id="d", text="zebra")])
    with pytest.raises(InvalidRequest):
        await library.search(tenant, "kb", "zebra", filters=bad)


def test_the_deepest_that_is_allowed() -> None:
    check(nested(MAX_DEPTH))
