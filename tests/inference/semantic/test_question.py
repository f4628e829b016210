"""What is taken for the question in a body, what has to be equal beside it, and what an answer is found to say."""

from typing import Any

import pytest
from msgspec import json

from tenfold.cache.semantic.fake import FakeSemanticRows
from tenfold.core.call import Call, CallOptions, Grounds
from tenfold.core.chat import ChatRequest, Message, TextPart
from tenfold.core.principal import Principal
from tenfold.inference.canonical import CanonicalDialect, InsideCaller
from tenfold.inference.semantic.question import MAX_QUESTION_BYTES, Asked, NotAQuestion, asked_in
from tenfold.inference.semantic.said import CanonicalReader, ResponsesReader, WireReader, text_of
from tenfold.providers.anthropic import AnthropicWire
from tenfold.providers.openai import OpenAIWire
from tests.inference.semantic.world import ELSE, IN_OTHER_WORDS, REFUND, SEMANTIC, SemanticWorld
from tests.support.pipeline import DIALECTS, FRAMES, MODEL, REPLIES, principal

WHO = principal()
ASKED = {"role": "user", "content": REFUND}


def call(body: dict[str, Any], dialect: str = "openai", who: Principal = WHO, **options: Any) -> Call:
    made = Call(
        principal=who, operation="chat", dialect=dialect, body=json.encode(body), options=CallOptions(**options)
    )
    made.peek = DIALECTS[dialect].peek("chat", made.body)
    made.model = made.peek.model
    return made


def asked(body: dict[str, Any], dialect: str = "openai", **options: Any) -> Asked:
    return asked_in(call(body, dialect, **options), embedder="fake:1", max_false_hits=0.01)


def of(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": list(messages), **more}


SAME: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("openai", of(ASKED), of({"role": "user", "content": ELSE})),
    ("openai", of(ASKED), of(ASKED, user="x", metadata={"a": "b"}, safety_identifier="y", prompt_cache_key="z")),
    (
        "openai",
        of({"role": "user", "content": [{"type": "text", "text": "Given this:"}, {"type": "text", "text": REFUND}]}),
        of({"role": "user", "content": [{"type": "text", "text": "Given this:"}, {"type": "text", "text": ELSE}]}),
    ),
    ("anthropic", of(ASKED, max_tokens=9), of({"role": "user", "content": ELSE}, max_tokens=9)),
    ("openai_responses", {"model": MODEL, "input": REFUND}, {"model": MODEL, "input": ELSE}),
    (
        "openai_responses",
        {"model": MODEL, "input": [{"role": "user", "content": [{"type": "input_text", "text": REFUND}]}]},
        {"model": MODEL, "input": [{"role": "user", "content": [{"type": "input_text", "text": ELSE}]}]},
    ),
]


@pytest.mark.parametrize(("dialect", "one", "other"), SAME, ids=[f"{n}-{each[0]}" for n, each in enumerate(SAME)])
def test_the_same_but_for_the_question_is_one_scope(dialect: str, one: dict[str, Any], other: dict[str, Any]) -> None:
    assert asked(one, dialect).facts == asked(other, dialect).facts
    assert asked(one, dialect).text == REFUND


OTHERS: list[dict[str, Any]] = [
    of(ASKED, temperature=1),
    of({"role": "system", "content": "Be brief."}, ASKED),
    of({"role": "user", "content": [{"type": "text", "text": REFUND}]}),
    of({"role": "user", "content": "\x00the question\x00"}, ASKED),
    of(ASKED, n=1),
    of(ASKED, stream=True),
    of(ASKED | {"name": "x"}),
]


def test_everything_else_makes_another_scope() -> None:
    digests = {asked(each).facts.digest for each in [of(ASKED), *OTHERS]}
    assert len(digests) == 1 + len(OTHERS)


