"""HTML to Markdown: what a reader of the page would see, and nothing that runs, loads or hides."""

import re
import warnings
from collections import Counter
from typing import Any, Final

from bs4 import BeautifulSoup, Tag
from bs4.element import PreformattedString
from markdownify import ATX, MarkdownConverter

from tenfold.retrieval.extract.types import Extracted

_GONE: Final = frozenset(
    {
        *("script", "style", "template", "noscript", "iframe", "object", "embed", "applet", "svg", "math", "canvas"),
        *("audio", "video", "map", "nav", "input", "select", "option", "datalist", "button", "textarea", "dialog"),
        *("link", "meta", "base", "frame", "frameset", "noframes", "title"),
    }
)
_UNSEEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|(?:font-size|opacity|max-height)\s*:\s*0(?:\.0*)?(?:px|em|pt|%)?\s*(?:;|!|\Z)",
    re.IGNORECASE,
)
_LINKS = re.compile(r"(?:https?://|mailto:|[/#?.]|[\w%-]+(?:[/#?.]|\Z))(?!.*[\s<>])", re.IGNORECASE)
_MAX_DEPTH = 100  # elements within each other; what is deeper is kept, without its element
_MAX_LINK = 500
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")
_TRAILING = re.compile(r"[ \t]+\n")
_NUMBER = re.compile(r"[0-9]{1,6}")
_SPACES = re.compile(r"\s+")


class _Soup(BeautifulSoup):
    """A tree no deeper than what walks it can go."""

    def handle_starttag(self, *args: Any, **named: Any) -> Tag | None:
        return super().handle_starttag(*args, **named) if len(self.tagStack) <= _MAX_DEPTH else None


class _Converter(MarkdownConverter):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._items: Counter[int] = Counter()  # of each numbered list so far; markdownify counts again for each

    def convert_li(self, el: Tag, text: str, parent_tags: Any) -> str:
        bullet = "- "
        if el.parent is not None and el.parent.name == "ol":
            start = str(el.parent.get("start") or "1")
            number = (int(start) if _NUMBER.fullmatch(start) else 1) + self._items[id(el.parent)]
            self._items[id(el.parent)] += 1
            bullet = f"{number}. "
        lines = text.strip().split("\n")
        return bullet + ("\n" + " " * len(bullet)).join(lines) + "\n" if lines[0] else "\n"

    def convert_img(self, el: Tag, text: str, parent_tags: Any) -> str:
        return _SPACES.sub(" ", str(el.get("alt") or "")).strip()

    def convert_a(self, el: Tag, text: str, parent_tags: Any) -> str:
        target = str(el.get("href") or "").strip()
        words = _SPACES.sub(" ", text)
        if not words.strip() or "_noformat" in parent_tags or target.startswith("#"):
            return text
        if len(target) > _MAX_LINK or not _LINKS.match(target):
            return text
        return f"{words[: len(words) - len(words.lstrip())]}[{words.strip()}]({target})"


def read_html(markup: str) -> Extracted:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that markup looks like a file name, or is XML: it is read all the same
        soup = _Soup(_without_comments(markup), "html.parser")
    title = _title(soup)
    _strip(soup)
    converter = _Converter(
        heading_style=ATX,
        escape_asterisks=False,
        escape_underscores=False,
        autolinks=False,
        table_infer_header=True,
    )
    text = converter.convert_soup(soup)
    text = _BLANK_LINES.sub("\n\n", _TRAILING.sub("\n", text)).strip()
    return Extracted(text=text, title=title)


def _without_comments(markup: str) -> str:
    """In one pass: Python's parser looks for the end of one that has none again and again."""
    kept: list[str] = []
    place = 0
    while (start := markup.find("<!--", place)) >= 0:
        end = markup.find("-->", start + 2)
        if end < 0:
            break
        kept.append(markup[place:start])
        place = end + len("-->")
    return "".join(kept) + markup[place:].replace("<!--", "")


def _title(soup: BeautifulSoup) -> str:
    """What the page calls itself, or its first heading."""
    for name in ("title", "h1"):
        found = soup.find(name)
        if isinstance(found, Tag) and (words := _SPACES.sub(" ", found.get_text()).strip()):
            return words[:300]
    return ""


def _strip(soup: BeautifulSoup) -> None:
    """Takes out what is not seen."""
    node: Any = soup.contents[0] if soup.contents else None
    while node is not None:
        following = node.next_element
        if isinstance(node, PreformattedString):  # declarations, CDATA
            node.extract()
        elif isinstance(node, Tag) and (node.name in _GONE or _is_hidden(node)):
            following = _behind(node)
            node.extract()
        node = following


def _behind(tag: Tag) -> Any:
    """The first node after all that is in `tag`."""
    last: Any = tag
    while isinstance(last, Tag) and last.contents:
        last = last.contents[-1]
    return last.next_element


def _is_hidden(tag: Tag) -> bool:
    if tag.has_attr("hidden") or str(tag.get("aria-hidden", "")).lower() == "true":
        return True
    style = tag.get("style")
    return bool(style) and _UNSEEN.search(str(style)) is not None
