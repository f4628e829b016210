"""What is counted over question sets, by examples worked out by hand."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from bench.retrieval.__main__ import main
from bench.retrieval.sets import ndcg, recall
from bench.retrieval.vectors import KeptEmbedder


@pytest.mark.parametrize(
    ("found", "gold", "expected"),
    [
        (["a", "b"], {"a"}, 1.0),
        (["b", "a"], {"a"}, 1 / math.log2(3)),
        (["b", "c"], {"a"}, 0.0),
        (["a", "x", "b"], {"a", "b"}, (1 + 1 / 2) / (1 + 1 / math.log2(3))),
        ([*"xxxxxxxxxx", "a"], {"a"}, 0.0),
        ([*"abcdefghij"], {*"abcdefghijkl"}, 1.0),
    ],
    ids=["first", "second", "absent", "first and third", "eleventh", "more gold than places"],
)
def test_ndcg(found: Sequence[str], gold: set[str], expected: float) -> None:
    assert ndcg(found, frozenset(gold)) == pytest.approx(expected)


def test_recall() -> None:
    assert recall(["a", "x", "b"], frozenset({"a", "b", "c"}), 2) == pytest.approx(1 / 3)
    assert recall(["a", "x", "b"], frozenset({"a", "b", "c"}), 3) == pytest.approx(2 / 3)


def test_a_set_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["quality", "trec"])
    assert "there is no set 'trec'" in capsys.readouterr().err


async def test_vectors_are_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def make(texts: Sequence[str]) -> list[list[float]]:
        asked.extend(texts)
        return [[float(len(text))] for text in texts]

    for turn in range(2):
        embedder = KeptEmbedder(tmp_path / "vectors")
        monkeypatch.setattr(embedder._model, "embed", make)
        monkeypatch.setattr(embedder._model, "embed_passages", make)
        assert await embedder.embed(["a", "bb", "a"]) == [[1.0], [2.0], [1.0]]
        assert await embedder.embed_passages(["bb"]) == [[2.0]]
        embedder.only = {"ccc"}
        assert await embedder.embed_passages(["dddd", "ccc"]) == [embedder._nothing, [3.0]]
        await embedder.aclose()
        assert asked == ["a", "bb", "bb", "ccc"], f"turn {turn}"
