"""What kills, and what notices that a Tenfold does not start."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenfold.app.chaos.processes import ChaosFailed, Killer, TenfoldProcess


class Sleepers:
    """Processes that do nothing, replaced when they are killed. `home` holds no Postgres."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._all: list[subprocess.Popen[bytes]] = []

    def workers(self) -> list[int]:
        living = [process for process in self._all if process.poll() is None]
        while len(living) < 2:
            process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            living.append(process)
            self._all.append(process)
        return [process.pid for process in living]

    @property
    def killed(self) -> int:
        return sum(process.poll() == -9 for process in self._all)

    def clear(self) -> None:
        for process in self._all:
            process.kill()
            process.wait()


@pytest.fixture
def sleepers(tmp_path: Path) -> Iterator[Sleepers]:
    sleepers = Sleepers(tmp_path)
    yield sleepers
    sleepers.clear()


async def test_the_killer_kills_again_and_again(sleepers: Sleepers) -> None:
    killer = Killer(sleepers, seed=1, postgres_after_s=0.0, pause_s=(0.0, 0.02))
    killing = asyncio.create_task(killer.run())
    while killer.kills < 6:
        await asyncio.sleep(0.01)
    killing.cancel()
    await asyncio.wait([killing])
    while sleepers.killed < killer.kills:
        await asyncio.sleep(0.01)
    assert killer.postgres_kills == 0  # there is none


async def test_a_tenfold_that_does_not_start_is_told_with_its_log(tmp_path: Path) -> None:
    tenfold = TenfoldProcess(tmp_path, workers=1)
    tenfold.config.write_text("[nonsense]\n", encoding="utf-8")
    with pytest.raises(ChaosFailed, match="unknown table"):
        await tenfold.start()
    await tenfold.stop()


async def test_what_was_not_started_is_stopped_at_once(tmp_path: Path) -> None:
    assert await TenfoldProcess(tmp_path, workers=1).stop()
