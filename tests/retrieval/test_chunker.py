"""Chunks are spans of the text: nothing is lost, nothing overlaps, structure stays whole."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.retrieval.chunker import MAX_CHARS, MAX_WHOLE_CHARS, TOKEN_CHARS, chunk
from tenfold.retrieval.types import Chunking
from tests.support.shared_data import json_lines, shared_data

GUIDE = """\
Intro without a heading.

# Guide {#guide}

Short.

## Install <a name="install"></a>

Run this:

```sh
# not a heading
pip install tenfold
```

## **Configure** it ##

| key | value |
|-----|-------|
| a   | 1     |
"""

lines = st.sampled_from(
    ["# A", "## B", "### C", "", "", "text. More text.", "- item", "```", "~~~", "| a | b |", "    code", "word " * 300]
)


def assert_spans(text: str) -> None:
    end = 0
    for piece in chunk(text):
        assert piece.start >= end
        assert text[piece.start : piece.end] == piece.text
        assert piece.text == piece.text.strip() != ""
        assert len(piece.text) <= MAX_WHOLE_CHARS
        assert not text[end : piece.start].strip()
        end = piece.end
    assert not text[end:].strip()


@given(st.lists(lines, max_size=30).map("\n".join))
def test_markdown_is_covered_by_its_chunks(text: str) -> None:
    assert_spans(text)


@given(st.text(max_size=3000))
def test_any_text_is_covered_by_its_chunks(text: str) -> None:
    assert_spans(text)


@pytest.mark.parametrize(
    "text", ["", " \n\n ", "word", "x" * 50_000, "```\n" + "y" * 20_000, "# " + "z" * 9000, "\n" * 9000]
)
def test_odd_texts(text: str) -> None:
    assert_spans(text)


def test_chunks_carry_the_path_of_headings() -> None:
    body = "A sentence of some length that says something about its section. " * 5
    text = f"# Guide\n\n{body}\n\n## Install\n\n{body}\n\n### Linux\n\n{body}\n\n## Use\n\n{body}\n"
    assert [piece.heading for piece in chunk(text)] == [
        "Guide",
        "Guide > Install",
        "Guide > Install > Linux",
        "Guide > Use",
    ]


def test_headings_are_read_without_markup_and_not_inside_code() -> None:
    headings = [piece.heading for piece in chunk(GUIDE.replace("Short.", "Long. " * 60))]
    assert headings == ["Guide", "Guide > Install"]  # the small first and last sections have joined these


def test_a_heading_stays_with_what_it_heads() -> None:
    for piece in chunk("# One\n\n" + "word " * 290 + "\n\n# Two\n\n" + "word " * 290):
        assert not piece.text.rstrip().endswith(("# One", "# Two"))


@pytest.mark.parametrize("block", ["```\n" + "code line\n" * 300 + "```", "| a | b |\n" * 300])
def test_code_and_tables_are_not_cut(block: str) -> None:
    assert len(block) > MAX_CHARS
    assert block.strip() in [piece.text for piece in chunk(f"Before.\n\n{'word ' * 250}\n\n{block}\n\nAfter.")]


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    pieces = chunk("This is one sentence of the paragraph. " * 200)
    assert len(pieces) > 3
    assert all(piece.text.endswith(".") and len(piece.text) <= MAX_CHARS for piece in pieces)


@pytest.mark.parametrize(("most", "overlap"), [(100, 0), (100, 50), (800, 400)])
def test_chunks_are_as_large_as_asked_and_overlap(most: int, overlap: int) -> None:
    sentences = " ".join(f"Sentence {at} of the text says little." for at in range(200))
    text = f"# Guide\n\n{sentences}\n\n```\n" + "code line\n" * 300 + "```\n\n## End\n\n" + sentences
    pieces = chunk(text, Chunking(max_tokens=most, overlap_tokens=overlap))
    assert all(text[piece.start : piece.end] == piece.text for piece in pieces)
    assert all(len(piece.text) <= most * TOKEN_CHARS for piece in pieces)
    assert max(len(piece.text) for piece in pieces) > (most - overlap) * TOKEN_CHARS / 2
    for before, piece in pairwise(pieces):
        shared = before.end - piece.start
        assert before.start < piece.start
        assert text[before.end : piece.start].strip() == ""
        assert 0 <= shared <= overlap * TOKEN_CHARS if overlap else shared <= 0
    if overlap:
        assert any(before.end > piece.start for before, piece in pairwise(pieces))


def test_real_documentation_is_covered() -> None:
    for place, row in enumerate(json_lines(shared_data("kb_aws_docs") / "corpus.jsonl.gz")):
        if place % 40 == 0:
            assert_spans(row["text"])
