"""The official Anthropic SDK over every upstream: messages, whole and streamed, counting, models."""

import json
from typing import Any

import anthropic
import pytest
from anthropic.types import Message, ModelInfo, RawMessageStreamEvent
from pydantic import TypeAdapter

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
from tests.support.upstream_server import UpstreamServer

_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def ask(client: anthropic.Anthropic, text: str, model: str, **more: Any) -> Any:
    return client.messages.create(
        **{"model": model, "max_tokens": 500, "messages": [{"role": "user", "content": text}], **more}
    )


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


@every_model
def test_a_whole_answer(anthropic_client: anthropic.Anthropic, model: str) -> None:
    raw = anthropic_client.messages.with_raw_response.create(
        model=model, max_tokens=500, messages=[{"role": "user", "content": "hello"}]
    )
    message = raw.parse()
    Message.model_validate_json(raw.http_response.content)
    assert message.role == "assistant"
    assert message.type == "message"
    assert message.stop_reason == "end_turn"
    assert message.model == model
    assert text_of(message) == GREETING or model == OFFLINE
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0
    assert message._request_id == raw.headers["request-id"] == raw.headers["x-request-id"]
    assert float(raw.headers["tenfold-cost-usd"]) >= 0


@every_model
async def test_a_whole_answer_async(async_anthropic: anthropic.AsyncAnthropic, model: str) -> None:
    message = await async_anthropic.messages.create(
        model=model, max_tokens=500, messages=[{"role": "user", "content": "hello"}]
    )
    assert text_of(message)


@every_model
def test_raw_events(anthropic_client: anthropic.Anthropic, model: str) -> None:
    events = list(ask(anthropic_client, "Repeat: one, two. Drei!", model, stream=True))
    for event in events:
        _EVENT.validate_json(event.model_dump_json(exclude_unset=True))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    assert events[0].message.content == []
    assert events[0].message.stop_reason is None
    assert events[-2].delta.stop_reason == "end_turn"
    assert events[-2].usage.output_tokens > 0


@every_model
def test_the_stream_helper(anthropic_client: anthropic.Anthropic, model: str) -> None:
    asked: Any = {
        "model": model,
        "max_tokens": 500,
        "messages": [{"role": "user", "content": "Repeat: one, two. Drei!"}],
    }
    with anthropic_client.messages.stream(**asked) as stream:
        streamed = "".join(stream.text_stream)
        final = stream.get_final_message()
        assert stream.request_id
    whole = anthropic_client.messages.create(**asked)
    assert streamed == text_of(final) == text_of(whole)
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert final.usage.input_tokens == whole.usage.input_tokens
    assert final.stop_reason == whole.stop_reason


@every_model
async def test_the_stream_helper_async(async_anthropic: anthropic.AsyncAnthropic, model: str) -> None:
    async with async_anthropic.messages.stream(
        model=model, max_tokens=500, messages=[{"role": "user", "content": "hello"}]
    ) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_message()
    assert "text" in kinds
    assert kinds[-1] == "message_stop"
    assert text_of(final)


@every_vendor
def test_system_text_and_history(anthropic_client: anthropic.Anthropic, upstream: UpstreamServer, model: str) -> None:
    with upstream.recording() as seen:
        message = anthropic_client.messages.create(
            model=model,
            max_tokens=500,
            system=[{"type": "text", "text": "Be brief."}, {"type": "text", "text": "And kind."}],
            messages=[
                {"role": "user", "content": "hello"},
                {"role": "assistant", "content": [{"type": "text", "text": "hi"}]},
                {"role": "user", "content": [{"type": "text", "text": "Repeat: x"}]},
            ],
            metadata={"user_id": "u-1"},
        )
    assert text_of(message) == "x"
    assert seen[0].says("Be brief.")
    assert seen[0].says("And kind.")


