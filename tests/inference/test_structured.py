"""A reply that is not the JSON its request asks for: mended, asked again, asked of a stronger model, or no answer."""

from typing import Any

import pytest
from msgspec import json

from tenfold.inference.policy import Feature, Policy
from tenfold.providers.transport.fake import FakeReply
from tests.support.pipeline import INPUT_NANO, MODEL, OUTPUT_NANO, World, asking, streamed, whole

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
FORMAT = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
ONE_CALL = 12 * INPUT_NANO + 3 * OUTPUT_NANO
GOOD, FENCED, BAD = '{"n": 1}', 'Here it is:\n```json\n{"n": 1}\n```', '{"n": "one"}'


def saying(text: str) -> FakeReply:
    """OpenAI's whole reply with this text."""
    return whole("openai", body=whole("openai").body.replace(b'"Hello"', json.encode(text)))


def streaming(text: str, upstream: str = "openai") -> FakeReply:
    reply = streamed(upstream)
    half = len(text) // 2
    body = reply.body.replace(b'"Hel"', json.encode(text[:half])).replace(b'"lo"', json.encode(text[half:]))
    return FakeReply(headers=reply.headers, body=body)


def asked(**more: Any) -> bytes:
    return asking("openai", response_format=FORMAT, **more)


def content(told: Any) -> str:
    return str(told.json["choices"][0]["message"]["content"])


async def test_what_fits_passes_as_it_is() -> None:
    world = World({"openai": [saying(GOOD)]})
    told = await world.ask(asked())
    assert told.body == saying(GOOD).body
    assert world.outcomes.only.degraded == ()
    world.assert_settled()


async def test_what_can_be_mended_without_a_model_is() -> None:
    world = World({"openai": [saying(FENCED)]})
    told = await world.ask(asked())
    assert (told.status, json.decode(content(told))) == (200, {"n": 1})
    assert told.headers["tenfold-degraded"] == "repair"
    assert len(world.sent) == 1
    assert world.outcomes.only.cost_nano == ONE_CALL
    world.assert_settled()


async def test_the_model_is_shown_what_is_wrong_and_both_replies_are_paid() -> None:
    world = World({"openai": [saying(BAD), saying(GOOD)]}, route=Policy(output_repairs=1))
    told = await world.ask(asked())
    assert (told.status, content(told)) == (200, GOOD)
    assert told.headers["tenfold-degraded"] == "repair"
    first, second = (json.decode(request.body) for request in world.sent)
    assert second["messages"][: len(first["messages"])] == first["messages"]
    assert BAD in second["messages"][-2]["content"]
    assert "/n" in second["messages"][-1]["content"]
    call = world.outcomes.only
    assert (call.cost_nano, call.attempts, call.estimated) == (2 * ONE_CALL, 2, False)
    assert told.json["usage"]["total_tokens"] == 30, "what the client reads is what it pays"
    world.assert_settled()


async def test_a_stronger_model_is_asked_when_the_first_does_not_mend_it() -> None:
    world = World(
        {"openai": [saying(BAD), saying(BAD)], "anthropic": [whole("anthropic", body=_claude(GOOD))]},
        route=Policy(models=(MODEL,), output_repairs=1, output_escalate="strong"),
        models={"anthropic": "strong"},
    )
    told = await world.ask(asked())
    assert (told.status, content(told)) == (200, GOOD)
    assert told.headers["tenfold-degraded"] == "escalate"
    assert told.headers["tenfold-provider"] == "anthropic"
    assert world.outcomes.only.cost_nano == 3 * ONE_CALL
    world.assert_settled()


@pytest.mark.parametrize("repairs", [0, 1, 2])
async def test_what_nobody_mends_is_a_typed_error_and_is_paid(repairs: int) -> None:
    world = World({"openai": [saying(BAD)] * (1 + repairs)}, route=Policy(output_repairs=repairs))
    told = await world.ask(asked())
    assert (told.status, told.json["error"]["code"]) == (502, "output_invalid")
    assert "/n" in told.json["error"]["message"]
    assert world.outcomes.only.cost_nano == (1 + repairs) * ONE_CALL
    world.assert_settled()


async def test_a_repair_that_fails_leaves_the_reply_as_bad_as_it_was() -> None:
    world = World({"openai": [saying(BAD), FakeReply(status=500, body=b"{}")]}, route=Policy(output_repairs=1))
    told = await world.ask(asked())
    assert (told.status, told.json["error"]["code"]) == (502, "output_invalid")
    assert world.outcomes.only.cost_nano == ONE_CALL
    world.assert_settled()


@pytest.mark.parametrize(("template", "status"), [('{"n": 0}', 200), ("We are sorry.", 502)])
async def test_a_template_answers_only_where_it_fits(template: str, status: int) -> None:
    features = {"*": Feature(name="*", steps=("template",), template=template)}
    world = World({"openai": [saying(BAD)]}, features=features)
    told = await world.ask(asked())
    assert told.status == status
    if status == 200:
        assert content(told) == template
    assert world.outcomes.only.cost_nano == ONE_CALL, "the reply that did not fit is paid"
    world.assert_settled()


@pytest.mark.parametrize("upstream", ["openai", "anthropic"])
async def test_a_stream_is_checked_at_its_end(upstream: str) -> None:
    world = World({upstream: [streaming(BAD, upstream), streaming(GOOD, upstream)]})
    told = await world.ask(asked(stream=True))
    assert json.decode(told.pieces[-1].removeprefix(b"data: "))["error"]["code"] == "output_invalid"
    assert b"[DONE]" not in told.body
    told = await world.ask(asked(stream=True))
    assert told.body.endswith(b"data: [DONE]\n\n")
    assert [call.status for call in world.outcomes.calls] == ["cut", "ok"]
    assert [call.cost_nano for call in world.outcomes.calls] == [ONE_CALL] * 2
    world.assert_settled()


async def test_a_schema_that_is_none_is_refused_before_anybody_is_asked() -> None:
    world = World({"openai": []})
    bad = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "strange"}}}
    told = await world.ask(asking("openai", response_format=bad))
    assert told.status == 400
    assert "schema" in told.json["error"]["param"]
    assert world.sent == []
    world.assert_settled()


def _claude(text: str) -> bytes:
    return whole("anthropic").body.replace(b'"Hello"', json.encode(text))
