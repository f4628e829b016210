"""The official OpenAI SDK: responses in the background, polled, streamed from anywhere, cancelled, deleted; and what
becomes of them when a worker is killed."""

import os
import signal
import time
import uuid
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.responses import Response

from tests.sdk.models import CLAUDE, GREETING, OFFLINE, OPENAI, every_model, every_vendor
from tests.support.tenfold_process import TenfoldProcess, configuration
from tests.support.upstream_server import UpstreamServer, eventually

_PATIENCE_S = 30.0


def polled(client: openai.OpenAI, response_id: str) -> Response:
    """As its users do it."""
    deadline = time.monotonic() + _PATIENCE_S
    while (found := client.responses.retrieve(response_id)).status in ("queued", "in_progress"):
        assert time.monotonic() < deadline, found.status
        time.sleep(0.02)
    return found


@every_model
def test_made_and_polled(openai_client: openai.OpenAI, model: str) -> None:
    queued = openai_client.responses.create(model=model, input="hello", background=True)
    assert queued.status in ("queued", "in_progress")
    assert queued.background is True
    response = polled(openai_client, queued.id)
    assert response.status == "completed"
    assert response.output_text == GREETING or model == OFFLINE
    assert response.usage is not None
    assert response.id == queued.id


@every_vendor
def test_gone_on_from(openai_client: openai.OpenAI, model: str) -> None:
    first = polled(openai_client, openai_client.responses.create(model=model, input="hello", background=True).id)
    second = openai_client.responses.create(
        model=model, input="Repeat: again", background=True, previous_response_id=first.id
    )
    assert polled(openai_client, second.id).output_text == "again"


@every_model
def test_streamed_and_streamed_again(openai_client: openai.OpenAI, model: str) -> None:
    events = list(openai_client.responses.create(model=model, input="Count to 9.", background=True, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:2]] == ["response.created", "response.queued"]
    last = events[-1]
    assert last.type == "response.completed"
    half = len(events) // 2
    again = list(openai_client.responses.retrieve(last.response.id, stream=True, starting_after=half))
    assert [event.to_dict() for event in again] == [event.to_dict() for event in events[half + 1 :]]
    with openai_client.responses.stream(response_id=last.response.id) as helper:
        assert helper.get_final_response().output_text == last.response.output_text


def test_a_stream_that_was_left_is_gone_on_with(openai_client: openai.OpenAI, upstream: UpstreamServer) -> None:
    mark = uuid.uuid4().hex
    stream = openai_client.responses.create(
        model=CLAUDE, input=f"Count to 30. [[hold {mark} 9]]", background=True, stream=True
    )
    text, response_id, seen = "", "", -1
    for event in stream:
        seen = event.sequence_number
        if event.type == "response.created":
            response_id = event.response.id
        elif event.type == "response.output_text.delta":
            text += event.delta
            break
    stream.close()
    assert openai_client.responses.retrieve(response_id).status == "in_progress"
    upstream.release(mark)
    for event in openai_client.responses.retrieve(response_id, stream=True, starting_after=seen):
        assert event.sequence_number == seen + 1
        seen = event.sequence_number
        if event.type == "response.output_text.delta":
            text += event.delta
    assert text == " ".join(str(number) for number in range(1, 31))


@pytest.mark.parametrize("stream", [False, True])
def test_cancelled(openai_client: openai.OpenAI, upstream: UpstreamServer, stream: bool) -> None:
    mark = uuid.uuid4().hex
    made: Any = openai_client.responses.create(model=OPENAI, input=f"{mark} [[hang]]", background=True, stream=stream)
    response_id = next(iter(made)).response.id if stream else made.id
    asked = upstream.wait_for(mark)
    cancelled = openai_client.responses.cancel(response_id)
    assert cancelled.status == "cancelled"
    assert asked.closed.wait(10), "the provider's work goes on"
    if stream:
        [*_, last] = made
        assert last.response.status == "cancelled"
    assert openai_client.responses.cancel(response_id).status == "cancelled"
    assert openai_client.responses.retrieve(response_id).status == "cancelled"


def test_deleted(openai_client: openai.OpenAI) -> None:
    response = polled(openai_client, openai_client.responses.create(model=OPENAI, input="x", background=True).id)
    openai_client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        openai_client.responses.retrieve(response.id)


def test_an_error_of_the_provider_is_told(openai_client: openai.OpenAI) -> None:
    queued = openai_client.responses.create(model=OPENAI, input="x [[status 400]]", background=True)
    failed = polled(openai_client, queued.id)
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error.message


@pytest.mark.parametrize("stream", [False, True])
def test_a_worker_is_killed(upstream: UpstreamServer, tmp_path: Path, stream: bool) -> None:
    """Another takes over, and asks again what nobody can know the answer of; whoever follows is told."""
    mark = uuid.uuid4().hex
    asked = f"Count to 30. {mark} [[hold {mark} {9 if stream else 0}]]"
    with (
        TenfoldProcess(tmp_path, configuration(upstream)) as process,
        openai.OpenAI(base_url=f"{process.url}/v1", api_key=process.key, max_retries=9, timeout=60) as client,
    ):
        made: Any = client.responses.create(model=OPENAI, input=asked, background=True, stream=stream)
        if stream:
            events = iter(made)
            response_id = next(events).response.id
            next(event for event in events if event.type == "response.output_text.delta")
        else:
            response_id = made.id
        upstream.wait_for(mark)
        for worker in process.workers():
            os.kill(worker, signal.SIGKILL)
        upstream.release(mark)
        eventually(process.is_ready, "another worker serves", 30)
        response = polled(client, response_id)
        assert response.status == "completed"
        assert response.output_text.endswith("29 30")
        if stream:
            told: list[Any] = list(client.responses.retrieve(response_id, stream=True))
            assert [event.sequence_number for event in told] == list(range(len(told)))
            kinds = [event.type for event in told]
            # The same answer goes on where it was broken off; another one would begin anew, and say so.
            since = told[kinds.index("tenfold.restart") :] if "tenfold.restart" in kinds else told
            text = "".join(event.delta for event in since if event.type == "response.output_text.delta")
            assert told[-1].type == "response.completed"
            assert text == told[-1].response.output_text
