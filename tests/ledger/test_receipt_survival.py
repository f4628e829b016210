"""Any order of begins, ends, writes, outages, failing disks and deaths: each call ends in exactly one receipt.

The machine runs one process after another over one directory and one database, small segments and a small memory, so
that every few calls turn a segment over and are read back.
"""

import asyncio
import errno
import os
import shutil
import tempfile
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tenfold.core.clock import FakeClock
from tenfold.core.errors import Overloaded
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.write_batch import WriteBatch
from tenfold.ledger.fake import FakeMemberList, FakeReceiptRows
from tenfold.ledger.journal import Journal
from tenfold.ledger.receipts import LAST_RETRY_S, ReceiptWriter
from tenfold.ledger.recovery import RETRY_S, Recovery
from tenfold.ledger.types import Receipt

from .samples import draft, receipt

Result = TypeVar("Result")
TENANTS = [TenantId(uuid7()), TenantId(uuid7())]


class Survival(RuleBasedStateMachine):
    """Drafts and finals are `kept` once the journal has said that they are written."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = Path(tempfile.mkdtemp(prefix="tenfold-survival-"))
        self.patches = pytest.MonkeyPatch()
        for module, name, value in (
            ("segments", "SEGMENT_BYTES", 8_000),
            ("journal", "SEGMENT_BYTES", 8_000),
            ("journal", "MAX_LINE", 2_000),
            ("journal", "_ROOM", 6_000),
            ("journal", "FINAL_MARGIN", 1_000),
            ("receipts", "MAX_IN_MEMORY", 4),
            ("receipts", "WINDOW_ROWS", 3),
            ("intake", "BATCH_ROWS", 2),
        ):
            self.patches.setattr(f"tenfold.ledger.{module}.{name}", value)
        self.patches.setattr(os, "fdatasync", lambda _descriptor: None)
        self.real_pwrite = os.pwrite
        self.clock = FakeClock()
        self.heard: list[UUID] = []
        self.rows = FakeReceiptRows(effects=[self.hear])
        self.died: list[UUID] = []
        self.recovery = Recovery(self.rows, self.directory, FakeMemberList(), self.clock, died=[self.note], late_s=0)
        self.finals: dict[UUID, Receipt] = {}
        self.in_flight: list[UUID] = []
        self.kept: set[tuple[UUID, bool]] = set()  # call, whether it is its draft
        self.unsure: set[tuple[UUID, bool]] = set()
        self.processes: list[UUID] = []

    async def hear(self, _tenant_id: TenantId, new: Sequence[Receipt]) -> None:
        self.heard += [one.id for one in new]

    async def note(self, holder: UUID) -> None:
        self.died.append(holder)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.runner.run(work)

    @initialize()
    def start(self) -> None:
        batch = WriteBatch(self.runner.get_loop())
        self.journal = Journal.open(self.directory, uuid7(), batch, self.clock)
        self.writer = ReceiptWriter(self.rows, self.journal, self.clock)
        self.processes.append(UUID(self.journal.folder.name))
        self.in_flight = []
        self.unsure = set()

    # -- calls -------------------------------------------------------------------------------

    @rule(tenant=st.sampled_from(TENANTS), count=st.integers(1, 6))
    def begin(self, tenant: TenantId, count: int) -> None:
        for _ in range(count):
            final = receipt(tenant, second=len(self.finals))
            try:
                self.journal.begin(draft(final))
            except Overloaded:
                assert self.journal.trouble is not None
                return
            self.finals[final.id] = final
            self.in_flight.append(final.id)
            self.unsure.add((final.id, True))

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), count=st.integers(1, 6))
    def end(self, data: st.DataObject, count: int) -> None:
        for _ in range(min(count, len(self.in_flight))):
            call = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
            self.record(self.finals[call])

    @rule(tenant=st.sampled_from(TENANTS))
    def end_one_that_was_not_begun(self, tenant: TenantId) -> None:
        final = receipt(tenant, second=len(self.finals))
        self.finals[final.id] = final
        self.record(final)

    def record(self, final: Receipt) -> None:
        loose = len(self.writer._loose)
        self.writer.record(final)
        if len(self.writer._loose) == loose:
            self.unsure.add((final.id, False))

    @rule()
    def end_of_turn(self) -> None:
        if self.journal.flush():
            self.kept |= self.unsure
            self.unsure.clear()

    # -- the process and what it stands on ---------------------------------------------------

    @rule()
    def flush(self) -> None:
        self.run(self.writer.flush())

    @rule()
    def tend(self) -> None:
        self.run(self.journal.tend())

    @rule(seconds=st.sampled_from([0.1, 2.0, LAST_RETRY_S, RETRY_S]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(away=st.booleans(), lose_answer=st.booleans())
    def database(self, away: bool, lose_answer: bool) -> None:
        self.rows.away, self.rows.lose_answer = away, lose_answer

    @rule(well=st.booleans(), part=st.integers(0, 3_000))
    def disk(self, well: bool, part: int) -> None:
        def fail(descriptor: int, data: bytes, offset: int) -> int:
            self.real_pwrite(descriptor, bytes(data[:part]), offset)
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        self.patches.setattr(os, "pwrite", self.real_pwrite if well else fail)

    # -- death, and life after it ------------------------------------------------------------

    @rule(part=st.integers(0, 5_000))
    def crash(self, part: int) -> None:
        """Perhaps within a write."""
        journal = self.journal
        self.real_pwrite(journal._active.descriptor, bytes(journal._buffer[:part]), journal._active.written)
        for segment in (*journal._sealed, *journal._spares, journal._active):
            segment.close()
        journal._lock.release()
        self.start()

    @rule()
    def stop_and_start(self) -> None:
        self.end_of_turn()
        self.run(self.writer.drain())
        self.start()

    @rule()
    def recover(self) -> None:
        self.run(self.recovery.look())

    @invariant()
    def each_receipt_is_there_once_and_was_heard_of_once(self) -> None:
        found = [one.id for one in self.rows.all]
        assert len(found) == len(set(found))
        assert sorted(found) == sorted(self.heard)

    @invariant()
    def no_call_in_flight_has_a_receipt(self) -> None:
        assert not {one.id for one in self.rows.all} & set(self.in_flight)

    def teardown(self) -> None:
        try:
            if hasattr(self, "journal"):
                self.last_look()
        finally:
            self.patches.undo()
            self.runner.close()
            shutil.rmtree(self.directory)

    def last_look(self) -> None:
        self.database(away=False, lose_answer=False)
        self.disk(well=True, part=0)
        self.crash(0)
        self.clock.advance(RETRY_S)
        self.recover()
        found = {one.id: one for one in self.rows.all}
        for call, is_draft in self.kept:
            assert call in found
            if not is_draft:
                assert found[call] == self.finals[call]
        assert all(one in (self.finals[call], draft(self.finals[call])) for call, one in found.items())
        self.each_receipt_is_there_once_and_was_heard_of_once()
        self.run(self.writer.drain())
        assert list(self.directory.iterdir()) == []
        assert set(self.died) <= set(self.processes[:-1])
        assert self.writer.lost == self.recovery.failures == self.recovery.refused == 0


TestSurvival = Survival.TestCase
TestSurvival.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