def test_the_embedder_the_dialect_and_the_vendors_headers_make_another_scope() -> None:
    plain = asked(of(ASKED, max_tokens=9)).facts
    assert asked_in(call(of(ASKED, max_tokens=9)), embedder="fake:2", max_false_hits=0.01).facts.digest != plain.digest
    assert asked(of(ASKED, max_tokens=9), "anthropic").facts.digest != plain.digest
    headers = ((b"anthropic-beta", b"x"),)
    assert asked(of(ASKED, max_tokens=9), upstream_headers=headers).facts.digest != plain.digest
    grounds = Grounds(question=REFUND)
    assert asked(of(ASKED, max_tokens=9), grounds=grounds).facts.digest != plain.digest


@pytest.mark.parametrize(
    "body",
    [
        of(ASKED, {"role": "assistant", "content": "Well,"}),
        of({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.y/z.png"}}]}),
        of({"role": "user", "content": "x" * (MAX_QUESTION_BYTES + 1)}),
        of({"role": "user", "content": " \n"}),
    ],
    ids=["assistant last", "picture", "long", "blank"],
)
def test_what_is_no_question_says_so(body: dict[str, Any]) -> None:
    with pytest.raises(NotAQuestion):
        asked(body)


def test_what_an_answer_says_is_read_in_every_dialect() -> None:
    readers = {"openai": WireReader(OpenAIWire()), "anthropic": WireReader(AnthropicWire())}
    for name, reader in readers.items():
        assert text_of(reader, REPLIES[name], stream=False) == "Hello"
        assert text_of(reader, b"".join(FRAMES[name]), stream=True) == "Hello"
        assert text_of(reader, b"".join(FRAMES[name][:3]), stream=True) in (None, "Hello", "Hel")
        for broken in (b"", b"{}", b"<html>", b"\xff"):
            assert text_of(reader, broken, stream=False) is None
            assert text_of(reader, broken, stream=True) is None


def test_a_response_says_its_text_and_no_other_item() -> None:
    reader = ResponsesReader()
    message = {"type": "message", "content": [{"type": "output_text", "text": "Hello"}]}

    def response(*items: dict[str, Any], status: str = "completed") -> dict[str, Any]:
        return {"status": status, "output": list(items)}

    assert text_of(reader, json.encode(response({"type": "reasoning"}, message)), stream=False) == "Hello"
    frames = b"event: response.completed\ndata: " + json.encode({"type": "x", "response": response(message)}) + b"\n\n"
    assert text_of(reader, frames, stream=True) == "Hello"
    for odd in (
        response({"type": "function_call"}, message),
        response(message, status="incomplete"),
        response({"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}),
        {"output": "x"},
        {},
    ):
        assert text_of(reader, json.encode(odd), stream=False) is None
    for odd_body in (b"", b"[]", b"data: x\n\n", b"data: {}\n\n"):
        assert text_of(reader, odd_body, stream=True) is None


async def test_callers_inside_are_answered_by_meaning_too() -> None:
    world = SemanticWorld(rows=FakeSemanticRows())
    caller = InsideCaller(world.pipeline)
    states: list[str] = []
    said: list[str] = []
    for question in (ELSE, REFUND, IN_OTHER_WORDS):
        message = Message(role="user", parts=[TextPart(text=question)])
        request = ChatRequest(model=MODEL, messages=[message])
        async with caller.stream(world.principal, request, SEMANTIC) as streamed:
            events = [event async for event in streamed]
        await world.settled()
        states.append(streamed.call.cache_state)
        said.append("".join(getattr(event, "text", "") for event in events))
    assert states == ["miss", "miss", "hit"]
    assert said[2] == said[1] != said[0]
    assert CanonicalDialect().name in {scope.facts.dialect for scope in await _scopes(world)}
    assert text_of(CanonicalReader(), b"\xff", stream=True) is None


async def _scopes(world: SemanticWorld) -> list[Any]:
    return await world.rows.page(world.principal.tenant_id, before=None, limit=10)
