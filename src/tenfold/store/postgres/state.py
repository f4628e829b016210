"""What is remembered of an embedded Postgres between starts: its port and its password (file 0600)."""

import os
import secrets
from pathlib import Path

import msgspec

from tenfold.store.errors import StartupError

OWNER = "tenfold_owner"
DATABASE = "tenfold"


class State(msgspec.Struct, frozen=True, kw_only=True):
    port: int
    password: str
    made: bool = False  # the data folder was once complete: when it is missing now, it was lost

    @property
    def dsn(self) -> str:
        return f"postgresql://{OWNER}:{self.password}@127.0.0.1:{self.port}/{DATABASE}?sslmode=disable"


def new_password() -> str:
    return secrets.token_urlsafe(32)


def read_state(path: Path) -> State | None:
    """None before the first start. Raises StartupError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise StartupError(f"{path} may not be read. Start Tenfold as the user who owns it.") from error
    except msgspec.MsgspecError as error:
        raise StartupError(f"{path} is damaged. Restore it, or delete it if `data` lies beside it.") from error


def write_state(path: Path, state: State) -> None:
    """All or nothing, also when the machine stops half way."""
    new = path.with_suffix(".new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.encode(state))
        file.flush()
        os.fsync(fd)
    new.replace(path)
