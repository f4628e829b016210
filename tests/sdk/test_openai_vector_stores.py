"""The official OpenAI SDK: vector stores, their files and searches."""

import io
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types import VectorStore

from tests.support.openai_schema import assert_valid

PUMP = """# The P-40 pump

The pump starts by itself at a pressure of 40 bar. Never open its casing while it runs.

## Maintenance

Change the oil of the pump every 500 hours. Use oil of the grade ISO VG 46.

## Faults

If the lamp E7 is on, the filter is clogged: clean the filter, then press reset for three seconds.
"""
FAN = """<h1>The F-2 fan</h1><script>alert('x')</script>
<p>The fan blade is made of beech wood. Its belt lasts for a year.</p>"""
MANUALS: list[tuple[str, str, dict[str, str | float | bool]]] = [
    ("pump.md", PUMP, {"machine": "pump", "year": 2023}),
    ("fan.html", FAN, {"machine": "fan", "year": 2020}),
]


@pytest.fixture(scope="module")
def store(openai_client: openai.OpenAI) -> Iterator[VectorStore]:
    """The manuals of a pump and of a fan, read in once."""
    made = openai_client.vector_stores.create(name="Manuals", metadata={"team": "service"})
    for name, text, attributes in MANUALS:
        file = openai_client.files.create(file=(name, text.encode()), purpose="assistants")
        read = openai_client.vector_stores.files.create_and_poll(
            file.id, vector_store_id=made.id, attributes=attributes
        )
        assert read.status == "completed", read.last_error
    yield made
    openai_client.vector_stores.delete(made.id)


def found(client: openai.OpenAI, store: VectorStore, query: Any, **how: Any) -> list[tuple[str, str]]:
    page = client.vector_stores.search(store.id, query=query, **how)
    return [(each.filename, each.content[0].text) for each in page.data]


def test_a_store(openai_client: openai.OpenAI, store: VectorStore) -> None:
    told = openai_client.vector_stores.retrieve(store.id)
    assert_valid("VectorStoreObject", told.to_dict())
    assert (told.name, told.metadata, told.status) == ("Manuals", {"team": "service"}, "completed")
    assert (told.file_counts.completed, told.file_counts.total) == (2, 2)
    assert told.usage_bytes >= len(PUMP)
    changed = openai_client.vector_stores.update(
        store.id, name="Books", expires_after={"anchor": "last_active_at", "days": 9}
    )
    assert changed.name == "Books"
    assert changed.expires_after is not None
    assert changed.expires_after.days == 9
    assert store.id in {each.id for each in openai_client.vector_stores.list(limit=1)}


def test_searches(openai_client: openai.OpenAI, store: VectorStore) -> None:
    name, text = found(openai_client, store, "What does the lamp E7 mean?")[0]
    assert name == "pump.md"
    assert "the filter is clogged" in text
    name, text = found(openai_client, store, "what wood is the blade made of", rewrite_query=True)[0]
    assert name == "fan.html"
    assert "beech" in text
    assert "alert" not in text
    both = found(openai_client, store, ["oil grade", "belt"], max_num_results=2)
    assert {name for name, _ in both} == {"pump.md", "fan.html"}


def test_searches_with_filters(openai_client: openai.OpenAI, store: VectorStore) -> None:
    fan = {"type": "eq", "key": "machine", "value": "fan"}
    assert {name for name, _ in found(openai_client, store, "oil of the pump", filters=fan)} <= {"fan.html"}
    new, other = {"type": "gte", "key": "year", "value": 2023}, {"type": "ne", "key": "machine", "value": "fan"}
    recent = {"type": "and", "filters": [new, other]}
    assert {name for name, _ in found(openai_client, store, "fan belt, pump oil", filters=recent)} == {"pump.md"}
    strict = {"ranker": "auto", "score_threshold": 1.0}
    assert found(openai_client, store, "zebra crossing", ranking_options=strict) == []
    scores = [each.score for each in openai_client.vector_stores.search(store.id, query="oil of the pump")]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_a_file(openai_client: openai.OpenAI, store: VectorStore) -> None:
    files = openai_client.vector_stores.files
    listed = list(files.list(store.id, filter="completed", order="asc", limit=1))
    assert [each.status for each in listed] == ["completed"] * 2
    pump = listed[0]
    assert_valid("VectorStoreFileObject", pump.to_dict())
    assert files.retrieve(pump.id, vector_store_id=store.id) == pump
    content = "".join(page.text or "" for page in files.content(pump.id, vector_store_id=store.id))
    assert "ISO VG 46" in content
    changed = files.update(pump.id, vector_store_id=store.id, attributes={"machine": "pump", "year": 2030})
    assert changed.attributes == {"machine": "pump", "year": 2030}
    late = {"type": "gt", "key": "year", "value": 2025}
    assert {name for name, _ in found(openai_client, store, "fan belt, pump oil", filters=late)} == {"pump.md"}
    files.update(pump.id, vector_store_id=store.id, attributes={"machine": "pump", "year": 2023})


