"""The offline chat model quotes what it was given, says from where, and abstains otherwise."""

import re

from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.grounding import Passage, compose
from tenfold.providers.offline.answers import ABOUT, ABSTENTION, Turn, answer
from tenfold.providers.offline.extractive import extract
from tenfold.providers.offline.words import sentences

PASSAGES = [
    Passage(title="Billing", text="Invoices are sent on the first day of each month. They list every call."),
    Passage(
        title="Keys", heading="Rotation", text="Rotate a key with `tenfold key rotate`. The old key works for a day."
    ),
    Passage(title="Limits", text="A tenant may have 20 keys. More are refused with status 429."),
]


OPENING = Turn(role="user", text="When does the office open?")


def ask(question: str, passages: list[Passage] = PASSAGES) -> str:
    return answer([Turn(role="system", text="Be brief."), Turn(role="user", text=compose(passages, question))])


def test_the_answer_is_the_sentence_with_its_mark() -> None:
    assert ask("When are invoices sent?").startswith("Invoices are sent on the first day of each month [1].")
    assert ask("How do I rotate a key?").startswith("Rotate a key with tenfold key rotate [2].")
    assert "A tenant may have 20 keys [3]." in ask("How many keys may a tenant have?")


def test_it_abstains_without_a_mark_when_the_passages_say_nothing_of_it() -> None:
    for question in ("What is the capital of France?", "Who won the world cup in 1990?", "?", "the"):
        assert ask(question) == ABSTENTION
    assert ask("How do I rotate a key?", []) == ABSTENTION
    assert "[" not in ABSTENTION


def test_marks_inside_a_document_are_not_taken_for_citations() -> None:
    said = ask("Where is the blue house?", [Passage(title="A", text="The blue house [7] stands on the hill [2, 3].")])
    assert re.findall(r"\[[\d, ]+\]", said) == ["[1]"]


def test_a_sentence_said_twice_is_quoted_once() -> None:
    twice = [Passage(title=title, text="The blue house stands on the green hill.") for title in ("A", "B")]
    assert ask("Where is the blue house?", twice).count("blue house") == 1


def test_without_passages_it_says_what_it_is() -> None:
    assert answer([Turn(role="user", text="What is the capital of France?")]) == ABOUT
    assert answer([Turn(role="system", text="You are helpful.")]) == ABOUT
    assert "no knowledge of my own" in ABOUT


def test_without_passages_it_quotes_the_conversation() -> None:
    text = "The office opens at nine on weekdays. On Sundays it stays closed."
    for turns in (
        [Turn(role="user", text=f"{text}\n\nWhen does the office open?")],
        [
            Turn(role="user", text=text),
            Turn(role="assistant", text="Noted."),
            OPENING,
        ],
        [Turn(role="tool", text=text), OPENING],
    ):
        said = answer(turns)
        assert said.startswith(ABOUT)
        assert '"The office opens at nine on weekdays."' in said
        assert "[1]" not in said


def test_a_short_sentence_is_quoted_where_it_is_what_answers() -> None:
    for question, text, answering in (
        ("Where are receipts kept?", "Receipts are kept in Postgres.", "Receipts are kept in Postgres."),
        ("When does the office open?", "The office opens at nine. It closes at five.", "The office opens at nine."),
        (
            "How much does the pump weigh?",
            "The pump starts by itself at a pressure of 40 bar. It weighs 31 kg.",
            "It weighs 31 kg.",
        ),
        ("What is the voltage?", "Read this page before you begin.\n\n- Voltage: 230 V\n- Weight", "Voltage: 230 V"),
    ):
        assert f'"{answering}"' in answer([Turn(role="user", text=f"{text}\n\n{question}")])
    assert ask("What is the weight?", [Passage(title="", text="- Weight\n- Voltage")]) == ABSTENTION


def test_its_own_answers_are_not_its_sources() -> None:
    said = answer([Turn(role="assistant", text="The office opens at nine."), OPENING])
    assert said == ABOUT


texts = st.text(alphabet="abcdefg .!?\n#-|*`[]1", max_size=200)


@given(texts, st.lists(st.builds(Passage, title=texts, text=texts), max_size=4))
def test_what_is_extracted_stands_in_the_passage_it_names(question: str, passages: list[Passage]) -> None:
    found = extract(question, passages)
    if found is not None:
        assert 0 < found.coverage <= 1
        assert 1 <= len(found.extracts) <= 2
        for piece in found.extracts:
            assert piece.sentence in sentences(passages[piece.passage - 1].text)
