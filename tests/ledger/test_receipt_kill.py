"""kill -9 at random moments: what a process had written down is in the database once, whoever recovers it."""

import asyncio
import os
import random
import signal
import sys
from asyncio.subprocess import PIPE
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from tenfold.core.clock import SystemClock
from tenfold.core.ids import TenantId, uuid7
from tenfold.ledger.queries import PostgresReceiptRows
from tenfold.ledger.recovery import Recovery
from tenfold.ledger.types import Cursor, Receipt
from tenfold.store import Members, Store

from .journal_child import log_effect
from .samples import add_tenant

KILLED_BY = 150  # turns of the event loop
AT_ONCE = 3
KILLS = 24
TENANT = TenantId(uuid7())


class Told:
    """What the processes said is in their journals. Each is killed after so many of its turns as chance has it."""

    def __init__(self) -> None:
        self.begun: set[UUID] = set()
        self.ended: set[UUID] = set()
        self.signals: list[int] = []
        self._turns_left: dict[int, int] = {}

    def take(self, line: bytes) -> None:
        pid, *words = line.decode().split()
        if words[:1] == ["dead"]:
            self.signals.append(int(words[1]))
            return
        for word in words:
            (self.begun if word[0] == "b" else self.ended).add(UUID(word[1:]))
        left = self._turns_left.setdefault(int(pid), random.randrange(1, KILLED_BY))
        self._turns_left[int(pid)] = left - 1
        if left == 1:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)  # what it has said by then is read all the same


async def run_and_kill(directory: Path, dsn: str, told: Told) -> None:
    arguments = [str(directory), dsn, str(TENANT), str(AT_ONCE), str(KILLS)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.ledger.journal_child", *arguments, stdout=PIPE
    )
    assert process.stdout is not None
    while line := await process.stdout.readline():
        told.take(line)
    assert await process.wait() == 0


async def keep_looking(recovery: Recovery, over: asyncio.Event) -> None:
    while not over.is_set():
        await recovery.look()
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), timeout=0.05)


async def receipts_of(rows: PostgresReceiptRows) -> list[Receipt]:
    found: list[Receipt] = []
    before: Cursor | None = None
    while page := await rows.recent(TENANT, limit=5000, before=before):
        found += page
        before = Cursor(at=page[-1].at, id=page[-1].id)
    return found


@pytest.fixture
async def effect_log(database: str) -> None:
    owner = await asyncpg.connect(database)
    await owner.execute(
        """
        CREATE TABLE tenfold.effect_log (tenant_id uuid NOT NULL, id uuid NOT NULL);
        GRANT SELECT, INSERT ON tenfold.effect_log TO tenfold_app
        """
    )
    await owner.close()


@pytest.mark.usefixtures("effect_log")
async def test_killed_at_random_moments_no_call_is_lost_and_none_counts_twice(
    store: Store, database: str, tmp_path: Path
) -> None:
    await add_tenant(store, TENANT)
    rows = PostgresReceiptRows(store, [log_effect])
    several = [Recovery(rows, tmp_path, Members(store), SystemClock(), late_s=0) for _ in range(2)]
    told = Told()
    over = asyncio.Event()
    recovering = [asyncio.create_task(keep_looking(recovery, over), name="recovery") for recovery in several]
    await run_and_kill(tmp_path, database, told)
    over.set()
    await asyncio.gather(*recovering)
    await several[0].look()
    assert told.signals == [signal.SIGKILL] * KILLS
    assert list(tmp_path.iterdir()) == []
    assert sum(recovery.failures for recovery in several) == 0
    found = await receipts_of(rows)
    by_id = {one.id: one for one in found}
    assert len(by_id) == len(found)
    assert told.begun <= by_id.keys()
    assert all(not by_id[one].draft for one in told.ended)
    drafts = {one.id for one in found if one.draft}
    assert drafts  # some were killed in flight
    assert sum(recovery.drafts for recovery in several) == len(drafts)
    async with store.tenant(TENANT) as tx:
        heard = [row["id"] for row in await tx.fetch("SELECT id FROM effect_log WHERE tenant_id = $1", TENANT)]
    assert sorted(heard) == sorted(by_id)
