"""Makes a new data folder, all of it or nothing. Nothing listens meanwhile, and no file holds the password."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tenfold.store.errors import StartupError
from tenfold.store.postgres.account import Account
from tenfold.store.postgres.binaries import Binaries
from tenfold.store.postgres.diagnosis import explain
from tenfold.store.postgres.guardian import folder_name
from tenfold.store.postgres.state import DATABASE, OWNER

_TIMEOUT_S = 120.0
_DATA = "{data}"

HBA = "host all all 127.0.0.1/32 scram-sha-256\n"

# A small service on one machine, durable. ALTER SYSTEM (postgresql.auto.conf) goes on top and stays.
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "maintenance_work_mem": "128MB",
    "wal_level": "replica",
    "synchronous_commit": "on",
    "max_wal_size": "1GB",
    # In the data folder: the /dev/shm of a container is 64 MB, too small for a parallel index build.
    "dynamic_shared_memory_type": "mmap",
    "log_destination": "stderr",  # the guardian keeps the file
    "logging_collector": "off",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    "log_parameter_max_length": "0",  # values belong to tenants
    "log_parameter_max_length_on_error": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
}


def environment() -> dict[str, str]:
    """For Postgres' programs: nothing of Tenfold's own environment, which may hold provider keys."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def make_data(data: Path, binaries: Binaries, account: Account, password: str) -> None:
    """Raises StartupError."""
    new = data.with_name(f"{data.name}.new")
    if new.exists():  # of a start that was killed
        shutil.rmtree(new)
    new.mkdir(mode=0o700)
    os.chown(new, account.uid, account.gid)
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if binaries.major >= 17 else []
    command = [str(binaries.initdb), "-D", _DATA, "-U", OWNER, "--auth=trust", "--encoding=UTF8", "--locale=C"]
    _run([*command, *locale], new, account)
    _run_single([f"CREATE DATABASE {DATABASE};", _password_statement(password)], new, binaries, account)
    write_configuration(new, account, {})
    new.replace(data)
    parent = os.open(data.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def set_password(data: Path, binaries: Binaries, account: Account, password: str) -> None:
    """Of the owner, while nothing runs on `data`. Raises StartupError."""
    _run_single([_password_statement(password)], data, binaries, account)


def write_configuration(data: Path, account: Account, settings: Mapping[str, str]) -> None:
    """At every start, so that a new version of Tenfold brings its settings along."""
    escaped = {name: value.replace("'", "''") for name, value in {**SETTINGS, **settings}.items()}
    lines = [f"{name} = '{value}'\n" for name, value in escaped.items()]
    for name, text in (("postgresql.conf", "".join(lines)), ("pg_hba.conf", HBA)):
        path = data / name
        path.write_text(text)
        os.chown(path, account.uid, account.gid)


def _password_statement(password: str) -> str:
    return f"ALTER ROLE {OWNER} PASSWORD '{password}';"  # URL-safe characters: nothing to escape


def _run_single(statements: Sequence[str], data: Path, binaries: Binaries, account: Account) -> None:
    """Single-user mode: no port is open, and the statements go through a pipe."""
    command = [str(binaries.postgres), "--single", "-D", _DATA, "-c", "log_min_messages=error", "postgres"]
    output = _run(command, data, account, "".join(f"{statement}\n" for statement in statements))
    if "ERROR:" in output:  # it goes on after an error and ends well
        raise StartupError(explain("The data folder could not be set up", output))


def _run(command: Sequence[str], data: Path, account: Account, script: str = "") -> str:
    """What `command` wrote; _DATA in it stands for the data folder."""
    folder = os.open(data, os.O_RDONLY | os.O_CLOEXEC)
    try:
        done = subprocess.run(  # noqa: S603 - Postgres' own programs, without a shell
            [folder_name(folder, str(data)) if word == _DATA else word for word in command],
            pass_fds=(folder,),
            input=script,
            check=True,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            env=environment(),
            cwd="/",
            umask=0o077,
            user=account.uid if account.is_other else None,
            group=account.gid if account.is_other else None,
            extra_groups=[] if account.is_other else None,
        )
    except subprocess.CalledProcessError as error:
        raise StartupError(explain("The data folder could not be made", error.stderr + error.stdout)) from error
    except subprocess.TimeoutExpired as error:
        raise StartupError(
            f"Making the data folder took longer than {_TIMEOUT_S:.0f} s. Is the disk healthy?"
        ) from error
    finally:
        os.close(folder)
    return done.stdout + done.stderr
