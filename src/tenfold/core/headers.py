"""Reply headers as the lines they make on the wire, so that what never changes is written once."""

from collections.abc import Iterable


def header_lines(pairs: Iterable[tuple[str, str]]) -> str:
    """`name: value` and a line end for each. Raises ValueError for a value that holds a line break: it would begin a
    header, or a whole reply, of somebody else's making."""
    lines = [f"{name}: {value}\r\n" for name, value in pairs]
    text = "".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines):
        raise ValueError("a reply header holds a line break")
    return text


def still_holds(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has this already (RFC 9110, section 13.1.2: compared weakly)."""
    if if_none_match is None:
        return False
    known = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in known or etag.removeprefix("W/") in known
