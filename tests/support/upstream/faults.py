"""What the stand-in does wrong on command: markers such as `[[cut 3]]` anywhere in a request's texts.

| marker | what happens |
|---|---|
| `[[status 429 7]]` | that status in the vendor's words, with `Retry-After: 7` when a second number stands there |
| `[[hang]]` | no reply at all until the client hangs up |
| `[[reset]]` | the connection is closed before the reply begins |
| `[[hold NAME K]]` | waits before frame K (default 0: before the reply) until the test releases NAME |
| `[[stall K]]` | K frames, then silence until the client hangs up |
| `[[cut K]]` | K frames (of a whole reply: half of its body), then the connection breaks |
| `[[end K]]` | K frames, then a clean end of the HTTP body without the protocol's own end |
| `[[drip]]` | every frame in pieces of a few bytes |
| `[[wide N]]` | every frame begins with a comment of N KiB |
| `[[garbage K]]` | frame K (of a whole reply: the body) is no JSON |
| `[[html]]` | a page instead of a reply, status 200 |
| `[[untyped]]` | the reply without its Content-Type |
| `[[no-usage]]` | the reply states no usage |
| `[[error-event K]]` | K frames, then the vendor's error inside the stream |
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_MARKER = re.compile(r"\[\[([a-z-]+)((?: +[\w-]+)*)\]\]")
_KINDS = frozenset(
    (
        *("status", "hang", "reset", "hold", "stall", "cut", "end", "drip", "garbage", "html", "untyped"),
        *("no-usage", "error-event", "wide"),
    )
)


@dataclass(frozen=True, kw_only=True)
class Fault:
    kind: str
    words: tuple[str, ...] = ()

    def number(self, place: int = 0, default: int = 0) -> int:
        return int(self.words[place]) if place < len(self.words) else default


@dataclass(frozen=True, kw_only=True)
class Faults:
    """The faults one request asks for, at most one of a kind."""

    by_kind: dict[str, Fault]

    def get(self, kind: str) -> Fault | None:
        return self.by_kind.get(kind)


NONE = Faults(by_kind={})


def read_faults(texts: Iterable[str]) -> Faults:
    """Raises ValueError for a marker that means nothing, so that a typing error in a test is not a passing test."""
    found: dict[str, Fault] = {}
    for text in texts:
        for kind, words in _MARKER.findall(text):
            if kind not in _KINDS:
                raise ValueError(f"unknown fault [[{kind}]]")
            found[kind] = Fault(kind=kind, words=tuple(words.split()))
    return Faults(by_kind=found)


def without_markers(text: str) -> str:
    return _MARKER.sub("", text).strip()
