"""A twin of `extractor.Extractor` for tests: text as it is, and no process."""

from tenfold.retrieval.extract.types import Extracted, UnreadableFile


class FakeExtractor:
    """Reads UTF-8. `read`: names of the files that were asked for, in order."""

    def __init__(self) -> None:
        self.read: list[str] = []

    async def extract(self, data: bytes, *, filename: str, content_type: str = "") -> Extracted:
        self.read.append(filename)
        if not data:
            raise UnreadableFile("The file is empty.", "invalid_file")
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = "\x00"
        if "\x00" in text:
            raise UnreadableFile("The file is not text. Upload text or Markdown.", "unsupported_file")
        if not text.strip():
            raise UnreadableFile("The file holds no text.", "invalid_file")
        return Extracted(text=text)
