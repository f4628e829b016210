"""The embedded Postgres: who starts it, who may use it, and when it stops."""

import asyncio
import fcntl
import json
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tenfold.store import EmbeddedPostgres, StartupError
from tenfold.store.postgres import account, cluster
from tenfold.store.postgres.processes import leftovers
from tests.support.processes import guardian, is_silent, postmaster, signal_all, until

ROOT = Path(__file__).parents[2]


async def fetchval(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        connection.terminate()


@asynccontextmanager
async def holder(
    home: Path, python: str = sys.executable, **options: Any
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Another process with a lease, and the DSN it was given."""
    process = await asyncio.create_subprocess_exec(
        python,
        "-m",
        "tests.support.lease_holder",
        str(home),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        **options,
    )
    assert process.stdout is not None
    try:
        yield process, (await process.stdout.readline()).decode().strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # asyncio has no public way to end the pipes


async def tell(process: asyncio.subprocess.Process, line: str) -> None:
    await process.communicate(line.encode())


class TestUse:
    async def test_it_starts_serves_and_stops(self, new_postgres: EmbeddedPostgres, home: Path) -> None:
        dsn = await new_postgres.start()
        assert await fetchval(dsn, "SELECT current_database() || ' ' || current_user") == "tenfold tenfold_owner"
        await new_postgres.stop()
        assert is_silent(home)
        await until(lambda: leftovers(new_postgres.data_folder) == [])
        await new_postgres.stop()  # twice does no harm

    async def test_what_was_written_is_there_after_a_restart(self, postgres: EmbeddedPostgres) -> None:
        dsn = await postgres.start()
        await fetchval(dsn, "CREATE TABLE kept AS SELECT 7 AS n")
        await postgres.stop()
        assert await postgres.start() == dsn  # same port, same password
        assert await fetchval(dsn, "SELECT n FROM kept") == 7

    async def test_settings_go_on_top_and_durability_is_the_default(self, home: Path) -> None:
        postgres = EmbeddedPostgres(home, settings={"work_mem": "9MB"})
        dsn = await postgres.start()
        assert await fetchval(dsn, "SHOW work_mem") == "9MB"
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            assert await fetchval(dsn, f"SHOW {name}") == "on"
        assert await fetchval(dsn, "SHOW max_connections") == "200"
        await postgres.stop()

    async def test_text_is_unicode_in_order_and_case(self, postgres: EmbeddedPostgres) -> None:
        dsn = await postgres.start()
        assert await fetchval(dsn, "SELECT upper('é ж') || ' ' || current_setting('server_encoding')") == "É Ж UTF8"

    async def test_nothing_of_our_environment_reaches_postgres(
        self, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
        await postgres.start()
        environment = Path(f"/proc/{postmaster(postgres.data_folder)}/environ").read_bytes()
        assert b"sk-secret" not in environment


class TestAccess:
    async def test_a_wrong_password_is_refused_and_so_is_none(self, postgres: EmbeddedPostgres) -> None:
        parts = urlsplit(await postgres.start())
        for user in ("tenfold_owner:wrong", "tenfold_owner:"):
            with pytest.raises(asyncpg.InvalidPasswordError):
                wrong = parts._replace(netloc=f"{user}@127.0.0.1:{parts.port}")
                await asyncpg.connect(urlunsplit(wrong), passfile="/nowhere")

    async def test_it_listens_on_loopback_alone(self, postgres: EmbeddedPostgres) -> None:
        dsn = await postgres.start()
        port = urlsplit(dsn).port
        assert await fetchval(dsn, "SHOW listen_addresses") == "127.0.0.1"
        assert await fetchval(dsn, "SHOW unix_socket_directories") == ""
        listening = {
            line.split()[1].partition(":")[0]
            for table in ("/proc/net/tcp", "/proc/net/tcp6")
            for line in Path(table).read_text().splitlines()[1:]
            if line.split()[3] == "0A" and int(line.split()[1].rpartition(":")[2], 16) == port
        }
        assert listening == {"0100007F"}

    async def test_the_password_is_readable_by_its_owner_only(self, postgres: EmbeddedPostgres, home: Path) -> None:
        dsn = await postgres.start()
        state = home / "postgres" / "state.json"
        password = urlsplit(dsn).password
        assert json.loads(state.read_text())["password"] == password
        assert len(password or "") >= 40
        for path in (state, home / "postgres" / "data", home / "postgres" / "postgres.log", home / "postgres"):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
        assert await fetchval(dsn, "SELECT rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolcanlogin")
        log = postgres.log_file.read_text()
        assert password is not None and password not in log
        commands = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True).stdout
        assert str(home.parent) in commands
        assert password not in commands

    async def test_no_folder_above_is_touched(self, tmp_path: Path) -> None:
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)
        before = [(folder, folder.stat().st_mode, folder.stat().st_uid) for folder in (closed, *closed.parents)]
        postgres = EmbeddedPostgres(closed / "home")
        await fetchval(await postgres.start(), "SELECT 1")
        await postgres.stop()
        assert [(folder, folder.stat().st_mode, folder.stat().st_uid) for folder in (closed, *closed.parents)] == before


class TestLeases:
    async def test_another_attaches_and_the_last_one_stops_it(self, postgres: EmbeddedPostgres, home: Path) -> None:
        dsn = await postgres.start()
        other = EmbeddedPostgres(home)
        before = postmaster(postgres.data_folder)
        assert await other.start() == dsn
        await postgres.stop()
        assert postmaster(other.data_folder) == before
        assert await fetchval(dsn, "SELECT 1") == 1
        await other.stop()
        assert is_silent(home)

    async def test_processes_that_start_at_once_share_one_server(self, home: Path) -> None:
        async with AsyncExitStack() as stack:
            entering = [stack.enter_async_context(holder(home)) for _ in range(3)]
            holders = await asyncio.gather(*entering)
            assert len({dsn for _, dsn in holders}) == 1
            assert holders[0][1].startswith("postgresql://")
            assert (
                len(
                    [
                        pid
                        for pid in leftovers(home / "postgres" / "data")
                        if pid == postmaster(home / "postgres" / "data")
                    ]
                )
                == 1
            )
            await tell(holders[0][0], "stop\n")
            assert await fetchval(holders[1][1], "SELECT 1") == 1
        await until(lambda: is_silent(home))

    @pytest.mark.parametrize("how", ["stop\n", "", "kill -9"])
    async def test_it_stops_with_the_last_process_however_that_ends(self, home: Path, how: str) -> None:
        async with holder(home) as (process, dsn):
            assert await fetchval(dsn, "SELECT 1") == 1
            if how == "kill -9":
                process.kill()
                await process.wait()
            else:
                await tell(process, how)
        await until(lambda: is_silent(home))
        assert "database system is shut down" in (home / "postgres" / "postgres.log").read_text()

    async def test_a_user_that_is_killed_does_not_stop_it_for_others(
        self, postgres: EmbeddedPostgres, home: Path
    ) -> None:
        async with holder(home) as (process, dsn):  # it started the server
            assert await postgres.start() == dsn
            before = postmaster(postgres.data_folder)
            process.kill()
            await process.wait()
        assert await fetchval(dsn, "SELECT 1") == 1
        assert postmaster(postgres.data_folder) == before

    async def test_whoever_comes_while_it_stops_gets_a_new_one(self, postgres: EmbeddedPostgres, home: Path) -> None:
        dsn = await postgres.start()
        other = EmbeddedPostgres(home)
        _, again = await asyncio.gather(postgres.stop(), other.start())
        assert again == dsn
        assert await fetchval(again, "SELECT 1") == 1
        await other.stop()


class TestCrashes:
    async def test_no_acknowledged_row_is_lost(self, postgres: EmbeddedPostgres, home: Path) -> None:
        dsn = await postgres.start()
        await fetchval(dsn, "CREATE TABLE written (n int PRIMARY KEY)")
        acknowledged: list[int] = []
        enough = asyncio.Event()

        async def write() -> None:
            connection = await asyncpg.connect(dsn)
            try:
                while True:
                    number = len(acknowledged)
                    await connection.execute("INSERT INTO written VALUES ($1) ON CONFLICT DO NOTHING", number)
                    acknowledged.append(number)
                    if len(acknowledged) % 200 == 0:
                        enough.set()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
                connection.terminate()

        for victims in ("all", "postmaster"):
            enough.clear()
            writer = asyncio.create_task(write())
            await enough.wait()
            if victims == "all":
                signal_all(postgres.data_folder, signal.SIGKILL)
            else:
                os.kill(postmaster(postgres.data_folder), signal.SIGKILL)
            await writer
            assert await postgres.ensure_running() == dsn
            connection = await asyncpg.connect(dsn)
            kept = {row["n"] for row in await connection.fetch("SELECT n FROM written")}
            connection.terminate()
            assert set(acknowledged) <= kept

    async def test_a_dead_server_is_not_handed_out(self, postgres: EmbeddedPostgres) -> None:
        dsn = await postgres.start()
        os.kill(postmaster(postgres.data_folder), signal.SIGKILL)
        assert await postgres.ensure_running() == dsn  # at once, while the remains are still about
        assert await fetchval(dsn, "SELECT 1") == 1

    async def test_a_session_that_outlives_its_postmaster_is_ended(
        self, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cluster, "_LEFTOVERS_S", 0.1)
        dsn = await postgres.start()
        connection = await asyncpg.connect(dsn)
        session = connection.get_server_pid()
        os.kill(session, signal.SIGSTOP)  # busy, and deaf
        os.kill(postmaster(postgres.data_folder), signal.SIGKILL)
        assert await postgres.ensure_running() == dsn
        assert session not in leftovers(postgres.data_folder)
        connection.terminate()

    async def test_the_guardian_takes_the_server_with_it_and_both_come_back(
        self, postgres: EmbeddedPostgres, home: Path
    ) -> None:
        dsn = await postgres.start()
        os.kill(guardian(home), signal.SIGKILL)
        await until(lambda: is_silent(home))
        assert await postgres.ensure_running() == dsn
        await postgres.stop()
        assert is_silent(home)

    async def test_a_pid_that_another_program_has_now_does_not_stop_a_start(
        self, postgres: EmbeddedPostgres, home: Path
    ) -> None:
        dsn = await postgres.start()
        signal_all(postgres.data_folder, signal.SIGKILL)
        await until(lambda: is_silent(home))
        pid_file = postgres.data_folder / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
        async with holder(home / "unused") as (stranger, _):
            pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]))
            assert await postgres.ensure_running() == dsn
            assert await fetchval(dsn, "SELECT 1") == 1

    async def test_a_start_that_was_killed_is_begun_again(self, new_postgres: EmbeddedPostgres, home: Path) -> None:
        half = home / "postgres" / "data.new" / "base"
        half.mkdir(parents=True)
        (half / "rubbish").touch()
        assert await fetchval(await new_postgres.start(), "SELECT 1") == 1
        assert not (home / "postgres" / "data.new").exists()

    async def test_a_lost_state_file_costs_no_data(self, postgres: EmbeddedPostgres, home: Path) -> None:
        first = await postgres.start()
        await fetchval(first, "CREATE TABLE kept AS SELECT 7 AS n")
        await postgres.stop()
        (home / "postgres" / "state.json").unlink()
        second = await postgres.start()
        assert urlsplit(second).password != urlsplit(first).password
        assert await fetchval(second, "SELECT n FROM kept") == 7


class TestRefusals:
    async def test_a_port_that_is_taken_meanwhile_is_left_to_its_owner(self, postgres: EmbeddedPostgres) -> None:
        dsn = await postgres.start()
        await postgres.stop()
        with socket.create_server(("127.0.0.1", urlsplit(dsn).port or 0)):
            other = await postgres.start()
            assert urlsplit(other).port != urlsplit(dsn).port
            assert await fetchval(other, "SELECT 1") == 1

    async def test_data_that_is_gone_is_not_replaced_by_an_empty_database(
        self, postgres: EmbeddedPostgres, home: Path
    ) -> None:
        await postgres.start()
        await postgres.stop()
        postgres.data_folder.rename(home / "elsewhere")
        with pytest.raises(StartupError, match="is gone"):
            await postgres.start()
        (home / "elsewhere").rename(postgres.data_folder)
        assert await fetchval(await postgres.start(), "SELECT 1") == 1

    async def test_a_damaged_state_file_is_named(self, new_postgres: EmbeddedPostgres, home: Path) -> None:
        (home / "postgres").mkdir(parents=True)
        (home / "postgres" / "state.json").write_text("{")
        with pytest.raises(StartupError, match=r"state\.json is damaged"):
            await new_postgres.start()

    async def test_a_folder_that_another_container_uses_is_left_alone(self, home: Path) -> None:
        """Its lock is held and nobody answers here."""
        postgres = EmbeddedPostgres(home, start_timeout_s=0.1)
        (home / "postgres").mkdir(parents=True)
        with (home / "postgres" / "cluster.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(StartupError, match="another container"):
                await postgres.start()

    async def test_a_failed_start_gives_its_lease_back(self, home: Path) -> None:
        postgres = EmbeddedPostgres(home, settings={"shared_buffers": "nonsense"})
        with pytest.raises(StartupError, match=r"shared_buffers.*postgres\.log"):
            await postgres.start()
        mended = EmbeddedPostgres(home)
        assert await fetchval(await mended.start(), "SELECT 1") == 1
        await mended.stop()
        assert is_silent(home)

    async def test_a_home_that_is_a_file_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "home").touch()
        with pytest.raises(StartupError, match="cannot be used"):
            await EmbeddedPostgres(tmp_path / "home").start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
class TestUsers:
    async def test_root_hands_it_to_a_user_of_its_own(self, postgres: EmbeddedPostgres) -> None:
        await postgres.start()
        owner = Path(f"/proc/{postmaster(postgres.data_folder)}").stat().st_uid
        assert pwd.getpwuid(owner).pw_name in (account.SERVICE_USER, *account.SPARE_USERS)
        assert postgres.data_folder.stat().st_uid == owner

    async def test_a_normal_user_runs_it_as_itself(self, open_home: Path, nobody: dict[str, Any]) -> None:
        async with holder(open_home, **nobody) as (process, dsn):
            assert await fetchval(dsn, "SELECT 1") == 1
            server = Path(f"/proc/{postmaster(open_home / 'postgres' / 'data')}")
            assert pwd.getpwuid(server.stat().st_uid).pw_name == "nobody"
            await tell(process, "stop\n")
        await until(lambda: is_silent(open_home))

    async def test_data_of_another_user_is_refused_to_whoever_is_not_root(
        self, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: pwd.getpwnam("nobody").pw_uid)
        with pytest.raises(StartupError, match="belongs to another user"):
            account.account_for(postgres.data_folder)


@pytest.fixture
def open_home() -> Iterator[Path]:
    """A home that belongs to `nobody`."""
    home = Path(tempfile.mkdtemp(prefix="tenfold-test-"))
    shutil.chown(home, "nobody")
    yield home
    shutil.rmtree(home)


@pytest.fixture
def nobody() -> dict[str, Any]:
    """How to start Python as `nobody`: ours, or the system's when ours lies in root's home."""
    options: dict[str, Any] = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}
    version = "import sys; print(sys.version_info[:2])"
    for python in (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3"):
        with suppress(OSError):
            told = subprocess.run([python, "-c", version], capture_output=True, text=True, check=False, **options)
            if told.stdout.strip() == str(sys.version_info[:2]):
                return options | {"python": python, "env": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}}
    pytest.skip("no Python of this version that `nobody` can start")
