"""Processes that begin and end calls as fast as they can, tell which of them their journals have, and are killed.

`python -m tests.ledger.journal_child <directory> <dsn> <tenant> <at once> <in all>` forks them, a new one for each that
died. Standard output: `<pid> b<id> e<id> ...`, a line for each turn of the event loop of each process, after the
journal's own write; `<pid> dead <signal>` when one has ended.
"""

import asyncio
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from tenfold.core.clock import SystemClock
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.write_batch import WriteBatch
from tenfold.ledger import journal, receipts, segments
from tenfold.ledger.queries import PostgresReceiptRows
from tenfold.ledger.types import Receipt
from tenfold.store import Store, Transaction

from .samples import draft, receipt

TURNS = 2_000
FLUSH_S = 0.002
SEGMENT_BYTES = 32_000


async def log_effect(tx: Transaction, tenant_id: TenantId, new: Sequence[Receipt]) -> None:
    """An effect that leaves a row for each time it heard of a receipt."""
    ids = [one.id for one in new]
    await tx.execute("INSERT INTO effect_log (tenant_id, id) SELECT $1, unnest($2::uuid[])", tenant_id, ids)


async def main(directory: Path, dsn: str, tenant_id: TenantId) -> None:
    segments.SEGMENT_BYTES = SEGMENT_BYTES
    journal.SEGMENT_BYTES = SEGMENT_BYTES  # type: ignore[attr-defined]  # as imported
    journal._ROOM = SEGMENT_BYTES // 2
    journal.MAX_LINE = SEGMENT_BYTES // 2
    receipts.FLUSH_S, receipts.TEND_S = FLUSH_S, 10 * FLUSH_S
    store = await Store.open(dsn, max_size=2)
    kept = journal.Journal.open(directory, uuid7(), WriteBatch(asyncio.get_running_loop()), SystemClock())
    writer = receipts.ReceiptWriter(PostgresReceiptRows(store, [log_effect]), kept, SystemClock())
    running = asyncio.create_task(writer.run(), name="receipts")
    in_flight: list[Receipt] = []
    for number in range(TURNS):
        told = []
        for _ in range(random.randrange(3)):
            final = receipt(tenant_id, second=number)
            kept.begin(draft(final))
            in_flight.append(final)
            told.append(f"b{final.id.hex}")
        while in_flight and random.random() < 0.6:
            final = in_flight.pop(random.randrange(len(in_flight)))
            writer.record(final)
            told.append(f"e{final.id.hex}")
        await asyncio.sleep(0)  # the end of the turn: the journal is written
        say(" ".join(told))
    await running


def say(words: str, pid: int | None = None) -> None:
    os.write(1, f"{pid or os.getpid()} {words}\n".encode())  # short enough to be written whole or not at all


def fork_all(at_once: int, in_all: int) -> None:
    begun = ended = 0
    while ended < in_all:
        while begun < in_all and begun - ended < at_once:
            begun += 1
            if os.fork() == 0:
                random.seed()
                asyncio.run(main(Path(sys.argv[1]), sys.argv[2], TenantId(UUID(sys.argv[3]))))
                os._exit(0)
        pid, status = os.wait()
        ended += 1
        say(f"dead {-os.waitstatus_to_exitcode(status)}", pid)


if __name__ == "__main__":
    fork_all(int(sys.argv[4]), int(sys.argv[5]))
