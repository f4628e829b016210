"""The input as it is stored and listed: OpenAI's item resources, each with an id, and the same input again."""

import json
from typing import Any

import pytest

from tenfold.edge.dialects.responses import ResponsesDialect, input_items
from tests.dialects.responses.vectors import asking, recorded
from tests.support.openai_schema import assert_valid

DIALECT = ResponsesDialect()
SALT = "resp_" + "ab" * 16


def listed(given: Any) -> list[dict[str, Any]]:
    items = input_items({"model": "m", "input": given}, SALT)
    ids = [item["id"] for item in items]
    assert len(set(ids)) == len(ids)
    assert_valid(
        "ResponseItemList",
        {"object": "list", "data": items, "has_more": False, "first_id": ids[0], "last_id": ids[-1]},
    )
    return items


def test_a_text() -> None:
    (item,) = listed("hi")
    assert item["id"].startswith("msg_")
    assert (item["role"], item["content"]) == ("user", [{"type": "input_text", "text": "hi"}])


def test_every_kind_of_item() -> None:
    image = {"type": "input_image", "image_url": "https://a.example/b.png"}
    items = listed(
        [
            {"role": "user", "content": [{"type": "input_text", "text": "x"}, image]},
            {"role": "assistant", "content": "well"},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "status": None},
            {"type": "function_call_output", "call_id": "c", "output": "ok"},
            {"type": "custom_tool_call", "call_id": "d", "name": "sql", "input": "x"},
            {"type": "custom_tool_call_output", "call_id": "d", "output": "ok"},
        ]
    )
    assert items[0]["content"][1]["detail"] == "auto"
    assert items[1]["content"] == [{"type": "output_text", "text": "well", "annotations": [], "logprobs": []}]
    assert items[2]["id"] == "rs_1"
    assert [item["id"].split("_")[0] for item in items] == ["msg", "msg", "rs", "fc", "fco", "ctc", "ctco"]


@pytest.mark.parametrize("given", [None, "", []])
def test_nothing(given: Any) -> None:
    assert input_items({"model": "m", "input": given}, SALT) == []


def test_ids_are_the_same_each_time_and_the_responses_own() -> None:
    assert listed("hi") == listed("hi")
    assert input_items({"input": "hi"}, "resp_" + "cd" * 16)[0]["id"] != listed("hi")[0]["id"]


def test_listed_items_mean_what_was_sent() -> None:
    """Of real requests: so that a chain may be made of what is stored."""
    count = 0
    for row in recorded():
        request = row["request"]
        try:
            before = DIALECT.decode_chat(json.dumps(request).encode())
        except Exception:
            continue
        again = DIALECT.decode_chat(json.dumps(request | {"input": input_items(request, SALT)}).encode())
        assert again.messages == before.messages
        count += 1
    assert count > 60


def test_a_chain_is_one_conversation() -> None:
    first = input_items({"input": "hi"}, SALT)
    answer = [{"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [
        {"type": "output_text", "text": "hello", "annotations": [], "logprobs": []}]}]  # fmt: skip
    second = input_items({"input": "and?"}, "resp_" + "cd" * 16)
    request = DIALECT.decode_chat(asking(input=[*first, *answer, *second]))
    assert [message.role for message in request.messages] == ["user", "assistant", "user"]
