"""Messages: turns, instructions, calls and their results, media, and what is not sent back."""

from typing import Any

import pytest

from tenfold.core.chat import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    RefusalPart,
    TextPart,
    ThinkingPart,
    ToolResultPart,
)
from tenfold.core.errors import InvalidRequest
from tenfold.providers.gemini.contents import SKIP_SIGNATURE
from tests.dialects.gemini.said import HELLO, assistant, call, contents, encode, result, user


def test_system_text_is_an_instruction_wherever_it_stands() -> None:
    body = encode(
        messages=[
            Message(role="system", parts=[TextPart(text="a")]),
            *HELLO,
            Message(role="developer", parts=[TextPart(text="b")]),
        ]
    )
    assert body["systemInstruction"] == {"parts": [{"text": "a"}, {"text": "b"}]}
    assert [turn["role"] for turn in body["contents"]] == ["user"]


def test_a_conversation_begins_with_the_user() -> None:
    assert encode(messages=[Message(role="system", parts=[TextPart(text="a")])])["contents"] == [
        {"role": "user", "parts": [{"text": ""}]}
    ]
    assert [turn["role"] for turn in contents(assistant(TextPart(text="hi")))] == ["user", "model"]


def test_results_of_parallel_calls_follow_them_together_under_their_names() -> None:
    turns = contents(
        user(TextPart(text="q")),
        assistant(TextPart(text="let me see"), call("1", "f", '{"a":1}', signature="c2ln"), call("2", "g")),
        result("1", '{"ok": true}'),
        result("2", "plain"),
        user(TextPart(text="and?")),
    )
    assert [turn["role"] for turn in turns] == ["user", "model", "user", "user"]
    assert turns[1]["parts"] == [
        {"text": "let me see"},
        {"functionCall": {"id": "1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "c2ln"},
        {"functionCall": {"id": "2", "name": "g", "args": {}}},
    ]
    assert turns[2]["parts"] == [
        {"functionResponse": {"id": "1", "name": "f", "response": {"ok": True}}},
        {"functionResponse": {"id": "2", "name": "g", "response": {"result": "plain"}}},
    ]


def test_a_result_and_a_text_in_one_message_are_two_turns() -> None:
    mixed = user(TextPart(text="also"), ToolResultPart(call_id="1", content=[TextPart(text="r")]))
    turns = contents(user(TextPart(text="q")), assistant(call("1")), mixed)
    assert "functionResponse" in turns[2]["parts"][0]
    assert turns[3]["parts"] == [{"text": "also"}]


@pytest.mark.parametrize(
    ("text", "is_error", "response"),
    [
        ('{"a": 1}', False, {"a": 1}),
        ("[1, 2]", False, {"result": [1, 2]}),
        ("007", False, {"result": "007"}),
        ("{not json", False, {"result": "{not json"}),
        ("", False, {"result": ""}),
        ("boom", True, {"error": "boom"}),
        ('{"a": 1}', True, {"error": {"a": 1}}),
    ],
)
def test_results_are_objects(text: str, is_error: bool, response: dict[str, Any]) -> None:
    turns = contents(user(TextPart(text="q")), assistant(call("1")), result("1", text, is_error=is_error))
    assert turns[-1]["parts"][0]["functionResponse"]["response"] == response


def test_media_in_a_result_is_inline() -> None:
    picture = ImagePart(data="aGk=", media_type="image/png")
    message = Message(role="tool", parts=[ToolResultPart(call_id="1", content=[TextPart(text="see"), picture])])
    turns = contents(user(TextPart(text="q")), assistant(call("1")), message)
    assert turns[-1]["parts"][0]["functionResponse"] == {
        "id": "1",
        "name": "f",
        "response": {"result": "see"},
        "parts": [{"inlineData": {"mimeType": "image/png", "data": "aGk="}}],
    }


def test_a_call_another_model_made_is_marked_for_gemini_3_only() -> None:
    said = [user(TextPart(text="q")), assistant(call("1"), call("2")), result("1", "r"), result("2", "r")]
    old, new = contents(*said), contents(*said, model="gemini-3-flash-preview")
    assert [part.get("thoughtSignature") for part in old[1]["parts"]] == [None, None]
    assert [part.get("thoughtSignature") for part in new[1]["parts"]] == [SKIP_SIGNATURE, None]
    signed = contents(said[0], assistant(call("1", signature="c2ln")), model="gemini-3-flash-preview")
    assert signed[1]["parts"][0]["thoughtSignature"] == "c2ln"


def test_thoughts_and_blocks_of_others_are_not_sent_back() -> None:
    signature = {"text": "", "thoughtSignature": "c2ln"}
    turns = contents(
        user(TextPart(text="q")),
        assistant(
            ThinkingPart(text="hm", signature="of-another-model"),
            OpaquePart(dialect="anthropic", value={"type": "server_tool_use"}),
            OpaquePart(dialect="gemini", value={"groundingMetadata": {}}),
            OpaquePart(dialect="gemini", value=signature),
            RefusalPart(text="no"),
        ),
    )
    assert turns[1]["parts"] == [signature, {"text": "no"}]


def test_media_has_its_place() -> None:
    [turn] = contents(
        user(
            ImagePart(data="aGk=", media_type="image/png", detail="high"),
            ImagePart(url="https://example.com/a/cat.JPG?x=1"),
            ImagePart(url="https://example.com/cat"),
            FilePart(data="aGk=", name="a.pdf"),
            FilePart(url="gs://bucket/a.txt"),
            FilePart(file_id="files/abc", media_type="application/pdf"),
            FilePart(file_id="https://generativelanguage.googleapis.com/v1beta/files/abc"),
            AudioPart(data="aGk=", format="mp3"),
            AudioPart(data="aGk=", format="flac"),
            OpaquePart(dialect="gemini", value={"videoMetadata": {"fps": 1}}),
        )
    )
    file = "https://generativelanguage.googleapis.com/v1beta/files/abc"
    assert turn["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": "aGk="}},
        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://example.com/a/cat.JPG?x=1"}},
        {"fileData": {"fileUri": "https://example.com/cat"}},
        {"inlineData": {"mimeType": "application/pdf", "data": "aGk="}},
        {"fileData": {"mimeType": "text/plain", "fileUri": "gs://bucket/a.txt"}},
        {"fileData": {"mimeType": "application/pdf", "fileUri": file}},
        {"fileData": {"fileUri": file}},
        {"inlineData": {"mimeType": "audio/mp3", "data": "aGk="}},
        {"inlineData": {"mimeType": "audio/flac", "data": "aGk="}},
        {"videoMetadata": {"fps": 1}},
    ]


@pytest.mark.parametrize(
    "messages",
    [
        [user(ImagePart(data="aGk="))],
        [user(ImagePart())],
        [result("unknown", "r")],
        [*HELLO, assistant(call("1", arguments="[1]"))],
        [*HELLO, assistant(call("1", arguments="{"))],
    ],
)
def test_a_request_that_makes_no_sense_is_refused(messages: list[Message]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        encode(messages=messages)
    assert caught.value.param is not None
    assert caught.value.param.startswith("messages[")