def test_upload_and_poll(openai_client: openai.OpenAI) -> None:
    store = openai_client.vector_stores.create()
    read = openai_client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id,
        file=("cut.md", io.BytesIO(PUMP.encode() * 3)),
        chunking_strategy={"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50}},
    )
    assert read.status == "completed"
    assert read.chunking_strategy is not None
    assert read.chunking_strategy.type == "static"
    texts = [text for _, text in found(openai_client, store, "pump", max_num_results=50)]
    assert texts
    assert all(len(text) <= 400 for text in texts)
    gone = openai_client.vector_stores.files.delete(read.id, vector_store_id=store.id)
    assert gone.deleted
    assert list(openai_client.vector_stores.search(store.id, query="pump")) == []
    assert openai_client.files.retrieve(read.id).id == read.id
    openai_client.vector_stores.delete(store.id)
    with pytest.raises(openai.NotFoundError):
        openai_client.vector_stores.search(store.id, query="pump")


def test_batches(openai_client: openai.OpenAI) -> None:
    store = openai_client.vector_stores.create(name="Batches")
    good = [(f"{n}.txt", f"Machine number {n} weighs {n} tons.".encode()) for n in range(3)]
    batch = openai_client.vector_stores.file_batches.upload_and_poll(
        store.id, files=[*good, ("broken.pdf", b"%PDF-1.7 and then nothing")], max_concurrency=2
    )
    assert_valid("VectorStoreFileBatchObject", batch.to_dict())
    assert (batch.status, batch.file_counts.completed, batch.file_counts.failed) == ("completed", 3, 1)
    batches = openai_client.vector_stores.file_batches
    failed = list(batches.list_files(batch.id, vector_store_id=store.id, filter="failed"))
    assert [None if each.last_error is None else each.last_error.code for each in failed] == ["invalid_file"]
    assert batches.cancel(batch.id, vector_store_id=store.id).status == "completed"
    assert len(list(batches.list_files(batch.id, vector_store_id=store.id, limit=2))) == 4
    openai_client.vector_stores.delete(store.id)


def test_a_store_made_with_files(openai_client: openai.OpenAI) -> None:
    file = openai_client.files.create(file=("pump.md", PUMP.encode()), purpose="user_data")
    store = openai_client.vector_stores.create(file_ids=[file.id])
    deadline = time.monotonic() + 60
    while store.status != "completed":
        assert time.monotonic() < deadline, store
        time.sleep(0.05)
        store = openai_client.vector_stores.retrieve(store.id)
    assert store.file_counts.completed == 1
    with pytest.raises(openai.NotFoundError):
        openai_client.vector_stores.create(file_ids=["file-" + "0" * 32])
    openai_client.vector_stores.delete(store.id)


async def test_the_async_client(async_openai: openai.AsyncOpenAI) -> None:
    store = await async_openai.vector_stores.create()
    batch = await async_openai.vector_stores.file_batches.upload_and_poll(
        store.id, files=[("pump.md", PUMP.encode()), ("fan.html", FAN.encode())]
    )
    assert batch.file_counts.completed == 2
    page = await async_openai.vector_stores.search(store.id, query="which oil grade")
    assert page.data[0].filename == "pump.md"
    await async_openai.vector_stores.delete(store.id)


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"name": "x" * 300}, "name"),
        ({"expires_after": {"anchor": "last_active_at", "days": 0}}, "expires_after.days"),
        (
            {"chunking_strategy": {"type": "static", "static": {"max_chunk_size_tokens": 5}}},
            "chunking_strategy.static.chunk_overlap_tokens",
        ),
    ],
    ids=["name", "days", "chunking"],
)
def test_what_is_refused(openai_client: openai.OpenAI, asked: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        openai_client.vector_stores.create(**asked)
    assert refused.value.param == param
