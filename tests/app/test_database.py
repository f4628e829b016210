"""The watch over the database: the gate knows within a moment whether it answers."""

import asyncio
import logging
from pathlib import Path

import pytest

from tenfold.app import database
from tenfold.app.database import open_database, watch
from tenfold.app.settings import load
from tenfold.core.errors import StoreUnavailable
from tenfold.inference.admit import Gate
from tenfold.limits.fair import FairShare
from tenfold.store import Store


class SwitchedStore(Store):
    """Away when told; nothing of a real one is used."""

    def __init__(self) -> None:
        self.away = False
        self.asked = asyncio.Event()

    async def ping(self) -> None:
        self.asked.set()
        if self.away:
            raise StoreUnavailable("The database is not reachable at the moment.")

    async def asked_again(self) -> None:
        """Until what it has answered is known to whoever asked."""
        for _ in range(2):
            self.asked.clear()
            await self.asked.wait()


async def test_the_gate_follows_the_database(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(database, "CHECK_S", 0)
    store, gate = SwitchedStore(), Gate(FairShare(1, 0, 0))
    watching = asyncio.create_task(watch(store, gate))
    with caplog.at_level(logging.WARNING):
        async with asyncio.timeout(5):
            for away in (False, True, False):
                store.away = away
                await store.asked_again()
                assert gate.store_up is not away
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"], "told once each"


async def test_a_command_has_a_migrated_database_for_its_time(tmp_path: Path, database: str) -> None:
    settings = load(None, tmp_path, {"TENFOLD_DATABASE_URL": database})
    async with open_database(settings) as (_, store):
        await store.ping()
    with pytest.raises(Exception, match="pool is clos"):
        await store.ping()


@pytest.mark.parametrize("made", [False, True])
async def test_a_command_that_makes_a_new_home_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, made: bool
) -> None:
    async def away(_: database.Database) -> str:
        raise StoreUnavailable("Not this time.")

    monkeypatch.setattr(database.Database, "start", away)
    home = tmp_path if made else tmp_path / "elsewhere"
    with pytest.raises(StoreUnavailable):
        async with open_database(load(None, home, {})):
            pass
    assert ("named by --home" in caplog.text) is not made
