"""One contract for the shelf in a file and the one in memory; and what only a file can go through."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tenfold.app.slo.fake import FakeShelf
from tenfold.app.slo.shelf import Busy, FileShelf, Shelf


@pytest.fixture(params=["file", "fake"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    return FileShelf(tmp_path / "slo.bin") if request.param == "file" else FakeShelf()


def content(shelf: Shelf) -> bytes:
    seen = b""

    def look(kept: bytes) -> bytes:
        nonlocal seen
        seen = kept
        return kept

    shelf.change(look)
    return seen


def test_it_begins_empty_and_keeps_what_it_is_given(shelf: Shelf) -> None:
    assert content(shelf) == b""
    shelf.change(lambda kept: kept + b"one")
    shelf.change(lambda kept: kept + b" two")
    assert content(shelf) == b"one two"


def test_a_step_that_fails_changes_nothing(shelf: Shelf) -> None:
    shelf.change(lambda _: b"before")
    with pytest.raises(ZeroDivisionError):
        shelf.change(lambda _: bytes(1 // 0))
    assert content(shelf) == b"before"


def test_two_do_not_change_it_at_once(tmp_path: Path) -> None:
    one, other = (FileShelf(tmp_path / "slo.bin") for _ in range(2))

    def meanwhile(kept: bytes) -> bytes:
        with pytest.raises(Busy):
            other.change(lambda _: b"lost")
        return b"one"

    one.change(meanwhile)
    assert content(other) == b"one"


def test_nothing_is_lost_between_many(tmp_path: Path) -> None:
    def count(_: int) -> None:
        shelf = FileShelf(tmp_path / "slo.bin")
        while True:
            try:
                return shelf.change(lambda kept: str(int(kept or b"0") + 1).encode())
            except Busy:
                continue

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(count, range(200)))
    assert content(FileShelf(tmp_path / "slo.bin")) == b"200"


def test_a_folder_that_is_gone_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        FileShelf(tmp_path / "gone" / "slo.bin").change(lambda kept: kept)


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    shelf = FileShelf(tmp_path / "slo.bin")
    steps: list[Callable[[bytes], bytes]] = [lambda kept: kept, lambda _: bytes(1 // 0)] * 20
    before = len(list(Path("/proc/self/fd").iterdir()))
    for step in steps:
        try:
            shelf.change(step)
        except ZeroDivisionError:
            continue
    assert len(list(Path("/proc/self/fd").iterdir())) == before
