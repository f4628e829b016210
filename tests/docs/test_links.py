"""Every link inside the documentation leads somewhere, and every page is reached from the start page."""

from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, anchors, code_spans, links, name

_OUTSIDE = ("http://", "https://", "mailto:")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A title\n[a](#a-title) [b](#b) [c](other.md) [d](page.md#nothing) [e](https://x.test)\n")
    assert broken_links(page) == ["#b", "other.md", "page.md#nothing"]


def test_every_page_is_reached_from_the_start_page() -> None:
    start = DOCS / "index.md"
    reached = {(DOCS / link.partition("#")[0]).resolve() for link in links(start) if not link.startswith(_OUTSIDE)}
    assert set(DOCS.rglob("*.md")) - {start} == reached


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_are_named_exist(page: Path) -> None:
    """Paths in backticks: of the repository, or of the package."""
    named = {span for span in code_spans(page) if _is_path(span)}
    missing = [path for path in named if not any((root / path).exists() for root in (ROOT, ROOT / "src" / "tenfold"))]
    assert missing == []


def broken_links(page: Path) -> list[str]:
    broken = []
    for link in links(page):
        if link.startswith(_OUTSIDE):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


_PARTS = {path.name for path in (ROOT / "src" / "tenfold").iterdir() if path.is_dir() and path.name != "docs"}
_FOLDERS = {"src", "tests", "tools", "docs", "requirements", "bench"}


def _is_path(span: str) -> bool:
    return "/" in span and " " not in span and "*" not in span and span.split("/")[0] in _PARTS | _FOLDERS
