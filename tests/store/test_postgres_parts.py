"""The parts of the launcher on their own: the log that stays small, the programs, the locks, the explanations."""

import os
import threading
from pathlib import Path

import pytest

from tenfold.store import StartupError
from tenfold.store.postgres import binaries, guardian, locks
from tenfold.store.postgres.account import Account, can_reach
from tenfold.store.postgres.diagnosis import explain, port_taken, told_plainly

SOMEBODY = Account(name="somebody", uid=os.geteuid() + 4711, gid=4711)


def pumped(path: Path, text: bytes) -> guardian.Log:
    reader, writer = os.pipe()
    log = guardian.Log(str(path), reader)
    pump = threading.Thread(target=log.pump)
    pump.start()
    os.write(writer, text)
    os.close(writer)
    pump.join()
    os.close(reader)
    log.close()
    return log


class TestLog:
    def test_it_keeps_what_was_written_before(self, tmp_path: Path) -> None:
        pumped(tmp_path / "log", b"one\n")
        assert pumped(tmp_path / "log", b"two\n").tail == b"two\n"
        assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"

    def test_it_never_takes_more_than_two_files_of_its_limit(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(guardian, "LOG_LIMIT_BYTES", 1000)
        for _ in range(20):
            pumped(tmp_path / "log", b"x" * 300)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1"]
        assert all(path.stat().st_size <= 1300 for path in tmp_path.iterdir())

    def test_a_log_that_cannot_be_written_does_not_stop_the_pump(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> int:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(guardian.Log, "_write", full)
            assert pumped(tmp_path / "log", b"FATAL:  lost\n").tail == b"FATAL:  lost\n"


class TestBinaries:
    def test_the_newest_are_found_in_the_wheel(self) -> None:
        found = binaries.find_binaries()
        assert found.major >= 16
        assert found.postgres.is_file()
        assert found.initdb.is_file()

    def test_data_gets_the_version_that_made_it(self) -> None:
        assert binaries.find_binaries(16).major == 16
        with pytest.raises(StartupError, match="Postgres 9, which made the data folder"):
            binaries.find_binaries(9)

    def test_when_none_is_installed_it_says_how(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(binaries, "WHEELS", ("no-such-wheel",))
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(StartupError, match="pip install"):
            binaries.find_binaries()

    def test_those_on_path_are_the_last_resort(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        program(tmp_path / "postgres", "15.4")
        program(tmp_path / "initdb", "15.4")
        monkeypatch.setattr(binaries, "WHEELS", ("no-such-wheel",))
        monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
        found = binaries.find_binaries()
        assert (found.folder, found.major, found.minor) == (tmp_path, 15, 4)

    def test_a_program_of_another_platform_is_passed_over(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("postgres", "initdb"):
            (tmp_path / name).write_bytes(b"\x7fELF of elsewhere")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setattr(binaries, "WHEELS", ("no-such-wheel",))
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(StartupError):
            binaries.find_binaries()

    def test_what_lies_in_a_closed_folder_is_copied_once_with_its_libraries(self, tmp_path: Path) -> None:
        closed = tmp_path / "closed"
        folder = closed / "wheel" / "pginstall18" / "bin"
        folder.mkdir(parents=True)
        program(folder / "postgres", "18.4")
        (closed / "wheel.libs").mkdir()
        (closed / "wheel.libs" / "libpq.so").touch()
        closed.chmod(0o700)
        inside = binaries.Binaries(folder=folder, major=18, minor=4)
        shelter = tmp_path / "shelter"

        copied = binaries.reachable_binaries(inside, SOMEBODY, shelter)
        assert copied.postgres.is_relative_to(shelter)
        assert copied.postgres.read_text() == inside.postgres.read_text()
        assert (copied.folder / "../../../wheel.libs/libpq.so").resolve().is_file()  # where its RPATH looks
        assert binaries.reachable_binaries(inside, SOMEBODY, shelter) == copied
        assert len(list(shelter.iterdir())) == 1

    def test_whoever_can_reach_them_uses_them_where_they_are(self, tmp_path: Path) -> None:
        me = Account(name="me", uid=os.geteuid(), gid=os.getegid())
        folder = tmp_path / "bin"
        found = binaries.Binaries(folder=folder, major=18, minor=4)
        assert binaries.reachable_binaries(found, me, tmp_path / "shelter") is found
        assert can_reach(Path("/usr/bin/env"), SOMEBODY)


def program(path: Path, version: str) -> None:
    path.write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
    path.chmod(0o755)


class TestLocks:
    def test_many_share_it_and_one_has_it_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "lock"
        first, second, alone = (locks.FileLock(path) for _ in range(3))
        assert first.try_shared()
        assert second.try_shared()
        assert not alone.try_exclusive()
        first.release()
        second.release()
        assert alone.try_exclusive()
        assert not first.try_shared()
        assert not locks.is_free(path)
        alone.release()
        assert locks.is_free(path)

    def test_waiting_ends_at_its_deadline(self, tmp_path: Path) -> None:
        path = tmp_path / "lock"
        with locks.held(path, until=0.0) as mine:
            assert mine
            with locks.held(path, until=0.0) as also_mine:
                assert not also_mine
            assert not locks.is_free(path)
        assert locks.is_free(path)


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("initdb: error: could not create directory: No space left on device", "disk is full"),
        ("FATAL:  could not extend file: wrote only 4096 of 8192 bytes\nHINT:  Check free disk space.", "disk is full"),
        ("FATAL:  could not write lock file: Disk quota exceeded", "disk is full"),
        ("initdb: error: could not access directory: Permission denied", "--home"),
        ("[Errno 30] Read-only file system: '/x'", "read-only"),
        ("FATAL:  could not map anonymous shared memory: Cannot allocate memory", "not enough memory"),
        ("FATAL:  database files are incompatible with server", "another version"),
        ("postgres: error while loading shared libraries: libz.so.1: cannot open", "library"),
        ("FATAL:  pre-existing shared memory block (key 1, ID 2) is still in use", "another Postgres"),
        (
            'LOG:  invalid value for parameter "shared_buffers": "x"\nFATAL:  configuration file contains errors',
            'invalid value for parameter "shared_buffers"',
        ),
        ("LOG:  noise\nFATAL:  something new\nLOG:  shut down", "something new"),
        ("", "did not say why"),
    ],
)
def test_causes_are_told_with_the_way_out(output: str, told: str) -> None:
    assert told in explain("It failed", output)


def test_a_taken_port_is_known_by_its_message() -> None:
    assert port_taken('LOG:  could not bind IPv4 address "127.0.0.1": Address already in use')
    assert not port_taken("FATAL:  something else")


def test_errors_of_the_file_system_are_told_plainly(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="disk is full") as caught, told_plainly(tmp_path):
        raise OSError(28, "No space left on device")
    assert isinstance(caught.value.__cause__, OSError)
