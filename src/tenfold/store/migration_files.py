"""The numbered SQL files of the package: their order, their checksums, their statements."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Literal

from tenfold.store.errors import MigrationError

Phase = Literal["pre", "post"]

_NAME = re.compile(r"(?P<stem>\d{4}_[a-z0-9_]+)\.(?P<phase>pre|post)\.sql")
_PHASES: dict[str, Phase] = {"pre": "pre", "post": "post"}


@dataclass(frozen=True, kw_only=True, slots=True)
class MigrationFile:
    name: str  # "0002_receipts.pre"
    phase: Phase
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, line ends normalised (a checkout may change them)."""
        return hashlib.sha256(self.sql.replace("\r\n", "\n").encode()).hexdigest()


def packaged_files() -> list[MigrationFile]:
    return read_files(resources.files("tenfold.store") / "migrations")


def read_files(folder: Traversable) -> list[MigrationFile]:
    """In the order in which they run. Raises MigrationError for a file whose name says no place."""
    files = []
    for entry in folder.iterdir():
        if not entry.name.endswith(".sql"):
            continue
        match = _NAME.fullmatch(entry.name)
        if match is None:
            raise MigrationError(f"{entry.name}: migrations are named NNNN_subject.pre.sql or NNNN_subject.post.sql.")
        files.append(
            MigrationFile(
                name=entry.name.removesuffix(".sql"),
                phase=_PHASES[match["phase"]],
                sql=entry.read_text(encoding="utf-8"),
            )
        )
    return in_order(files)


def in_order(files: Iterable[MigrationFile]) -> list[MigrationFile]:
    def place(file: MigrationFile) -> tuple[str, bool]:
        return file.name.removesuffix(f".{file.phase}"), file.phase == "post"

    ordered = sorted(files, key=place)
    stems: dict[str, str] = {}
    for file in ordered:
        stem = place(file)[0]
        if stems.setdefault(stem[:4], stem) != stem:
            raise MigrationError(f"{stems[stem[:4]]} and {stem} have the same number.")
    return ordered


# What may hold a `;` that does not end a statement (PostgreSQL manual, 4.1: Lexical Structure).
_TOKEN = re.compile(
    r"""
      (?<![A-Za-z0-9_])[eE]'(?:[^'\\]|\\.|'')*'      # escape string
    | '(?:[^']|'')*'                                 # string
    | "(?:[^"]|"")*"                                 # quoted name
    | (?<![A-Za-z0-9_])\$(?P<tag>[A-Za-z_]*)\$.*?\$(?P=tag)\$  # dollar-quoted body
    | --[^\n]*                                       # comment to the end of the line
    | /\*.*?\*/                                      # comment (not nested)
    | ;
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"\s*(?:--[^\n]*(?:\n|$)|/\*.*?\*/)", re.DOTALL)


def statements(sql: str) -> list[str]:
    """The statements of a script, without the `;`; pieces that hold nothing but comments are left out.
    `BEGIN ATOMIC` bodies are not understood: functions belong into a pre file."""
    cuts = [match.start() for match in _TOKEN.finditer(sql) if match[0] == ";"]
    pieces = [sql[start:end] for start, end in zip([0, *(cut + 1 for cut in cuts)], [*cuts, len(sql)], strict=True)]
    return [piece.strip() for piece in pieces if not _only_comments(piece)]


def _only_comments(piece: str) -> bool:
    rest = piece
    while match := _COMMENT.match(rest):
        rest = rest[match.end() :]
    return not rest.strip()
