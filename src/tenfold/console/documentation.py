"""The packaged documentation: a folder of Markdown files, each a page, rendered when first read."""

from importlib.resources.abc import Traversable

from tenfold.console.markdown import document_html
from tenfold.console.services import DocEntry, DocPage

START = "index"


class MarkdownDocumentation:
    """`index.md` comes first, then the rest in the order of their paths. The files are read once, at the start."""

    def __init__(self, folder: Traversable) -> None:
        self._sources = dict(sorted(_sources(folder, ""), key=lambda source: (source[0] != START, source[0])))
        self._pages: dict[str, DocPage] = {}
        self._entries = [
            DocEntry(slug=slug, title=_first_heading(text) or slug) for slug, text in self._sources.items()
        ]

    def entries(self) -> list[DocEntry]:
        return self._entries

    def page(self, slug: str) -> DocPage | None:
        page = self._pages.get(slug)
        if page is None and slug in self._sources:
            title, html = document_html(self._sources[slug], slug)
            page = self._pages[slug] = DocPage(slug=slug, title=title or slug, html=html)
        return page


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
