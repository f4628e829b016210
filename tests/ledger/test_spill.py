"""Files that earlier releases left: read whole, once, and only when nobody else writes them."""

import os
from pathlib import Path

import msgspec
import pytest

from tenfold.core.ids import TenantId, uuid7
from tenfold.ledger.spill import SUFFIX, SpillFile, abandoned_files
from tenfold.ledger.types import Receipt

from .samples import bare_receipt, full_receipt, receipt

TENANT = TenantId(uuid7())


def left_behind(directory: Path, receipts: list[Receipt]) -> Path:
    path = directory / f"{uuid7().hex}{SUFFIX}"
    path.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in receipts))
    return path


def read_all(file: SpillFile, limit_bytes: int = 1 << 20) -> list[Receipt]:
    found: list[Receipt] = []
    while some := file.read(limit_bytes):
        found += some
    return found


@pytest.mark.parametrize("limit_bytes", [1 << 20, 1500])  # 1500: two or three receipts
def test_receipts_come_back_as_they_were(tmp_path: Path, limit_bytes: int) -> None:
    kept = [full_receipt(TENANT), bare_receipt(TENANT), *(receipt(TENANT, second=n) for n in range(10))]
    path = left_behind(tmp_path, kept)
    (file,) = abandoned_files(tmp_path)
    assert read_all(file, limit_bytes) == kept
    file.remove()
    file.close()
    assert not path.exists()


def test_a_file_in_use_is_left_alone(tmp_path: Path) -> None:
    left_behind(tmp_path, [receipt(TENANT)])
    (holder,) = abandoned_files(tmp_path)
    assert abandoned_files(tmp_path) == []
    holder.close()
    (taken,) = abandoned_files(tmp_path)
    taken.close()


@pytest.mark.parametrize("cut", [1, 2, 40, 300])
def test_a_line_cut_short_costs_nothing_but_itself(tmp_path: Path, cut: int) -> None:
    kept = [receipt(TENANT), receipt(TENANT, second=1)]
    path = left_behind(tmp_path, kept)
    os.truncate(path, path.stat().st_size - cut)
    (taken,) = abandoned_files(tmp_path)
    assert read_all(taken) == (kept if cut == 1 else kept[:1])  # 1: only its line end is missing
    taken.close()


def test_lines_that_are_no_receipts_end_nothing(tmp_path: Path) -> None:
    kept = [receipt(TENANT), receipt(TENANT, second=1)]
    path = left_behind(tmp_path, kept[:1])
    with path.open("ab") as file:
        file.write(b"\xff\n{}\n" * 2000 + msgspec.json.encode(kept[1]) + b"\n")
    (taken,) = abandoned_files(tmp_path)
    assert read_all(taken, 1000) == kept
    taken.close()
