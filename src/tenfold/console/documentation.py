"""The packaged documentation: a folder of Markdown files, each a page, rendered when first read."""

from importlib.resources.abc import Traversable

from tenfold.console.markdown import Document, document
from tenfold.console.services import DocEntry, DocPage

START = "index"


class MarkdownDocumentation:
    """`index.md` comes first, then the other files of the folder, then its subfolders. Read once, at the start."""

    def __init__(self, folder: Traversable) -> None:
        self._sources = dict(sorted(_sources(folder, ""), key=_reading_order))
        self._documents: dict[str, Document] = {}
        self._entries = [
            DocEntry(slug=slug, title=_first_heading(text) or slug) for slug, text in self._sources.items()
        ]

    def entries(self) -> list[DocEntry]:
        return self._entries

    def page(self, slug: str) -> DocPage | None:
        found = self._document(slug)
        return None if found is None else DocPage(slug=slug, title=found.title or slug, html=found.html)

    def url(self, slug: str, position: int = 0) -> str:
        """Where a person reads what stands at this character of the file: its page, at the heading above."""
        found = self._document(slug)
        anchor = ""
        for start, name in found.sections if found else ():
            if start > position:
                break
            anchor = f"#{name}"
        return f"/docs/{slug}{anchor}"

    def _document(self, slug: str) -> Document | None:
        if slug not in self._documents and slug in self._sources:
            self._documents[slug] = document(self._sources[slug], slug)
        return self._documents.get(slug)


def _reading_order(source: tuple[str, str]) -> tuple[bool, bool, str]:
    slug = source[0]
    return slug != START, "/" in slug, slug


def _sources(folder: Traversable, prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _sources(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".md"):
            found.append((prefix + entry.name.removesuffix(".md"), entry.read_text(encoding="utf-8")))
    return found


def _first_heading(text: str) -> str | None:
    lines = (line for line in text.splitlines() if line.startswith("# "))
    heading = next(lines, None)
    return heading.removeprefix("# ").strip().replace("`", "") if heading else None
