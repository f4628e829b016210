"""Markdown becomes HTML of a few harmless elements, whatever is in it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.console.documentation import MarkdownDocumentation
from tenfold.console.markdown import answer_html, document
from tenfold.core.anchors import Anchors
from tests.console.browser import Page
from tests.support.naughty import naughty_strings

HARMLESS = {"p", "a", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "hr", "br", "div"}
HARMLESS |= {"h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"}
_PIECES = [
    "<script>",
    "[1]",
    "[",
    "](",
    "javascript:a",
    ")",
    "!",
    "`",
    "*",
    "\n",
    "# ",
    "- ",
    "|",
    "<a href=x>",
    "&lt;",
    "x",
]


@given(text=st.one_of(st.text(), st.lists(st.sampled_from(_PIECES), max_size=20).map("".join)))
def test_no_markup_of_the_source_survives(text: str) -> None:
    for html in (answer_html(text, frozenset({1})), document(text, "page").html):
        for tag, attributes in Page(html).elements:
            assert tag in HARMLESS
            assert set(attributes) <= {"href", "rel", "id", "class", "start", "title"}
            assert not attributes.get("href", "").lower().startswith("javascript")


def test_naughty_strings_are_harmless() -> None:
    for text in naughty_strings():
        assert {tag for tag, _ in Page(answer_html(text, frozenset())).elements} <= HARMLESS


def test_only_marks_of_sources_become_links_and_only_outside_of_code() -> None:
    page = Page(answer_html("So [1], not [7]; `a[1]`.\n\n- item [2]", frozenset({1, 2})))

    assert page.links == ["#source-1", "#source-2"]
    assert "[7]" in page.text


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        ("start.md", "/docs/guides/start"),
        ("../index.md#limits", "/docs/index#limits"),
        ("#here", "#here"),
        ("/keys", "/keys"),
        ("https://example.org/a.md", "https://example.org/a.md"),
        ("../../README.md", None),
        ("../src/x.py", None),
    ],
)
def test_links_between_files_become_links_between_pages(href: str, expected: str | None) -> None:
    html = document(f"see [this]({href}) and ![a picture](x.png)", "guides/keys").html

    assert Page(html).links == ([] if expected is None else [expected])
    assert Page(html).text.split() == ["see", "this", "and", "a", "picture"]
    assert "<img" not in html


def test_aligned_columns_need_no_inline_style() -> None:
    html = answer_html("| a | b |\n|---|--:|\n| 1 | 2 |", frozenset())
    assert "style" not in html
    assert '<td class="number">2</td>' in html


def test_anchors_follow_the_rule_people_know() -> None:
    anchors = Anchors()
    headings = ["Call it: `base_url`!", "Set up", "Set up", "Set-up 1", "Set up", "Über uns", "…"]

    found = [anchors.next(heading) for heading in headings]

    assert found == ["call-it-base_url", "set-up", "set-up-1", "set-up-1-1", "set-up-2", "über-uns", "section"]


@given(headings=st.lists(st.sampled_from(["a", "a 1", "A", "a-1", "b", "", "a 1 1"]), max_size=12))
def test_anchors_are_never_given_twice(headings: list[str]) -> None:
    anchors = Anchors()
    found = [anchors.next(heading) for heading in headings]
    assert len(found) == len(set(found))


def test_the_start_page_comes_first_and_an_empty_folder_has_none(tmp_path: Path) -> None:
    assert MarkdownDocumentation(tmp_path).entries() == []
    (tmp_path / "about.md").write_text("no heading here")
    (tmp_path / "index.md").write_text("# `Start`\n")
    documentation = MarkdownDocumentation(tmp_path)

    assert [(entry.slug, entry.title) for entry in documentation.entries()] == [("index", "Start"), ("about", "about")]
    assert documentation.page("missing") is None


def test_pages_come_in_the_order_in_which_the_start_page_names_them(tmp_path: Path) -> None:
    for folder in ("decisions", "guides"):
        (tmp_path / folder).mkdir()
    for slug in ("about", "zoo", "decisions/1", "guides/a", "guides/b", "guides/c"):
        (tmp_path / f"{slug}.md").write_text(f"# {slug}\n")
    (tmp_path / "index.md").write_text("# Start\n[z](zoo.md) [b](guides/b.md#x) [a](guides/a.md) [1](decisions/1.md)\n")

    slugs = [entry.slug for entry in MarkdownDocumentation(tmp_path).entries()]
    assert slugs == ["index", "zoo", "about", "guides/b", "guides/a", "guides/c", "decisions/1"]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_place_in_a_file_leads_to_the_heading_above_it(line_end: str, tmp_path: Path) -> None:
    lines = ["before", "", "# Title", "", "text", "", "```", "# not a heading", "```", "", "## Part", "", "more"]
    source = line_end.join(lines)
    (tmp_path / "guide.md").write_bytes(source.encode())
    documentation = MarkdownDocumentation(tmp_path)
    source = (tmp_path / "guide.md").read_text()

    def url_of(text: str) -> str:
        return documentation.url("guide", source.index(text))

    assert url_of("before") == "/docs/guide"
    assert url_of("# Title") == url_of("text") == url_of("# not") == "/docs/guide#title"
    assert url_of("## Part") == url_of("more") == "/docs/guide#part"
    assert documentation.url("missing", 5) == "/docs/missing"
