"""The official OpenAI SDK over every upstream: responses, whole and streamed, with tools, shapes and history."""

import json
from typing import Any

import openai
import pytest
from openai.types.responses import Response
from openai.types.responses.response_stream_event import ResponseStreamEvent
from pydantic import TypeAdapter

from tests.sdk.models import (
    CLAUDE,
    GREETING,
    OFFLINE,
    OPENAI,
    PERSON_QUESTION,
    PIXEL,
    Person,
    check_person,
    every_model,
    every_vendor,
)
from tests.support.openai_schema import assert_valid
from tests.support.upstream_server import UpstreamServer

whole_and_streamed = pytest.mark.parametrize("stream", [False, True])

WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}


def made(client: openai.OpenAI, *, stream: bool, **asked: Any) -> Response:
    """Asked one way or the other, it is the same Response."""
    if not stream:
        response: Response = client.responses.create(**asked)
        return response
    with client.responses.stream(**asked) as events:
        for _ in events:
            pass
        return events.get_final_response()


@every_model
def test_a_whole_answer(openai_client: openai.OpenAI, model: str) -> None:
    raw = openai_client.responses.with_raw_response.create(model=model, input="hello")
    response = raw.parse()
    assert_valid("Response", json.loads(raw.content))
    Response.model_validate_json(raw.content, strict=True)
    assert response.status == "completed"
    assert response.output_text == GREETING or model == OFFLINE
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens > 0
    assert response.created_at > 1_700_000_000
    assert response._request_id == raw.headers["x-request-id"]
    assert raw.headers["tenfold-model"] == model
    assert float(raw.headers["tenfold-cost-usd"]) >= 0
    again = openai_client.responses.retrieve(response.id)
    assert again.to_dict() == response.to_dict()


@every_model
def test_a_stream_says_what_the_whole_answer_says(openai_client: openai.OpenAI, model: str) -> None:
    whole = openai_client.responses.create(model=model, input="Repeat: one, two. Drei!")
    raw = openai_client.responses.with_raw_response.create(model=model, input="Repeat: one, two. Drei!", stream=True)
    events = list(raw.parse())
    for event in events:
        told = event.to_dict()
        assert_valid("ResponseStreamEvent", told)
        TypeAdapter(ResponseStreamEvent).validate_python(told)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    last = events[-1]
    assert last.type == "response.completed"
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == last.response.output_text == whole.output_text
    assert openai_client.responses.retrieve(last.response.id).output_text == text


@every_model
async def test_a_stream_async(async_openai: openai.AsyncOpenAI, model: str) -> None:
    async with async_openai.responses.stream(model=model, input="hello") as events:
        kinds = [event.type async for event in events]
        final = await events.get_final_response()
    assert kinds[-1] == "response.completed"
    assert final.output_text


@every_vendor
@whole_and_streamed
def test_a_conversation(openai_client: openai.OpenAI, upstream: UpstreamServer, model: str, stream: bool) -> None:
    first = made(openai_client, stream=stream, model=model, input="Repeat: first", instructions="Be brief.")
    second = made(openai_client, stream=stream, model=model, input="Repeat: second", previous_response_id=first.id)
    with upstream.recording() as seen:
        third = made(openai_client, stream=stream, model=model, input="Repeat: third", previous_response_id=second.id)
    [asked] = seen
    assert third.output_text == "third"
    assert third.previous_response_id == second.id
    for said in ("Repeat: first", "Repeat: second", "Repeat: third"):
        assert asked.says(said)
    assert not asked.says("Be brief."), "instructions are of one response"
    items = list(openai_client.responses.input_items.list(third.id, order="asc"))
    assert [item.content[0].text for item in items] == [  # type: ignore[union-attr, index]
        *("Repeat: first", "first", "Repeat: second", "second", "Repeat: third")
    ]


@every_vendor
@whole_and_streamed
def test_a_call_and_its_result(openai_client: openai.OpenAI, model: str, stream: bool) -> None:
    asked: Any = {"model": model, "tools": [WEATHER], "stream": stream}
    first = made(openai_client, **asked, input="How is the weather in 'Łódź'?")
    [call] = [item for item in first.output if item.type == "function_call"]
    assert call.name == "get_weather"
    assert json.loads(call.arguments) == {"city": "Łódź"}
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "13 degrees"}
    by_id = made(openai_client, **asked, input=[result], previous_response_id=first.id)
    assert by_id.output_text == "The tool answered: 13 degrees."
    by_hand = made(
        openai_client,
        **asked,
        input=[
            {"role": "user", "content": "How is the weather in 'Łódź'?"},
            *[item.to_dict() for item in first.output],
            result,
        ],
        store=False,
    )
    assert by_hand.output_text == by_id.output_text


@every_vendor
def test_a_call_without_its_result_is_refused(openai_client: openai.OpenAI, model: str) -> None:
    first = openai_client.responses.create(model=model, tools=[WEATHER], input="How is the weather in 'Łódź'?")
    with pytest.raises(openai.BadRequestError):
        openai_client.responses.create(model=model, tools=[WEATHER], input="Well?", previous_response_id=first.id)


