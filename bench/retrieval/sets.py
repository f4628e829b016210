"""The question sets of ../shared/data, and what is counted over them. Read in place, never trained on."""

import gzip
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from tenfold.retrieval.types import SourceDocument

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


class QuestionSet(Struct, frozen=True, kw_only=True):
    """`target` is the nDCG@10 that the project has promised."""

    name: str
    folder: str
    questions: str
    field: str
    target: float


SETS = {
    one.name: one
    for one in (
        QuestionSet(name="claude", folder="kb_claude_docs", questions="questions.jsonl", field="question", target=0.84),
        QuestionSet(name="tau2", folder="kb_tau2_banking", questions="tasks.jsonl", field="scenario", target=0.30),
        QuestionSet(
            name="scifact", folder="retrieval_scifact", questions="queries.jsonl", field="question", target=0.75
        ),
        QuestionSet(name="aws", folder="kb_aws_docs", questions="questions.jsonl", field="question", target=0.80),
    )
}


class Question(Struct, frozen=True, kw_only=True):
    text: str
    gold: frozenset[str]  # ids of documents


def rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        for line in lines:
            yield json.loads(line)


def documents(one: QuestionSet, data: Path = DATA) -> list[SourceDocument]:
    corpus = rows(data / one.folder / "corpus.jsonl.gz")
    return [SourceDocument(id=row["doc_id"], title=row["title"], text=row["text"]) for row in corpus]


def questions(one: QuestionSet, data: Path = DATA) -> list[Question]:
    return [
        Question(text=row[one.field], gold=frozenset(row["relevant_doc_ids"]))
        for row in rows(data / one.folder / one.questions)
    ]


def ndcg(found: Sequence[str], gold: frozenset[str], depth: int = 10) -> float:
    """Binary gains; the ideal puts as many gold documents in front as there are."""
    gain = sum(1 / math.log2(rank + 1) for rank, name in enumerate(found[:depth], 1) if name in gold)
    return gain / sum(1 / math.log2(rank + 1) for rank in range(1, min(len(gold), depth) + 1))


def recall(found: Sequence[str], gold: frozenset[str], depth: int) -> float:
    return len(gold.intersection(found[:depth])) / len(gold)
