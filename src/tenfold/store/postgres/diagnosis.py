"""Why Postgres did not start, said with the way out, from what it wrote."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tenfold.store.errors import StartupError

_CAUSES: tuple[tuple[str, str], ...] = (
    (
        r"No space left on device|Disk quota exceeded|Check free disk space",
        "the disk is full. Free some space and start again",
    ),
    (r"Read-only file system", "the file system is read-only. Choose another --home, or set database.url"),
    (
        r"Permission denied|Operation not permitted|has wrong ownership|has invalid permissions",
        "a file or folder may not be used by the user that runs Postgres. Choose a --home that this user owns, "
        "or set database.url",
    ),
    (
        r"could not map anonymous shared memory|Cannot allocate memory|out of memory",
        "there is not enough memory. Give the machine or container about 300 MB more, or set database.url",
    ),
    (
        r"shared memory segment|pre-existing shared memory block",
        "another Postgres still runs on this data folder. End it, then start again",
    ),
    (
        r"not compatible with this version|incompatible with server",
        "the data folder was made by another version of Postgres. Install the version that made it",
    ),
    (r"error while loading shared libraries", "a library that Postgres needs is not on this machine"),
)
_PORT_TAKEN = re.compile(r"could not bind .*Address (already )?in use|could not create any TCP/IP sockets")
_SETTING = re.compile(
    r"(?:unrecognized configuration parameter|invalid value for parameter|parameter \".+\" (?:requires|cannot)"
    r"|syntax error in file) .+"
)
_TELLING_LINE = re.compile(r"\b(?:FATAL|PANIC|ERROR|initdb: error|error):\s*(?P<text>.+)")


def port_taken(output: str) -> bool:
    return _PORT_TAKEN.search(output) is not None


def explain(what: str, output: str) -> str:
    """One line: what failed, the known cause or Postgres' own last words."""
    for pattern, cause in _CAUSES:
        if re.search(pattern, output):
            return f"{what}: {cause}."
    setting = _SETTING.search(output)
    if setting:
        return f"{what}: {setting[0].strip()}."
    told = _TELLING_LINE.findall(output)
    if told:
        return f"{what}: {told[-1].strip()}."
    return f"{what}, and Postgres did not say why."


@contextmanager
def told_plainly(folder: Path) -> Iterator[None]:
    """OSErrors around the files of `folder` to StartupError."""
    try:
        yield
    except OSError as error:
        raise StartupError(explain(f"The database below {folder} cannot be used", str(error))) from error