@every_vendor
def test_several_calls_at_once(openai_client: openai.OpenAI, model: str) -> None:
    with openai_client.responses.stream(
        model=model, tools=[WEATHER], input="The weather for each of: Paris, Tokyo and Łódź."
    ) as events:
        for _ in events:
            pass
        first = events.get_final_response()
    calls = [item for item in first.output if item.type == "function_call"]
    assert [json.loads(call.arguments)["city"] for call in calls] == ["Paris", "Tokyo", "Łódź"]
    results: Any = [
        {"type": "function_call_output", "call_id": call.call_id, "output": f"{place}"}
        for place, call in enumerate(calls)
    ]
    answer = openai_client.responses.create(model=model, tools=[WEATHER], input=results, previous_response_id=first.id)
    assert answer.output_text


@every_vendor
@whole_and_streamed
def test_a_shape(openai_client: openai.OpenAI, model: str, stream: bool) -> None:
    if stream:
        with openai_client.responses.stream(model=model, input=PERSON_QUESTION, text_format=Person) as events:
            person = events.get_final_response().output_parsed
    else:
        person = openai_client.responses.parse(model=model, input=PERSON_QUESTION, text_format=Person).output_parsed
    assert person is not None
    check_person(person)


@every_vendor
def test_a_picture(openai_client: openai.OpenAI, upstream: UpstreamServer, model: str) -> None:
    picture: Any = {
        "role": "user",
        "content": [
            {"type": "input_text", "text": "What is on it?"},
            {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "auto"},
        ],
    }
    with upstream.recording() as seen:
        response = openai_client.responses.create(model=model, input=[picture])
    assert response.output_text
    assert seen[0].says(PIXEL)
    [item] = openai_client.responses.input_items.list(response.id).data
    assert item.content[1].image_url.endswith(PIXEL)  # type: ignore[union-attr, index]


@every_vendor
def test_thoughts(openai_client: openai.OpenAI, model: str) -> None:
    thinking = {"gpt-4o-mini": "gpt-5-mini", "claude-haiku-4-5": "claude-sonnet-5"}.get(model, "gemini-3.5-flash")
    first = openai_client.responses.create(
        model=thinking, input="hello", reasoning={"effort": "high", "summary": "auto"}
    )
    assert first.output_text == GREETING
    assert first.usage is not None
    if model == CLAUDE:  # the others are asked not to show them
        assert [item.type for item in first.output] == ["reasoning", "message"]
    second = openai_client.responses.create(
        model=thinking, input="hello", reasoning={"effort": "high"}, previous_response_id=first.id
    )
    assert second.output_text


@every_vendor
@whole_and_streamed
def test_too_few_tokens(openai_client: openai.OpenAI, model: str, stream: bool) -> None:
    asked: Any = {"model": model, "input": "Count to 300.", "max_output_tokens": 16}
    if stream:
        last = list(openai_client.responses.create(**asked, stream=True))[-1]
        assert last.type == "response.incomplete"
        response = last.response
    else:
        response = openai_client.responses.create(**asked)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert openai_client.responses.retrieve(response.id).status == "incomplete"


@every_vendor
def test_tokens_are_counted(openai_client: openai.OpenAI, model: str) -> None:
    counted = openai_client.responses.input_tokens.count(model=model, input="Some words to count.")
    assert counted.object == "response.input_tokens"
    assert 0 < counted.input_tokens < 100


@every_vendor
@whole_and_streamed
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (403, openai.PermissionDeniedError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_upstream_errors_keep_their_status(
    openai_client: openai.OpenAI, model: str, status: int, kind: type[openai.APIStatusError], stream: bool
) -> None:
    with pytest.raises(kind) as failed:
        openai_client.responses.create(model=model, input=f"hello [[status {status} 7]]", stream=stream)
    assert failed.value.status_code == status
    assert failed.value.response.headers["retry-after"] == "7"
    assert failed.value.request_id


@every_vendor
@pytest.mark.parametrize("fault", ["cut 4", "end 4", "error-event 4"])
def test_a_broken_stream_raises(openai_client: openai.OpenAI, model: str, fault: str) -> None:
    with pytest.raises(openai.APIError):
        list(openai_client.responses.create(model=model, input=f"Count to 30. [[{fault}]]", stream=True))


@pytest.mark.parametrize(
    "more",
    [
        {"input": 5},
        {"input": [{"role": "king", "content": "x"}]},
        {"max_output_tokens": "many"},
        {"tools": [{"name": 5}]},
        {"stream": "yes"},
        {"previous_response_id": 5},
        {"store": "yes"},
        {"background": "yes"},
        {"metadata": {"a": 5}},
    ],
)
def test_wrong_types(openai_client: openai.OpenAI, upstream: UpstreamServer, more: dict[str, Any]) -> None:
    with upstream.recording() as seen, pytest.raises(openai.BadRequestError) as refused:
        openai_client.post("/responses", body={"model": OPENAI, "input": "hello", **more}, cast_to=object)
    assert refused.value.type == "invalid_request_error"
    assert next(iter(more)) in (refused.value.param or "")
    assert seen == []


def test_unknown_names(openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        openai_client.responses.create(model="gpt-4o-mimi", input="hello")
    assert refused.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        openai_client.responses.retrieve("resp_" + "0" * 32)
    with pytest.raises(openai.AuthenticationError):
        openai_client.with_options(api_key="sk-none").responses.retrieve("resp_" + "0" * 32)
