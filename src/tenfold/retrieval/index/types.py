"""What a rebuild finds."""

from typing import Literal

from msgspec import Struct, field

from tenfold.retrieval.index.progress import Part


class Compared(Struct, kw_only=True):
    """One part, made again from rows and held against what is searched."""

    part: Part
    checked: int = 0  # documents, rows of words, or vectors
    differing: int = 0
    examples: list[str] = field(default_factory=list)  # the first of those that differ, in words
    lowest_cosine: float | None = None  # of vectors: between the old and the new one of a chunk
    switched: bool = False  # the new ones are searched now

    @property
    def equal(self) -> bool:
        return self.differing == 0

    def differs(self, example: str) -> None:
        self.differing += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(example)


MAX_EXAMPLES = 10


class Rebuilt(Struct, frozen=True, kw_only=True):
    kb: str
    parts: list[Compared]

    @property
    def equal(self) -> bool:
        return all(part.equal for part in self.parts)


State = Literal["ready", "words", "switching"]


class IndexStatus(Struct, frozen=True, kw_only=True):
    """Of one knowledge base. `state`: `ready`, its vectors are searched; `words`, searches go by words alone until the
    missing vectors are there, or because there is no embedder; `switching`, those of another embedder are made."""

    kb: str
    documents: int
    chunks: int
    embedder: str | None
    embedded: int  # chunks with a vector of it
    next_embedder: str | None
    next_embedded: int
    without_text: int  # documents read in before texts were kept: only their words and vectors can be made again
    discarded: int  # sets whose rows are still to be deleted
    state: State
