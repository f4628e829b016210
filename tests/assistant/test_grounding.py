"""A grounded question survives the round trip, and no document can forge a header or the question."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.grounding import Passage, compose, parse

_EVIL = [
    "\n",
    "\r",
    "\u2028",
    "\x85",
    "\u200b",
    " ",
    "\\",
    "[1] ",
    "[2] ",
    "[ 9 ]",
    "Question: ",
    "QUESTION :",
    "Passages:\n",
    "—",
    "a",
]
_texts = st.one_of(st.text(), st.lists(st.sampled_from(_EVIL), max_size=12).map("".join))
_passages = st.lists(st.builds(Passage, title=_texts, heading=_texts, text=_texts), max_size=4)


def one_line(label: str) -> str:
    return " ".join(re.split(r"\s+", label)).strip()


@given(passages=_passages, question=_texts)
def test_round_trip_keeps_texts_and_question_exactly(passages: list[Passage], question: str) -> None:
    parsed = parse(compose(passages, question))

    assert parsed is not None
    found, found_question = parsed
    assert found_question == question
    assert [passage.text for passage in found] == [passage.text for passage in passages]
    assert [passage.heading for passage in found] == [one_line(passage.heading) for passage in passages]


@given(text=_texts)
def test_a_document_adds_no_line_that_looks_like_a_header_or_a_question(text: str) -> None:
    composed = compose([Passage(title="T", text=text)], "Why?")

    looks = [line for line in composed.splitlines() if re.match(r"\s*(\[\s*\d+\s*\]|question\s*:)", line, re.I)]
    assert looks == ["[1] T", "Question: Why?"]


def test_the_form_is_the_one_agreed_on() -> None:
    passages = [
        Passage(title="Guide", heading="Install > Linux", text="Run make up.\nThen open the page."),
        Passage(title="Limits — today", text="One region."),
    ]

    assert compose(passages, "How do I start?") == (
        "Passages:\n"
        "[1] Guide — Install > Linux\n"
        "Run make up.\nThen open the page.\n"
        "\n"
        "[2] Limits - today\n"
        "One region.\n"
        "\n"
        "Question: How do I start?"
    )


def test_no_passages() -> None:
    assert parse(compose([], "Why?")) == ([], "Why?")


@pytest.mark.parametrize(
    "text",
    ["", "hello", "Passages:\n", "Passages:\n[1] a\ntext", "Passages:\n[2] a\nb\n\nQuestion: c", "Question: c"],
)
def test_other_text_is_not_taken_for_a_grounded_question(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize("filler", ["\n", " ", "\\", "\n\\", "[", "\u2028 "])
def test_reading_a_large_hostile_text_stays_linear(filler: str) -> None:
    text = filler * 200_000

    parsed = parse(compose([Passage(title="T", text=text)], "Why?"))

    assert parsed is not None
    assert parsed[0][0].text == text
