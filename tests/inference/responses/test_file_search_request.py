"""What a model is asked where files are searched: the numbers of passages, its calls, what is left of the tools."""

from typing import Any

import pytest

from tenfold.inference.responses.file_search_request import (
    MAX_QUERIES,
    Sources,
    as_function,
    gone_on,
    queries_of,
    question_of,
    quoting,
    without,
)
from tenfold.inference.responses.types import FoundPassage

OWN: Any = {"type": "function", "name": "order"}
SEARCH: Any = {"type": "file_search", "vector_store_ids": ["vs_1"]}


def passage(text: str) -> FoundPassage:
    return FoundPassage(file_id="file-1", filename="a.md", text=text, score=0.5, attributes={}, document="d")


def test_passages_are_numbered_through_all_searches() -> None:
    sources = Sources()
    assert sources.add([passage("one"), passage("two")], "q").startswith("Passages:\n[1] a.md\none\n\n[2] a.md\ntwo")
    assert sources.add([passage("two"), passage("three")], "q") == "Passages:\n[3] a.md\nthree\n\nQuestion: q"
    assert sources.add([passage("one")], "q") == "Nothing was found that was not quoted before."
    assert sources.add([], "q") == "Nothing was found."
    assert [one.text for one in sources.passages] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("arguments", "queries"),
    [
        ('{"queries": ["a", " a ", "b", "", 3]}', ["a", "b"]),
        ('{"query": "a"}', ["a"]),
        ('{"queries": "a"}', ["a"]),
        ('{"queries": []}', ["otherwise"]),
        ("[" * 100_000, ["otherwise"]),
        ("3", ["otherwise"]),
        ("", ["otherwise"]),
    ],
    ids=["some", "query", "no list", "none", "nested", "a number", "nothing"],
)
def test_what_a_call_asks_for(arguments: str, queries: list[str]) -> None:
    assert queries_of({"arguments": arguments}, "otherwise") == queries


def test_a_call_asks_for_so_much_only() -> None:
    many = queries_of({"arguments": '{"queries": [' + ",".join(f'"{n}{"x" * 5_000}"' for n in range(50)) + "]}"}, "")
    assert len(many) == MAX_QUERIES
    assert max(map(len, many)) == 1_000


@pytest.mark.parametrize(
    ("tools", "choice", "left", "asked"),
    [
        ([SEARCH], "required", None, None),
        ([SEARCH, OWN], "required", [OWN], "required"),
        ([SEARCH, OWN], SEARCH, [OWN], None),
        ([SEARCH, OWN], {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "file_search"}]}, [OWN], "none"),
        ([SEARCH, OWN], OWN, [OWN], OWN),
    ],
    ids=["alone", "required", "forced", "allowed", "another"],
)
def test_the_request_without_the_search(tools: Any, choice: Any, left: Any, asked: Any) -> None:
    request = without({"model": "m", "tools": tools, "tool_choice": choice})
    assert request.get("tools") == left
    assert request.get("tool_choice") == asked


def test_a_round_goes_on_from_the_one_before() -> None:
    request = as_function({"model": "m", "input": "Hi", "tools": [SEARCH], "tool_choice": SEARCH}, "file_search")
    assert request["tool_choice"] == {"type": "function", "name": "file_search"}
    call = {"id": "fc_1", "type": "function_call", "call_id": "c", "name": "file_search", "status": "completed"}
    after = gone_on(request, [call], [("c", "found")])
    assert after["tool_choice"] == "auto"
    assert after["input"] == [
        {"role": "user", "content": "Hi"},
        {"type": "function_call", "call_id": "c", "name": "file_search"},  # ids would make each request another one
        {"type": "function_call_output", "call_id": "c", "output": "found"},
    ]


def test_passages_are_put_before_the_question_and_pictures_stay() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA"}
    content = [{"type": "input_text", "text": "What"}, image, {"type": "input_text", "text": "is this?"}]
    request = {"input": [{"role": "user", "content": content}]}
    assert question_of(request) == "What\n\nis this?"
    [message] = quoting(request, [passage("one")])["input"]
    assert message["content"] == [
        {"type": "input_text", "text": "Passages:\n[1] a.md\none\n\nQuestion: What\n\nis this?"},
        image,
    ]
    assert question_of({"input": [{"role": "assistant", "content": "x"}]}) == ""
