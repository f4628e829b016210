"""Needs: a short question is one, a long one is cut between sentences and nothing of it is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.ids import TenantId
from tenfold.retrieval.fake import FakeEmbedder
from tenfold.retrieval.library import Library
from tenfold.retrieval.needs import LONG_CHARS, needs
from tenfold.retrieval.types import SourceDocument

MOST = 16


@given(st.text(max_size=LONG_CHARS))
def test_a_short_question_is_left_alone(question: str) -> None:
    assert needs(question) == [question]


@given(st.lists(st.text(st.sampled_from("ab .!?\n\"')*"), max_size=900), max_size=12).map("".join))
def test_nothing_is_lost_and_there_are_few(question: str) -> None:
    found = needs(question)
    assert 1 <= len(found) <= MOST
    for letter in "ab":
        assert sum(need.count(letter) for need in found) == question.count(letter)


@pytest.mark.parametrize("question", [". " * 4000, "\n" * 8000, "x" * 8000, "Why? " * 1600, "a.b" * 2000])
def test_odd_ones_are_few_too(question: str) -> None:
    assert 1 <= len(needs(question)) <= MOST


def test_it_is_cut_between_sentences() -> None:
    zebra, lion = "Do zebras sleep? " * 30, "May lions swim! " * 30
    found = needs(zebra + lion)
    assert len(found) > 2
    assert all(need.endswith(("?", "!")) for need in found)
    assert not any("zebra" in need and "lion" in need for need in found[:-3])


async def test_a_need_is_met_by_its_own_passage(library: Library, tenant: TenantId, embedder: FakeEmbedder) -> None:
    """Stop words only, so that the words' leg finds nothing: the vectors of the needs do."""
    await library.ingest(
        tenant, "kb", [SourceDocument(id="a", text="who is he"), SourceDocument(id="b", text="because of them")]
    )
    await library.embed(tenant, "kb")
    embedder.embedded.clear()
    [first, second] = await library.search(tenant, "kb", "who is he? " * 40 + "\n" + "because of them. " * 40)
    assert len(embedder.embedded) > 2
    assert {first.document_id, second.document_id} == {"a", "b"}
    assert second.relevance == pytest.approx(1, abs=0.01)


async def test_a_subject_that_is_said_again_and_again_comes_first(library: Library, tenant: TenantId) -> None:
    aside = "Ostriches, llamas and yaks are mentioned once."
    await library.ingest(
        tenant, "kb", [SourceDocument(id="aside", text=aside), SourceDocument(id="subject", text="About the zebra.")]
    )
    question = f"The zebra is ill. The zebra does not eat. What does a zebra need? {aside} The zebra waits. Zebra!" * 2
    asked = question.replace(aside, "An ostrich saw it.")
    assert (await library.search(tenant, "kb", asked))[0].document_id == "subject"
