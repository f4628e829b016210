"""The seam of this part: `fake.FakeExtractor` is the twin of `extractor.Extractor`, under one contract suite."""

from typing import Protocol

from tenfold.retrieval.extract.types import Extracted


class FileExtractor(Protocol):
    async def extract(self, data: bytes, *, filename: str, content_type: str = "") -> Extracted:
        """The text of a file. Name and type are what the sender says, and only break ties: the bytes decide. Raises
        UnreadableFile; Overloaded where it may be tried again."""
        ...
