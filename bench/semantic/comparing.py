"""How often the comparator errs, on answers people wrote.

Same: the several answers of CLAP NQ to one question, each written by another annotator from the same passage.
Different: answers of CLAP NQ, MTRAG-UN, the Claude and AWS documentation to two questions, each with the three whose
wording is nearest, since it is near questions that a cache confuses; the nearest of them ("near") apart.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from bench.semantic.sets import lines
from tenfold.cache.semantic.comparator import compare
from tenfold.cache.semantic.facts import read
from tenfold.cache.semantic.types import Verdict

_NEAR = 0.5  # of the words of two questions, shared
_NEIGHBOURS = 3
_PER_QUESTION = 6  # pairs of one question's answers
_SHORTEST = 5  # characters: "NA" and "." are no answers

# Read by hand: answers to one question that state different things, and near questions with one answer.
_DISAGREE = ("Several walls were being built", "The colors of the rings", "The Townshend Acts were a series")
_AGREE = (
    "sirens in",
    "old london bridge",
    "getting cold feet",
    "embargo",
    "season one of stranger things",
    "alkaloids in pharmacy",
    "overloaded_error",
    "pay medicare",
    "governor general of canada",
    "IBM Cloud enterprises",
)


@dataclass
class Rates:
    same: Counter[Verdict] = field(default_factory=Counter)
    near: Counter[Verdict] = field(default_factory=Counter)
    far: Counter[Verdict] = field(default_factory=Counter)


@dataclass(frozen=True)
class _Answer:
    set: str
    question: str
    text: str
    words: frozenset[str]


def measure(data: Path) -> Rates:
    rates = Rates()
    for one, other in _same(data):
        rates.same[compare(one, other)] += 1
    for is_near, one, other in _different(list(_answers(data))):
        (rates.near if is_near else rates.far)[compare(one, other)] += 1
    return rates


def _same(data: Path) -> Iterator[tuple[str, str]]:
    for row in lines(data / "qa_clapnq/clapnq_dev.jsonl.gz"):
        texts = [text for text in dict.fromkeys(_list(row["answers"])) if len(text) >= _SHORTEST]
        if not any(text.startswith(_DISAGREE) for text in texts):
            yield from list(combinations(texts, 2))[:_PER_QUESTION]


def _answers(data: Path) -> Iterator[_Answer]:
    for row in lines(data / "qa_clapnq/clapnq_dev.jsonl.gz"):
        if row["answers"]:
            yield _answer("clapnq", str(row["question"]), str(_list(row["answers"])[0]))
    for name in ("kb_claude_docs", "kb_aws_docs"):
        for row in lines(data / name / "questions.jsonl"):
            yield _answer(name, str(row["question"]), str(row["answer"]))
    for row in lines(data / "qa_mtrag_un/tasks.jsonl.gz"):
        if row["targets"] and "ANSWERABLE" in _list(row["answerability"]):
            yield _answer(str(row["collection"]), _list(row["input"])[-1]["text"], _list(row["targets"])[0]["text"])


def _list(value: object) -> list[Any]:
    assert isinstance(value, list)
    return value


def _answer(name: str, question: str, text: str) -> _Answer:
    return _Answer(name, question, text, read(question).bag)


def _different(answers: list[_Answer]) -> Iterator[tuple[bool, str, str]]:
    seen: set[frozenset[str]] = set()
    for one in answers:
        others = [other for other in answers if other.set == one.set and other is not one]
        others.sort(key=lambda other: -_shared(one, other))
        for other in others[:_NEIGHBOURS]:
            pair = frozenset((one.text, other.text))
            if len(pair) == 1 or pair in seen or _agree(one, other):
                continue
            seen.add(pair)
            yield _shared(one, other) >= _NEAR, one.text, other.text


def _shared(one: _Answer, other: _Answer) -> float:
    return 2 * len(one.words & other.words) / max(1, len(one.words) + len(other.words))


def _agree(one: _Answer, other: _Answer) -> bool:
    return any(part in one.question and part in other.question for part in _AGREE)
