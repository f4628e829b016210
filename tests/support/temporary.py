"""Temporary files of a test run in memory, where there is room: databases are made of hundreds of small files."""

import os
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")
# A run takes about a quarter: 85 MB for each home with a database. A container often has 64 MiB there.
_ROOM_BYTES = 4 << 30


def keep_in_memory() -> None:
    """For this process and those it starts. Where TMPDIR is set, whoever set it has chosen."""
    if "TMPDIR" not in os.environ and _is_fit(_MEMORY):
        os.environ["TMPDIR"] = str(_MEMORY)
        tempfile.tempdir = None


def _is_fit(folder: Path) -> bool:
    """Programs are compiled and run in there, too."""
    try:
        return (
            os.access(folder, os.W_OK | os.X_OK)
            and shutil.disk_usage(folder).free >= _ROOM_BYTES
            and not os.statvfs(folder).f_flag & os.ST_NOEXEC
        )
    except OSError:
        return False
