"""Receipts on disk: whole, locked, taken over, and safe against a line cut short."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tenfold.core.ids import TenantId, uuid7
from tenfold.ledger.spill import SpillFile, abandoned_files, own_file
from tenfold.ledger.types import Receipt

from .samples import bare_receipt, full_receipt, receipt

TENANT = TenantId(uuid7())
EVERYTHING = 1 << 30


def read_all(file: SpillFile) -> list[Receipt]:
    return file.read(EVERYTHING)[0]


def test_receipts_come_back_as_they_were(tmp_path: Path) -> None:
    kept = [full_receipt(TENANT), bare_receipt(TENANT), receipt(TENANT)]
    file = own_file(tmp_path)
    file.append(kept[:2])
    file.append(kept[2:])
    assert read_all(file) == kept
    assert file.path.stat().st_mode & 0o077 == 0  # end users are named in it


def test_reading_goes_on_where_the_last_piece_ended(tmp_path: Path) -> None:
    kept = [receipt(TENANT, second=n) for n in range(10)]
    file = own_file(tmp_path)
    file.append(kept)
    seen = []
    while file.backlog_bytes:
        piece, end = file.read(1500)  # two or three receipts
        assert 0 < len(piece) < 10
        seen += piece
        file.done(end)
    assert seen == kept
    assert file.path.stat().st_size == 0


def test_what_was_read_and_not_done_is_read_again(tmp_path: Path) -> None:
    file = own_file(tmp_path)
    file.append([receipt(TENANT)])
    assert read_all(file) == read_all(file)
    assert file.backlog_bytes > 0


def test_receipts_appended_while_others_were_replayed_stay(tmp_path: Path) -> None:
    first, second = receipt(TENANT), receipt(TENANT, second=1)
    file = own_file(tmp_path)
    file.append([first])
    _, end = file.read(EVERYTHING)
    file.append([second])
    file.done(end)
    assert read_all(file) == [second]


def test_a_file_in_use_is_not_taken_over_and_an_abandoned_one_is(tmp_path: Path) -> None:
    file = own_file(tmp_path)
    file.append([receipt(TENANT)])
    assert list(abandoned_files(tmp_path)) == []
    kept = read_all(file)
    file.close()
    (taken,) = abandoned_files(tmp_path)
    assert read_all(taken) == kept
    assert list(abandoned_files(tmp_path)) == []


def test_a_process_killed_after_append_has_lost_nothing(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from tenfold.ledger.spill import own_file;"
        "from tenfold.ledger.types import Receipt; import msgspec;"
        "file = own_file(Path(sys.argv[1]));"
        "file.append([msgspec.json.decode(sys.argv[2], type=Receipt)]);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    kept = receipt(TENANT)
    arguments = [sys.executable, "-c", program, str(tmp_path), msgspec.json.encode(kept).decode()]
    assert subprocess.run(arguments, check=False).returncode == -signal.SIGKILL
    (taken,) = abandoned_files(tmp_path)
    assert read_all(taken) == [kept]


def test_an_empty_file_is_removed(tmp_path: Path) -> None:
    file = own_file(tmp_path)
    file.append([receipt(TENANT)])
    file.done(file.read(EVERYTHING)[1])
    file.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cut", [1, 2, 40, 300])
def test_a_line_cut_short_costs_nothing_but_itself(tmp_path: Path, cut: int) -> None:
    kept = [receipt(TENANT), receipt(TENANT, second=1)]
    file = own_file(tmp_path)
    file.append(kept)
    size = file.path.stat().st_size
    file.close()
    os.truncate(file.path, size - cut)
    (taken,) = abandoned_files(tmp_path)
    receipts = read_all(taken)
    assert receipts in (kept[:1], kept)
    assert (receipts == kept) == (cut == 1)  # only its line end is missing
    taken.done(taken.read(EVERYTHING)[1])
    assert taken.backlog_bytes == 0


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = receipt(TENANT), receipt(TENANT, second=1)
    file = own_file(tmp_path)
    file.append([first])
    real_write, room = os.write, iter([100])

    def write(descriptor: int, data: bytes) -> int:
        if (left := next(room, None)) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(descriptor, data[:left])

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="No space"):
        file.append([second])
    monkeypatch.setattr(os, "write", real_write)
    file.append([second])
    assert read_all(file) == [first, second]
