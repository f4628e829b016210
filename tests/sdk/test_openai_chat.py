"""The official OpenAI SDK over every upstream: chat completions, whole and streamed."""

import base64
import json
from collections.abc import Iterable

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam

from tests.sdk.models import (
    CLAUDE,
    GEMINI,
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


def user(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def text_of(chunks: Iterable[ChatCompletionChunk], choice: int = 0) -> str:
    return "".join(part.delta.content or "" for chunk in chunks for part in chunk.choices if part.index == choice)


@every_model
def test_a_whole_answer(openai_client: openai.OpenAI, model: str) -> None:
    raw = openai_client.chat.completions.with_raw_response.create(model=model, messages=user("hello"))
    completion = raw.parse()
    assert_valid("CreateChatCompletionResponse", json.loads(raw.content))
    ChatCompletion.model_validate_json(raw.content, strict=True)
    choice = completion.choices[0]
    assert choice.message.role == "assistant"
    assert choice.finish_reason == "stop"
    assert choice.message.content == GREETING or model == OFFLINE
    assert completion.usage is not None
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens > 0
    assert completion.created > 1_700_000_000
    assert completion._request_id == raw.headers["x-request-id"]
    assert raw.headers["tenfold-model"] == model
    assert float(raw.headers["tenfold-cost-usd"]) >= 0


@every_model
async def test_a_whole_answer_async(async_openai: openai.AsyncOpenAI, model: str) -> None:
    completion = await async_openai.chat.completions.create(model=model, messages=user("hello"))
    assert completion.choices[0].message.content
    assert completion.model == model


@every_model
def test_a_stream_says_what_the_whole_answer_says(openai_client: openai.OpenAI, model: str) -> None:
    whole = openai_client.chat.completions.create(model=model, messages=user("Repeat: one, two. Drei!"))
    chunks = list(
        openai_client.chat.completions.create(model=model, messages=user("Repeat: one, two. Drei!"), stream=True)
    )
    for chunk in chunks:
        assert_valid("CreateChatCompletionStreamResponse", json.loads(chunk.model_dump_json(exclude_unset=True)))
    assert text_of(chunks) == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks), "usage was not asked for"
    assert len(chunks) > 3


@every_model
async def test_usage_of_a_stream_comes_last_and_alone(async_openai: openai.AsyncOpenAI, model: str) -> None:
    stream = await async_openai.chat.completions.create(
        model=model, messages=user("hello"), stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    *others, last = chunks
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens > 0
    assert all(chunk.usage is None for chunk in others)


@every_model
def test_the_stream_helper(openai_client: openai.OpenAI, model: str) -> None:
    with openai_client.chat.completions.stream(model=model, messages=user("hello")) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.content
    assert final.choices[0].finish_reason == "stop"


@every_vendor
def test_system_text_and_history(openai_client: openai.OpenAI, upstream: UpstreamServer, model: str) -> None:
    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "And kind."}]},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
        {
            "role": "user",
            "name": "ada",
            "content": [{"type": "text", "text": "Repeat: "}, {"type": "text", "text": "x"}],
        },
    ]
    with upstream.recording() as seen:
        completion = openai_client.chat.completions.create(model=model, messages=messages)
    assert completion.choices[0].message.content == "x"
    [request] = seen
    assert request.says("Be brief.")
    assert request.says("And kind.")


@every_vendor
@pytest.mark.parametrize("stream", [False, True])
def test_stop_sequences_and_length(openai_client: openai.OpenAI, model: str, stream: bool) -> None:
    def ask(**more: object) -> tuple[str, str | None]:
        reply = openai_client.chat.completions.create(  # type: ignore[call-overload]  # keyword arguments at large
            model=model, messages=user("Count to 9."), stream=stream, **more
        )
        if not stream:
            return reply.choices[0].message.content or "", reply.choices[0].finish_reason
        chunks = list(reply)
        return text_of(chunks), next(c.choices[0].finish_reason for c in reversed(chunks) if c.choices)

    assert ask() == ("1 2 3 4 5 6 7 8 9", "stop")
    assert ask(stop=["5", "7"]) == ("1 2 3 4 ", "stop")
    assert ask(stop="3") == ("1 2 ", "stop")
    assert ask(max_tokens=4) == ("1 2 3 4", "length")
    assert ask(max_completion_tokens=2) == ("1 2", "length")


@every_vendor
def test_structured_output_by_parse(openai_client: openai.OpenAI, model: str) -> None:
    completion = openai_client.chat.completions.parse(
        model=model, messages=user(PERSON_QUESTION), response_format=Person
    )
    person = completion.choices[0].message.parsed
    assert person is not None
    check_person(person)


@every_vendor
async def test_structured_output_streamed(async_openai: openai.AsyncOpenAI, model: str) -> None:
    async with async_openai.chat.completions.stream(
        model=model, messages=user(PERSON_QUESTION), response_format=Person
    ) as stream:
        async for _ in stream:
            pass
        final = await stream.get_final_completion()
    person = final.choices[0].message.parsed
    assert person is not None
    check_person(person)


@every_vendor
def test_json_mode(openai_client: openai.OpenAI, model: str) -> None:
    completion = openai_client.chat.completions.create(
        model=model,
        messages=user("Answer as JSON with the keys 'setup' and 'punchline'."),
        response_format={"type": "json_object"},
    )
    assert isinstance(json.loads(completion.choices[0].message.content or ""), dict)


