"""The official OpenAI SDK: the tool `file_search` of the Responses API, over every upstream and the offline model."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types import VectorStore

from tests.sdk.models import CLAUDE, OFFLINE, every_model
from tests.sdk.test_openai_responses import made, whole_and_streamed

PUMP = """# The P-40 pump

The pump starts by itself at a pressure of 40 bar.

## Faults

If the lamp E7 is on, the filter is clogged: clean the filter, then press reset for three seconds.
"""
QUESTION = "Search: what does the lamp E7 mean?"


@pytest.fixture(scope="module")
def store(openai_client: openai.OpenAI) -> Iterator[VectorStore]:
    made = openai_client.vector_stores.create(name="Pumps")
    read = openai_client.vector_stores.files.upload_and_poll(
        vector_store_id=made.id, file=("pump.md", PUMP.encode()), attributes={"machine": "pump"}
    )
    assert read.status == "completed", read.last_error
    yield made
    openai_client.vector_stores.delete(made.id)


def tool(store: VectorStore, **more: Any) -> Any:
    return {"type": "file_search", "vector_store_ids": [store.id], **more}


@whole_and_streamed
@every_model
def test_an_answer_cites_its_file(openai_client: openai.OpenAI, store: VectorStore, model: str, stream: bool) -> None:
    response = made(
        openai_client,
        stream=stream,
        model=model,
        input=QUESTION,
        tools=[tool(store)],
        include=["file_search_call.results"],
    )
    search = response.output[0]
    assert search.type == "file_search_call"
    assert search.status == "completed"
    assert search.results
    assert search.results[0].filename == "pump.md"
    assert search.results[0].attributes == {"machine": "pump"}
    assert "the filter is clogged" in response.output_text
    message = response.output[-1]
    assert message.type == "message"
    content: Any = message.content[0]
    note = content.annotations[0]
    assert (note.type, note.filename) == ("file_citation", "pump.md")
    assert content.text[note.index :].startswith("[1]")


@pytest.mark.parametrize("model", [CLAUDE, OFFLINE])
def test_a_conversation_goes_on(openai_client: openai.OpenAI, store: VectorStore, model: str) -> None:
    first = openai_client.responses.create(model=model, input=QUESTION, tools=[tool(store)])
    after = openai_client.responses.create(
        model=model, input="Search: at which pressure?", previous_response_id=first.id, tools=[tool(store)]
    )
    assert "40 bar" in after.output_text


def test_filters_narrow_the_search(openai_client: openai.OpenAI, store: VectorStore) -> None:
    response = openai_client.responses.create(
        model=OFFLINE,
        input=QUESTION,
        tools=[tool(store, filters={"type": "eq", "key": "machine", "value": "fan"})],
        include=["file_search_call.results"],
    )
    assert response.output[0].type == "file_search_call"
    assert response.output[0].results == []
    assert "clogged" not in response.output_text


def test_a_store_that_is_not_there(openai_client: openai.OpenAI) -> None:
    missing: Any = {"type": "file_search", "vector_store_ids": ["vs_" + "0" * 32]}
    with pytest.raises(openai.NotFoundError):
        openai_client.responses.create(model=OFFLINE, input=QUESTION, tools=[missing])
