"""Retrieval and extractive answers on real documentation and real questions, offline. The limits asserted stand a
little below what was measured; `python -m bench.retrieval quality` measures the whole.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from itertools import islice
from typing import Any

import pytest

from tenfold.core.grounding import Passage as Grounding
from tenfold.core.grounding import compose
from tenfold.core.ids import TenantId
from tenfold.providers.offline.answers import ABSTENTION, Turn, answer
from tenfold.providers.offline.embedder import OfflineEmbedder
from tenfold.retrieval.library import Library
from tenfold.retrieval.types import Passage, SourceDocument
from tenfold.store import Store
from tests.support.shared_data import json_lines, shared_data

FLOOR = 0.4  # of relevance: the line between on and off the subject, see retrieval.fusion


def rows(folder: str, file: str) -> list[dict[str, Any]]:
    return list(json_lines(shared_data(folder) / file))


def documents(entries: list[dict[str, Any]]) -> list[SourceDocument]:
    return [
        SourceDocument(id=row["doc_id"], title=row["title"], text=row["text"], url=row["doc_id"]) for row in entries
    ]


def said(question: str, passages: list[Passage]) -> str:
    """As the assistant does: what is off the subject is not given at all."""
    passages = [item for item in passages if item.relevance >= FLOOR]
    numbered = [Grounding(title=item.title, heading=item.heading, text=item.text) for item in passages]
    return answer([Turn(role="user", text=compose(numbered, question))])


def is_found(passages: list[Passage], question: dict[str, Any]) -> bool:
    return any(passage.document_id in question["relevant_doc_ids"] for passage in passages)


async def test_words_alone_over_product_documentation(store: Store, tenant: TenantId) -> None:
    """Measured on 60 questions: a gold section among the first five 57, answered 60, a gold section cited 46; of 60
    questions on another subject none is answered."""
    library = Library(store, None)
    await library.ingest(tenant, "kb", documents(rows("kb_claude_docs", "corpus.jsonl.gz")))
    questions = rows("kb_claude_docs", "questions.jsonl")
    foreign = rows("retrieval_scifact", "queries.jsonl")[:60]
    hits = answered = cited_gold = answered_foreign = 0
    for question in questions:
        passages = await library.search(tenant, "kb", question["question"], 5)
        hits += is_found(passages, question)
        text = said(question["question"], passages)
        answered += text != ABSTENTION
        cited = [passage for number, passage in enumerate(passages, 1) if f"[{number}]" in text]
        cited_gold += is_found(cited, question)
    for question in foreign:
        passages = await library.search(tenant, "kb", question["question"], 5)
        answered_foreign += said(question["question"], passages) != ABSTENTION
    assert hits >= 0.90 * len(questions)
    assert answered >= 0.95 * len(questions)
    assert cited_gold >= 0.68 * len(questions)
    assert answered_foreign <= 0.05 * len(foreign)


@pytest.fixture
async def embedder() -> AsyncIterator[OfflineEmbedder]:
    embedder = OfflineEmbedder()
    yield embedder
    await embedder.aclose()


async def test_with_the_offline_model_relevance_tells_the_subject(
    store: Store, tenant: TenantId, embedder: OfflineEmbedder
) -> None:
    """The gold sections of twenty questions among sixty others."""
    questions = rows("kb_claude_docs", "questions.jsonl")[:20]
    gold = {name for question in questions for name in question["relevant_doc_ids"]}
    corpus = rows("kb_claude_docs", "corpus.jsonl.gz")
    random.Random(7).shuffle(corpus)
    chosen = [row for row in corpus if row["doc_id"] in gold] + list(
        islice((row for row in corpus if row["doc_id"] not in gold), 60)
    )
    library = Library(store, embedder)
    await library.ingest(tenant, "kb", documents([row | {"text": row["text"][:2500]} for row in chosen]))
    await library.embed(tenant, "kb")
    found = [await library.search(tenant, "kb", question["question"], 5) for question in questions]
    assert sum(is_found(passages, question) for passages, question in zip(found, questions, strict=True)) >= 18
    on_subject = [max(passage.relevance for passage in passages) >= FLOOR for passages in found]
    assert sum(on_subject) >= 19  # of the whole documents, which are not cut, all
    foreign = await asyncio.gather(
        *(library.search(tenant, "kb", row["question"], 5) for row in rows("retrieval_scifact", "queries.jsonl")[:20])
    )
    assert all(max(passage.relevance for passage in passages) < FLOOR for passages in foreign)
