"""Markdown to HTML that is safe to show: the packaged documentation, and answers in which [n] links to its source.

HTML in the source stays text. Answers may hold no links or images: a document must not lead readers away through them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from posixpath import dirname, join, normpath

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tenfold.core.anchors import Anchors

_MARK = re.compile(r"\[(\d{1,3})\]")
_RELATIVE_PAGE = re.compile(r"(?P<path>[\w./-]+)\.md(?P<anchor>#[\w-]*)?")
_LINE_END = re.compile(r"\r\n|\n|\r")
_HAS_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


def answer_html(text: str, sources: frozenset[int], anchor: str = "source") -> str:
    """`sources`: the numbers that have an entry `#{anchor}-n` below the answer."""
    parser = _parser().disable(["link", "image", "autolink", "reference"])
    tokens = parser.parse(text)
    _without_styles(tokens)
    for token in tokens:
        if token.type == "inline":
            token.children = [piece for child in token.children or () for piece in _with_marks(child, sources, anchor)]
    return str(parser.renderer.render(tokens, parser.options, {}))


def quoted_html(text: str) -> str:
    """A piece of a document that somebody uploaded, to be shown inside a page: headings below the page's own."""
    parser = _parser().disable(["link", "image", "autolink", "reference"])
    tokens = parser.parse(text)
    _without_styles(tokens)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 2, 6)}"
    return _scrollable(str(parser.renderer.render(tokens, parser.options, {})))


@dataclass(frozen=True, kw_only=True)
class Document:
    """A documentation page. `sections`: where each heading begins in the source (characters), and its anchor."""

    title: str | None  # the first heading of level 1
    html: str
    sections: tuple[tuple[int, str], ...]


def document(text: str, slug: str) -> Document:
    """The page of the Markdown file `slug`; its headings get anchors, its links to other files lead to their pages."""
    parser = _parser()
    anchors = Anchors()
    title: str | None = None
    sections: list[tuple[int, str]] = []
    line_starts = [0, *(line_end.end() for line_end in _LINE_END.finditer(text))]
    tokens = parser.parse(text)
    _without_styles(tokens)
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            heading = _plain_text(tokens[number + 1])
            anchor = anchors.next(heading)
            token.attrSet("id", anchor)
            sections.append((line_starts[token.map[0]] if token.map else 0, anchor))
            if title is None and token.tag == "h1":
                title = heading
        elif token.type == "inline":
            token.children = list(_for_pages(token.children or (), slug))
    html = _scrollable(str(parser.renderer.render(tokens, parser.options, {})))
    return Document(title=title, html=html, sections=tuple(sections))


def _scrollable(html: str) -> str:
    return html.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")


def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def _without_styles(tokens: Sequence[Token]) -> None:
    """Aligned columns come with inline styles, which the content security policy forbids: classes instead."""
    for token in tokens:
        style = token.attrs.pop("style", None)
        if style == "text-align:right":
            token.attrSet("class", "number")


def _plain_text(inline: Token) -> str:
    return "".join(child.content for child in inline.children or () if child.type in ("text", "code_inline"))


def _with_marks(token: Token, sources: frozenset[int], anchor: str) -> Sequence[Token]:
    if token.type != "text" or not _MARK.search(token.content):
        return (token,)
    pieces: list[Token] = []
    for position, piece in enumerate(_MARK.split(token.content)):
        is_mark = position % 2 == 1
        if is_mark and int(piece) in sources:
            link = f'<a class="mark" href="#{anchor}-{int(piece)}">[{int(piece)}]</a>'
            pieces.append(Token("html_inline", "", 0, content=link))
        else:
            pieces.append(Token("text", "", 0, content=f"[{piece}]" if is_mark else piece))
    return pieces


def _for_pages(tokens: Sequence[Token], slug: str) -> Iterator[Token]:
    """Links between files become links between pages; images and links that lead out of the documentation, text."""
    dropped = False
    for token in tokens:
        if token.type == "link_open":
            href = str(token.attrGet("href") or "")
            if _HAS_SCHEME.match(href):
                token.attrSet("rel", "noopener noreferrer")
            else:
                link = _page_link(href, slug)
                dropped = link is None
                token.attrSet("href", link or "")
        if token.type == "image":
            yield Token("text", "", 0, content=token.content)
        elif not (dropped and token.type in ("link_open", "link_close")):
            yield token


def _page_link(href: str, slug: str) -> str | None:
    if href.startswith(("#", "/")):
        return href
    match = _RELATIVE_PAGE.fullmatch(href)
    if match is None:
        return None
    path = normpath(join(dirname(slug), match["path"]))
    return None if path.startswith("..") else f"/docs/{path}{match['anchor'] or ''}"
