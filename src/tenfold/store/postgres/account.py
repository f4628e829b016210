"""Which system user runs Postgres. Postgres refuses root, so root hands it to a user that owns nothing else.

That user need not be able to walk to the data: the folders above it (root's home is 0700) keep their modes. Its
programs inherit the open data folder and know it by `folder_name` alone.
"""

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tenfold.store.errors import StartupError

SERVICE_USER = "tenfold-postgres"
SPARE_USERS = ("postgres", "nobody")  # where no user can be added (read-only image without useradd)


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    name: str
    uid: int
    gid: int

    @property
    def is_other(self) -> bool:
        """Whether it is not the user of this process."""
        return self.uid != os.geteuid()


def current_account() -> Account:
    uid = os.geteuid()
    try:
        entry = pwd.getpwuid(uid)
    except KeyError as error:
        raise StartupError(
            f"The user id {uid} has no entry in /etc/passwd, without which Postgres does not start. "
            "Add one, or set database.url."
        ) from error
    return Account(name=entry.pw_name, uid=uid, gid=os.getegid())


def account_for(data: Path) -> Account:
    """The owner of `data`; when there is no data yet, the current user, or for root the service user.

    Raises StartupError when the data belongs to somebody else."""
    current = current_account()
    if data.exists():
        owner = data.stat().st_uid
        if owner == current.uid:
            return current
        if current.uid != 0:
            raise StartupError(f"{data} belongs to another user (id {owner}). Start Tenfold as that user or as root.")
        return _account(pwd.getpwuid(owner))
    return current if current.uid != 0 else _service_account()


def can_reach(path: Path, account: Account) -> bool:
    """Whether `account` may pass through all folders above `path` (by their mode bits)."""
    return not account.is_other or all(_may_pass(folder, account) for folder in path.absolute().parents)


def _may_pass(folder: Path, account: Account) -> bool:
    found = folder.stat()
    if found.st_uid == account.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == account.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def _service_account() -> Account:
    try:
        return _account(pwd.getpwnam(SERVICE_USER))
    except KeyError:
        _add_user()
    for name in (SERVICE_USER, *SPARE_USERS):
        try:
            return _account(pwd.getpwnam(name))
        except KeyError:
            continue
    raise StartupError(
        f"Postgres does not run as root and no user {SERVICE_USER} could be added. "
        "Add it (useradd --system), start Tenfold as another user, or set database.url."
    )


def _add_user() -> None:
    """With useradd, or BusyBox' adduser. Failure shows in the lookup after it: another process may have been first."""
    if shutil.which("useradd"):
        command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        command += ["--shell", "/bin/false", SERVICE_USER]
    elif shutil.which("adduser"):
        command = ["adduser", "-S", "-D", "-H", "-s", "/bin/false", SERVICE_USER]
    else:
        return
    subprocess.run(command, check=False, capture_output=True, timeout=30)  # noqa: S603 - fixed words


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)
