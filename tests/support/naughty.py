"""Strings that have broken other people's software (the Big List of Naughty Strings), and a few of our own."""

from tests.support.shared_data import json_lines, shared_data

_OWN = [
    "\x00",
    "a\x00b",
    "\ud800",
    "\u202eevil",
    "a\nb",
    "\u2028",
    "\u200b",
    "'" * 500,
    "🏳️‍🌈" * 100,
    " ",
    "%00",
    "{{7*7}}",
    "..",
    "/",
    "<script>document.title='owned'</script>",
    '"><img src=x onerror=alert(1)>',
]


def naughty_strings() -> list[str]:
    path = shared_data("naughty_strings") / "blns.jsonl"
    return [str(entry["text"]) for entry in json_lines(path)] + _OWN
