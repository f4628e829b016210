"""Markdown to HTML that is safe to show: the packaged documentation, and answers in which [n] links to its source.

HTML in the source stays text. Answers may hold no links or images: a document must not lead readers away through them.
"""

import re
from collections.abc import Sequence
from posixpath import dirname, join, normpath

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tenfold.core.anchors import Anchors

_MARK = re.compile(r"\[(\d{1,3})\]")
_RELATIVE_PAGE = re.compile(r"(?P<path>[\w./-]+)\.md(?P<anchor>#[\w-]*)?")
_HAS_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


def answer_html(text: str, sources: frozenset[int]) -> str:
    """`sources`: the numbers that have an entry `#source-n` below the answer."""
    parser = _parser().disable(["link", "image", "autolink", "reference"])
    tokens = parser.parse(text)
    for token in tokens:
        if token.type == "inline":
            token.children = [piece for child in token.children or () for piece in _with_marks(child, sources)]
    return str(parser.renderer.render(tokens, parser.options, {}))


def document_html(text: str, slug: str) -> tuple[str | None, str]:
    """The title (its first heading of level 1) and the HTML of the documentation page `slug`. Links to other Markdown
    files become links to their pages; headings get anchors; images become their description."""
    parser = _parser()
    anchors = Anchors()
    title: str | None = None
    tokens = parser.parse(text)
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            heading = _plain_text(tokens[number + 1])
            token.attrSet("id", anchors.next(heading))
            if title is None and token.tag == "h1":
                title = heading
        elif token.type == "inline":
            token.children = [_for_page(child, slug) for child in token.children or ()]
    html = str(parser.renderer.render(tokens, parser.options, {}))
    return title, html.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")


def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def _plain_text(inline: Token) -> str:
    return "".join(child.content for child in inline.children or () if child.type in ("text", "code_inline"))


def _with_marks(token: Token, sources: frozenset[int]) -> Sequence[Token]:
    if token.type != "text" or not _MARK.search(token.content):
        return (token,)
    pieces: list[Token] = []
    for position, piece in enumerate(_MARK.split(token.content)):
        is_mark = position % 2 == 1
        if is_mark and int(piece) in sources:
            link = f'<a class="mark" href="#source-{int(piece)}">[{int(piece)}]</a>'
            pieces.append(Token("html_inline", "", 0, content=link))
        else:
            pieces.append(Token("text", "", 0, content=f"[{piece}]" if is_mark else piece))
    return pieces


def _for_page(token: Token, slug: str) -> Token:
    if token.type == "link_open":
        href = str(token.attrGet("href") or "")
        if not _HAS_SCHEME.match(href):
            token.attrSet("href", _page_link(href, slug))
        else:
            token.attrSet("rel", "noopener noreferrer")
    elif token.type == "image":
        return Token("text", "", 0, content=token.content)
    return token


def _page_link(href: str, slug: str) -> str:
    """A link between files as a link between pages; one that leads out of the documentation leads to its start."""
    match = _RELATIVE_PAGE.fullmatch(href)
    if match is None:
        return href if href.startswith(("#", "/")) else "/docs"
    path = normpath(join(dirname(slug), match["path"]))
    return "/docs" if path.startswith("..") else f"/docs/{path}{match['anchor'] or ''}"