@every_vendor
@pytest.mark.parametrize("stream", [False, True])
def test_stop_sequences_and_length(anthropic_client: anthropic.Anthropic, model: str, stream: bool) -> None:
    def said(**more: Any) -> tuple[str, str | None, str | None]:
        asked: Any = {
            "model": model,
            "max_tokens": 500,
            "messages": [{"role": "user", "content": "Count to 9."}],
            **more,
        }
        if stream:
            with anthropic_client.messages.stream(**asked) as events:
                message: Any = events.get_final_message()
        else:
            message = anthropic_client.messages.create(**asked)
        return text_of(message), message.stop_reason, message.stop_sequence

    assert said() == ("1 2 3 4 5 6 7 8 9", "end_turn", None)
    assert said(max_tokens=4) == ("1 2 3 4", "max_tokens", None)
    text, reason, sequence = said(stop_sequences=["5", "7"])
    assert text == "1 2 3 4 "
    if model == CLAUDE:
        assert (reason, sequence) == ("stop_sequence", "5")
    else:  # OpenAI and Gemini do not tell a stop sequence from an end
        assert (reason, sequence) == ("end_turn", None)


@every_vendor
def test_structured_output_by_parse(anthropic_client: anthropic.Anthropic, model: str) -> None:
    message = anthropic_client.messages.parse(
        model=model,
        max_tokens=500,
        messages=[{"role": "user", "content": PERSON_QUESTION}],
        output_format=Person,
    )
    assert message.parsed_output is not None
    check_person(message.parsed_output)


@every_vendor
async def test_structured_output_streamed(async_anthropic: anthropic.AsyncAnthropic, model: str) -> None:
    async with async_anthropic.messages.stream(
        model=model,
        max_tokens=500,
        messages=[{"role": "user", "content": PERSON_QUESTION}],
        output_format=Person,
    ) as stream:
        final = await stream.get_final_message()
    assert final.parsed_output is not None
    check_person(final.parsed_output)


@every_vendor
def test_images_and_documents(anthropic_client: anthropic.Anthropic, upstream: UpstreamServer, model: str) -> None:
    with upstream.recording() as seen:
        message = anthropic_client.messages.create(
            model=model,
            max_tokens=500,
            messages=[
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "image",
                            "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
                        },
                        {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.png"}},
                        {
                            "type": "document",
                            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQ="},
                        },
                        {"type": "text", "text": "what is this"},
                    ],
                }
            ],
        )
    assert "I see 3 of these" in text_of(message)
    assert seen[0].says(PIXEL)
    assert seen[0].says("https://example.com/cat.png")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [CLAUDE, "claude-sonnet-5", GEMINI, "gemini-3.5-flash", "gpt-5-mini"])
def test_thinking(anthropic_client: anthropic.Anthropic, model: str, stream: bool) -> None:
    thinking = {"type": "adaptive"} if model == "claude-sonnet-5" else {"type": "enabled", "budget_tokens": 2048}
    asked: Any = {
        "model": model,
        "max_tokens": 4000,
        "messages": [{"role": "user", "content": "hello"}],
        "thinking": thinking,
    }
    if stream:
        with anthropic_client.messages.stream(**asked) as events:
            message: Any = events.get_final_message()
    else:
        message = anthropic_client.messages.create(**asked)
    assert text_of(message) == GREETING
    assert message.usage.output_tokens > 16
    thoughts = [block for block in message.content if block.type == "thinking"]
    if model == "gpt-5-mini":  # it thinks, and does not show it
        assert thoughts == []
        return
    assert thoughts[0].thinking
    assert message.content[0].type == "thinking", "thoughts come first"
    if not model.startswith("claude"):
        return
    assert thoughts[0].signature
    # The thought goes back with the next question, unchanged.
    history = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": "Repeat: y"},
    ]
    assert text_of(anthropic_client.messages.create(**{**asked, "messages": history})) == "y"


