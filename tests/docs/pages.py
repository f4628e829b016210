"""The documentation as the tests read it: its pages, and the fenced blocks, headings, links and words in them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tenfold.core.anchors import Anchors

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = (README, *sorted(DOCS.rglob("*.md")))

RUN = "run"
"""The word after the language of a block that is executed: ```python run."""

_CODE_SPAN = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True, kw_only=True)
class Block:
    page: Path
    line: int
    language: str
    run: bool
    text: str

    def __str__(self) -> str:
        return f"{name(self.page)}:{self.line}"


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(language: str, pages: Sequence[Path] = PAGES) -> list[Block]:
    return [block for page in pages for block in _blocks(page) if block.language == language]


def code_spans(page: Path) -> list[str]:
    """What stands between backticks in the text, tables included, fenced blocks left out."""
    return [span for token in _tokens(page) if token.type == "inline" for span in _CODE_SPAN.findall(token.content)]


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """What may stand behind # in a link to the page: the rule of the pages that the console shows."""
    rule = Anchors()
    tokens = _tokens(page)
    return {
        rule.next(_plain(tokens[number + 1])) for number, token in enumerate(tokens) if token.type == "heading_open"
    }


def links(page: Path) -> Iterator[str]:
    """Where links and images lead."""
    for token in _tokens(page):
        for child in token.children or ():
            target = child.attrGet("href") if child.type == "link_open" else child.attrGet("src")
            if isinstance(target, str):
                yield target


def _blocks(page: Path) -> Iterator[Block]:
    for token in _tokens(page):
        if token.type == "fence":
            language, _, more = token.info.strip().partition(" ")
            line = (token.map[0] if token.map else 0) + 1
            yield Block(page=page, line=line, language=language, run=more == RUN, text=token.content)


def _tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark", {"html": False}).enable("table").parse(text(page))


def _plain(inline: Token) -> str:
    return "".join(child.content for child in inline.children or () if child.type in ("text", "code_inline"))
