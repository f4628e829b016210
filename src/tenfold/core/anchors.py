"""Anchors of headings: the part after `#` in a link to a section. One rule for whoever renders and whoever cites."""

import re

_DROPPED = re.compile(r"[^\w\- ]")


class Anchors:
    """One for each document, fed with its headings in order. The rule is the one people know from GitHub: lower case,
    no punctuation, hyphens for spaces, and a number behind the second of the same name."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def next(self, heading: str) -> str:
        base = _DROPPED.sub("", heading.strip().lower()).replace(" ", "-") or "section"
        anchor = base
        while anchor in self._seen:
            self._seen[base] += 1
            anchor = f"{base}-{self._seen[base]}"
        self._seen[anchor] = 0
        return anchor
