"""instructor, which makes typed answers of the vendors' own clients: its modes over every upstream."""

from collections.abc import Iterator
from typing import Any

import anthropic
import instructor
import openai
import pytest
from instructor.core import InstructorRetryException
from pydantic import BaseModel, field_validator

from tests.sdk.models import CLAUDE, OFFLINE, OPENAI, PERSON_QUESTION, Person, check_person, every_vendor
from tests.support.upstream_server import UpstreamServer

modes = pytest.mark.parametrize(
    "mode",
    [instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA, instructor.Mode.JSON],
    ids=lambda mode: mode.value,
)
MESSAGES: list[Any] = [{"role": "user", "content": PERSON_QUESTION}]


class City(BaseModel):
    name: str


class Answer(BaseModel):
    answer: str


@every_vendor
@modes
def test_openai_modes(openai_client: openai.OpenAI, model: str, mode: instructor.Mode) -> None:
    client = instructor.from_openai(openai_client, mode=mode)
    check_person(client.chat.completions.create(model=model, response_model=Person, messages=MESSAGES))


@pytest.mark.parametrize("model", [OPENAI, CLAUDE])  # it asks for tools and for JSON, which Gemini does not do together
def test_responses_mode(openai_client: openai.OpenAI, model: str) -> None:
    client = instructor.from_openai(openai_client, mode=instructor.Mode.RESPONSES_TOOLS)
    check_person(client.responses.create(model=model, response_model=Person, input=PERSON_QUESTION))


@every_vendor
async def test_openai_async(async_openai: openai.AsyncOpenAI, model: str) -> None:
    client = instructor.from_openai(async_openai)
    person, completion = await client.chat.completions.create_with_completion(
        model=model, response_model=Person, messages=MESSAGES
    )
    check_person(person)
    assert completion.usage.total_tokens > 0


@every_vendor
def test_partial_answers_stream(openai_client: openai.OpenAI, model: str) -> None:
    client = instructor.from_openai(openai_client)
    seen = list(client.chat.completions.create_partial(model=model, response_model=Person, messages=MESSAGES))
    check_person(Person.model_validate(seen[-1].model_dump()))


@every_vendor
def test_iterables_stream(openai_client: openai.OpenAI, model: str) -> None:
    client = instructor.from_openai(openai_client)
    found: Iterator[City] = client.chat.completions.create_iterable(
        model=model, response_model=City, messages=[{"role": "user", "content": "Name 'Oslo'"}]
    )
    assert [city.name for city in found] == ["Oslo"]


@every_vendor
def test_it_asks_again_when_the_answer_is_refused(
    openai_client: openai.OpenAI, upstream: UpstreamServer, model: str
) -> None:
    class NeverRight(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def _refuse(cls, value: str) -> str:
            raise ValueError(f"{value} is not right")

    client = instructor.from_openai(openai_client)
    with upstream.recording() as seen, pytest.raises(InstructorRetryException):
        client.chat.completions.create(
            model=model,
            response_model=NeverRight,
            messages=[{"role": "user", "content": "Name 'Oslo'"}],
            max_retries=2,
        )
    assert len(seen) > 1
    assert seen[1].says("Oslo is not right"), "the second question tells what was wrong with the first answer"


@every_vendor
@modes
@pytest.mark.filterwarnings("ignore:Anthropic client does not support")
def test_anthropic_modes(anthropic_client: anthropic.Anthropic, model: str, mode: instructor.Mode) -> None:
    client = instructor.from_anthropic(anthropic_client, mode=mode)
    person = client.messages.create(model=model, max_tokens=1000, response_model=Person, messages=MESSAGES)
    check_person(person)


@every_vendor
async def test_anthropic_async(async_anthropic: anthropic.AsyncAnthropic, model: str) -> None:
    client = instructor.from_anthropic(async_anthropic)
    person = await client.messages.create(model=model, max_tokens=1000, response_model=Person, messages=MESSAGES)
    check_person(person)


def test_the_offline_model_fills_a_schema_of_one_sentence(openai_client: openai.OpenAI) -> None:
    client = instructor.from_openai(openai_client, mode=instructor.Mode.JSON_SCHEMA)
    found = client.chat.completions.create(
        model=OFFLINE, response_model=Answer, messages=[{"role": "user", "content": "What is Tenfold?"}]
    )
    assert found.answer