@every_vendor
def test_images(openai_client: openai.OpenAI, upstream: UpstreamServer, model: str) -> None:
    data = f"data:image/png;base64,{PIXEL}"
    with upstream.recording() as seen:
        completion = openai_client.chat.completions.create(
            model=model,
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "what is this"},
                        {"type": "image_url", "image_url": {"url": data, "detail": "low"}},
                        {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
                    ],
                }
            ],
        )
    assert "I see 2 of these" in (completion.choices[0].message.content or "")
    assert seen[0].says(PIXEL)
    assert seen[0].says("https://example.com/cat.png")


@pytest.mark.parametrize("model", [OPENAI, GEMINI])
def test_several_choices(openai_client: openai.OpenAI, model: str) -> None:
    completion = openai_client.chat.completions.create(model=model, messages=user("Repeat: x"), n=3)
    assert [choice.index for choice in completion.choices] == [0, 1, 2]
    assert [choice.message.content for choice in completion.choices] == ["x", "x (choice 2)", "x (choice 3)"]
    chunks = list(openai_client.chat.completions.create(model=model, messages=user("Repeat: x"), n=3, stream=True))
    assert [text_of(chunks, choice) for choice in range(3)] == ["x", "x (choice 2)", "x (choice 3)"]
    finished = [choice.index for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert sorted(finished) == [0, 1, 2]


@pytest.mark.parametrize("model", [OPENAI, GEMINI])
@pytest.mark.parametrize("stream", [False, True])
def test_log_probabilities(openai_client: openai.OpenAI, model: str, stream: bool) -> None:
    reply = openai_client.chat.completions.create(
        model=model, messages=user("Repeat: one two"), logprobs=True, top_logprobs=2, stream=stream
    )
    choices = reply.choices if isinstance(reply, ChatCompletion) else [c for chunk in reply for c in chunk.choices]
    told = [token for choice in choices if choice.logprobs for token in choice.logprobs.content or []]
    assert "".join(token.token for token in told) == "one two"
    assert all(len(token.top_logprobs) == 2 for token in told)
    assert all(token.logprob == -0.25 for token in told)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}, "modalities"),
        ({"tools": [{"type": "custom", "custom": {"name": "sql"}}]}, "tools"),
    ],
)
def test_what_claude_cannot_do_is_a_clear_400(
    openai_client: openai.OpenAI, upstream: UpstreamServer, more: dict[str, object], param: str
) -> None:
    with upstream.recording() as seen, pytest.raises(openai.BadRequestError) as refused:
        openai_client.chat.completions.create(model=CLAUDE, messages=user("hello"), **more)  # type: ignore[call-overload]
    assert refused.value.code == "unsupported_parameter"
    assert refused.value.param == param
    assert seen == []


@every_vendor
def test_cached_tokens_are_told(openai_client: openai.OpenAI, model: str) -> None:
    long_system = f"You know {model}. " + "All of this stays the same. " * 250
    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": [{"type": "text", "text": long_system}]},
        {"role": "user", "content": "hello"},
    ]
    first = openai_client.chat.completions.create(model=model, messages=messages, temperature=1)
    second = openai_client.chat.completions.create(model=model, messages=messages, temperature=1)
    for completion, cached in ((first, False), (second, True)):
        assert completion.usage is not None
        details = completion.usage.prompt_tokens_details
        assert details is not None
        assert bool(details.cached_tokens) is cached
        assert completion.usage.prompt_tokens > 1024


@pytest.mark.parametrize("model", ["gpt-5-mini", CLAUDE, "claude-sonnet-5", GEMINI, "gemini-3.5-flash"])
@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_tokens_are_told(openai_client: openai.OpenAI, model: str, stream: bool) -> None:
    if stream:
        chunks = list(
            openai_client.chat.completions.create(
                model=model,
                messages=user("hello"),
                reasoning_effort="low",
                stream=True,
                stream_options={"include_usage": True},
            )
        )
        assert text_of(chunks) == GREETING
        usage = chunks[-1].usage
    else:
        completion = openai_client.chat.completions.create(model=model, messages=user("hello"), reasoning_effort="low")
        assert completion.choices[0].message.content == GREETING
        usage = completion.usage
    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == 16
    assert usage.completion_tokens > 16


@every_vendor
def test_sampling_parameters_reach_the_upstream(
    openai_client: openai.OpenAI, upstream: UpstreamServer, model: str
) -> None:
    with upstream.recording() as seen:
        openai_client.chat.completions.create(model=model, messages=user("hello"), temperature=0.5, seed=7, user="u-1")
    body = seen[0].json
    assert (body.get("generationConfig") or body)["temperature"] == 0.5


def test_unknown_parameters_pass_through(openai_client: openai.OpenAI, upstream: UpstreamServer) -> None:
    """The upstream, not Tenfold, is who refuses them."""
    with upstream.recording() as seen, pytest.raises(openai.BadRequestError) as refused:
        openai_client.chat.completions.create(model=OPENAI, messages=user("hello"), extra_body={"brand_new": 1})
    assert seen[0].json["brand_new"] == 1
    assert refused.value.code == "unknown_parameter"
    assert refused.value.param == "brand_new"


def test_files(openai_client: openai.OpenAI) -> None:
    document = base64.b64encode(b"%PDF-1.4 tiny").decode()
    for model in (OPENAI, CLAUDE, GEMINI):
        completion = openai_client.chat.completions.create(
            model=model,
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "read"},
                        {
                            "type": "file",
                            "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{document}"},
                        },
                    ],
                }
            ],
        )
        assert "document" in (completion.choices[0].message.content or ""), model
