"""Questions with labels: two of one label want one answer. Vectors of the offline embedder are kept on disk."""

import csv
import gzip
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tenfold.providers.offline.encoder import Encoder
from tenfold.providers.offline.granite import installed_pack

QUORA_PAIRS = 4000


@dataclass(frozen=True, kw_only=True)
class Questions:
    name: str
    texts: list[str]
    labels: list[str]
    vectors: NDArray[np.float32]

    @property
    def repeated(self) -> float:
        """Share of the questions that are not the first of their label: no cache can answer more."""
        return 1 - len(set(self.labels)) / len(self.labels)


def load(name: str, data: Path, vectors: Path) -> Questions:
    texts, labels = SETS[name](data)
    return Questions(name=name, texts=texts, labels=labels, vectors=_embedded(texts, vectors))


def rows(path: Path) -> Iterator[dict[str, str]]:
    with (
        gzip.open(path, "rt", encoding="utf-8", newline="")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8", newline="") as file
    ):
        yield from csv.DictReader(file)


def lines(path: Path) -> Iterator[dict[str, object]]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def _banking77(data: Path) -> tuple[list[str], list[str]]:
    found = list(rows(data / "intents_banking77/intents_banking77.csv"))
    return [row["text"] for row in found], [row["intent"] for row in found]


def _clinc150(data: Path) -> tuple[list[str], list[str]]:
    """With the questions of no intent, each of which wants an answer of its own."""
    found = list(rows(data / "intents_clinc150/intents_clinc150.csv"))
    others = list(rows(data / "intents_clinc150/oos.csv"))
    labels = [row["intent"] for row in found] + [row["id"] for row in others]
    return [row["text"] for row in found + others], labels


def _bitext(data: Path) -> tuple[list[str], list[str]]:
    """The label is intent and entity value: an answer about order 1 is false for order 2."""
    found = list(rows(data / "intents_bitext_support/intents_bitext_support.csv"))
    return [row["text"] for row in found], [f"{row['intent']} {row['entity_value']}" for row in found]


def _quora(data: Path) -> tuple[list[str], list[str]]:
    """Both questions of the first pairs; those said to be duplicates, also by way of a third, share a label. Duplicates
    that nobody labelled count as false hits."""
    parents: dict[str, str] = {}

    def top(text: str) -> str:
        while parents.setdefault(text, text) != text:
            text = parents[text]
        return text

    for at, row in enumerate(rows(data / "pairs_qqp_gptcache/qqp_pairs.csv.gz")):
        if at == QUORA_PAIRS:
            break
        one, other = top(row["question_a"]), top(row["question_b"])
        if row["is_duplicate"] == "1":
            parents[one] = other
    return list(parents), [top(text) for text in parents]


SETS: Mapping[str, Callable[[Path], tuple[list[str], list[str]]]] = {
    "banking77": _banking77,
    "clinc150": _clinc150,
    "bitext": _bitext,
    "quora": _quora,
}


def _embedded(texts: list[str], folder: Path) -> NDArray[np.float32]:
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
    path = folder / f"{digest}.npy"
    if path.exists():
        kept: NDArray[np.float32] = np.load(path)
        return kept
    encoder = Encoder(installed_pack())
    made = np.array([encoder.encode(text)[0] for text in texts], np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(path, made)
    return made