@every_model
def test_counting(anthropic_client: anthropic.Anthropic, model: str) -> None:
    def counted(**more: Any) -> int:
        return anthropic_client.messages.count_tokens(
            model=model, messages=[{"role": "user", "content": "hello there"}], **more
        ).input_tokens

    short = counted()
    assert 1 <= short < counted(system="A much longer conversation. " * 50)
    tool = {"name": "f", "description": "words " * 50, "input_schema": {"type": "object", "properties": {}}}
    assert short < counted(tools=[tool])


def test_counting_agrees_with_the_bill(anthropic_client: anthropic.Anthropic) -> None:
    for model in (CLAUDE, GEMINI):
        counted = anthropic_client.messages.count_tokens(model=model, messages=[{"role": "user", "content": "hello"}])
        assert counted.input_tokens == ask(anthropic_client, "hello", model).usage.input_tokens


def test_cache_tokens(anthropic_client: anthropic.Anthropic) -> None:
    system = [{"type": "text", "text": "All of this stays. " * 400, "cache_control": {"type": "ephemeral"}}]
    first = ask(anthropic_client, "hello", CLAUDE, system=system)
    second = ask(anthropic_client, "hello", CLAUDE, system=system)
    assert first.usage.cache_creation_input_tokens > 1024
    assert first.usage.cache_read_input_tokens == 0
    assert second.usage.cache_read_input_tokens > 1024
    assert second.usage.cache_creation_input_tokens == 0


async def test_models(anthropic_client: anthropic.Anthropic, async_anthropic: anthropic.AsyncAnthropic) -> None:
    names = [model.id async for model in async_anthropic.models.list(limit=2)]  # several pages
    assert {OPENAI, CLAUDE, GEMINI, OFFLINE} <= set(names)
    assert names == sorted(set(names))
    shown = anthropic_client.models.retrieve(GEMINI)
    assert shown.id == GEMINI
    ModelInfo.model_validate(shown.to_dict())
    page = anthropic_client.models.list(limit=3, after_id=names[1])
    assert [model.id for model in page.data] == names[2:5]
    assert [model.id for model in anthropic_client.models.list(limit=2, before_id=names[3]).data] == names[1:3]
    with pytest.raises(anthropic.NotFoundError):
        anthropic_client.models.retrieve("no-such-model")


def test_warming_the_cache(anthropic_client: anthropic.Anthropic, upstream: UpstreamServer) -> None:
    """max_tokens 0 reads the prompt and says nothing."""
    with upstream.recording() as seen:
        message = ask(anthropic_client, "hello", CLAUDE, max_tokens=0)
    assert seen[0].json["max_tokens"] == 0
    assert message.stop_reason == "max_tokens"
    assert text_of(message) == ""


def test_beta_headers_and_unknown_members_pass_through(
    anthropic_client: anthropic.Anthropic, upstream: UpstreamServer
) -> None:
    with upstream.recording() as seen:
        anthropic_client.beta.messages.create(
            model=CLAUDE,
            max_tokens=50,
            messages=[{"role": "user", "content": "hello"}],
            betas=["context-1m-2025-08-07"],
        )
        with pytest.raises(anthropic.BadRequestError, match="brand_new: Extra inputs"):
            ask(anthropic_client, "hello", CLAUDE, extra_body={"brand_new": 1})
    assert seen[0].headers["anthropic-beta"] == "context-1m-2025-08-07"
    assert seen[0].headers["anthropic-version"] == anthropic._constants.ANTHROPIC_API_VERSION
    assert seen[1].json["brand_new"] == 1


def test_bytes_pass_untouched_where_the_dialects_match(
    anthropic_client: anthropic.Anthropic, upstream: UpstreamServer
) -> None:
    body = {"model": CLAUDE, "max_tokens": 7, "messages": [{"role": "user", "content": "hello\u2028 <é>"}]}
    with upstream.recording() as seen:
        anthropic_client.post("/v1/messages", body=body, cast_to=object)
    assert json.loads(seen[0].body) == body
    assert seen[0].body == anthropic_client._build_request(_options(body)).content


def _options(body: dict[str, Any]) -> Any:
    return anthropic._models.FinalRequestOptions.construct(method="post", url="/v1/messages", json_data=body)
