"""The packaged documentation: a folder of Markdown files, each a page, rendered when first read."""

import re
from importlib.resources.abc import Traversable

from tenfold.console.markdown import Document, document
from tenfold.console.services import DocEntry, DocPage

START = "index"
_LINK = re.compile(r"\]\(([\w/.-]+)\.md\b")


class MarkdownDocumentation:
    """`index.md` comes first, then the other files of the folder, then its subfolders, each in the order in which
    `index.md` links to them. Read once, at the start."""

    def __init__(self, folder: Traversable) -> None:
        sources = dict(sorted(_sources(folder, "")))
        self._sources = {slug: sources[slug] for slug in _in_reading_order(sources)}
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


def _in_reading_order(sources: dict[str, str]) -> list[str]:
    """What no link of the start page leads to comes last in its folder."""
    linked = {slug: place for place, slug in reversed([*enumerate(_LINK.findall(sources.get(START, "")))])}
    places = {slug: linked.get(slug, len(linked)) for slug in sources}
    folders: dict[str, int] = {}
    for slug in sources:
        folder = slug.rpartition("/")[0]
        folders[folder] = min(places[slug], folders.get(folder, places[slug]))

    def order(slug: str) -> tuple[bool, bool, int, str, int, str]:
        folder = slug.rpartition("/")[0]
        return slug != START, folder != "", folders[folder], folder, places[slug], slug

    return sorted(sources, key=order)


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
