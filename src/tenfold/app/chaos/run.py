"""One run from an empty folder to its report: everything is started, loaded, broken, waited for, stopped, audited."""

import asyncio
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct, json

from tenfold.app.chaos import cast, rows
from tenfold.app.chaos.audit import Facts, audit
from tenfold.app.chaos.bill import read_bill
from tenfold.app.chaos.load import Load, counts
from tenfold.app.chaos.people import settle_in
from tenfold.app.chaos.processes import ChaosFailed, Killer, ProviderProcess, TenfoldProcess
from tenfold.app.chaos.report import Report
from tenfold.app.database import Database
from tenfold.app.settings import load as load_settings
from tenfold.core.errors import StoreUnavailable

PROGRESS_S = 5.0
LONGEST = 10  # times `seconds`
LAST_ANSWERS_S = 60.0  # for the calls under an Idempotency-Key that wait for theirs
_LOOK_S = 1.0

Say = Callable[[str], None]


class Options(Struct, frozen=True, kw_only=True):
    """`recovery_s`: how long everything may take to come right after the last call. `calls`: requests the provider must
    have served before the run may end, as a slow machine serves few in `seconds`; it is waited for, but not for ever.
    """

    seconds: float
    processes: int
    seed: int
    clients: int
    postgres: bool = False
    keep: bool = False
    calls: int = 0
    recovery_s: float = 120.0


async def chaos_money(options: Options, say: Say) -> Report:
    """Raises ChaosFailed when it could not be carried out. However it ends, no process is left; nor is the folder,
    unless it was to be kept."""
    folder = Path(tempfile.mkdtemp(prefix="tenfold-chaos-"))
    try:
        report = await _Run(folder, options, say).make()
    except BaseException:
        if options.keep:
            say(f"kept: {folder}")
        raise
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    return report


class _Run:
    def __init__(self, folder: Path, options: Options, say: Say) -> None:
        self._folder = folder
        self._options = options
        self._say = say
        self._began = time.monotonic()
        self._cast = cast.tenants(options.seconds)
        self._bill = folder / "bill.jsonl"
        self._provider = ProviderProcess(self._bill, seed=options.seed, words=("--stall", str(cast.STALL_S)))
        self._tenfold = TenfoldProcess(folder, workers=options.processes)
        after_s = options.seconds / 2 if options.postgres else None
        self._killer = Killer(self._tenfold, seed=options.seed, postgres_after_s=after_s)
        settings = load_settings(None, self._tenfold.home, {})
        self._settings = settings
        self._database = Database(settings)

    async def make(self) -> Report:
        async with AsyncExitStack() as resources:
            self._tenfold.home.mkdir(mode=0o700)
            await self._database.start()  # ours for the whole run: the audit reads it after Tenfold has stopped
            resources.push_async_callback(self._database.stop)
            await self._database.migrate()
            people = await settle_in(self._database, self._cast)
            await self._provider.start()
            resources.push_async_callback(self._provider.stop)
            self._tenfold.config.write_text(cast.configuration(self._provider.port), encoding="utf-8")
            resources.push_async_callback(self._tenfold.stop)
            await self._tenfold.start()
            self._tell(f"{self._options.processes} processes serve on port {self._tenfold.port}")
            options = self._options
            load = Load(port=self._tenfold.port, people=people, seed=options.seed, clients=options.clients)
            await self._break(load)
            recovery_s = await self._recover()
            if not await self._tenfold.stop():
                raise ChaosFailed(f"Tenfold did not come to an orderly end:\n{self._tenfold.last_words()}")
            return await self._audit(load, recovery_s)

    async def _break(self, load: Load) -> None:
        """The load and the killer, for as long as was asked, and until enough was served."""
        options = self._options
        until = time.monotonic() + LONGEST * options.seconds
        async with _beside(load.run()) as loading, _beside(self._progress(load)):
            async with _beside(self._killer.run()):
                await asyncio.wait([loading], timeout=options.seconds)
                while not loading.done() and self._served() < options.calls and time.monotonic() < until:
                    await asyncio.wait([loading], timeout=_LOOK_S)
            load.stop()
            await asyncio.wait([loading], timeout=LAST_ANSWERS_S)

    def _served(self) -> int:
        return sum(1 for _ in read_bill(self._bill))

    async def _progress(self, load: Load) -> None:
        while True:
            await asyncio.sleep(PROGRESS_S)
            counted = counts(load.sent)
            refused = sum(count for fate, count in counted.items() if fate.startswith("refused"))
            self._tell(
                f"{len(load.sent)} calls, {counted['answered']} answered, {refused} refused, {counted['lost']} lost, "
                f"{self._killer.kills} kills"
            )

    async def _recover(self) -> float:
        """Until nothing is left to settle or to correct; how many seconds that took. The audit tells what is left."""
        began = time.monotonic()
        told_s = began
        while (waited_s := time.monotonic() - began) < self._options.recovery_s:
            try:
                left = await self._left()
            except StoreUnavailable:
                left = "the database is away"
            if not left:
                return waited_s
            if time.monotonic() - told_s >= PROGRESS_S:
                told_s = time.monotonic()
                self._tell(f"waiting for {left}")
            await asyncio.sleep(_LOOK_S)
        return time.monotonic() - began

    async def _left(self) -> str:
        """In words, "" when everything has come right. Raises StoreUnavailable."""
        lines = await asyncio.to_thread(lambda: list(read_bill(self._bill)))
        served = {line.call_id for line in lines if line.call_id is not None}
        unfinished = await rows.unfinished(await self._database.start(), served)
        return ", ".join(f"{count} {what}" for what, count in unfinished.items() if count)

    async def _audit(self, load: Load, recovery_s: float) -> Report:
        if self._options.keep:
            (self._folder / "sent.jsonl").write_bytes(b"".join(json.encode(sent) + b"\n" for sent in load.sent))
        ledger = await rows.read_ledger(await self._database.start())
        bill = list(read_bill(self._bill))
        facts = Facts(
            cast=self._cast,
            bill=bill,
            sent=load.sent,
            receipts=ledger.receipts,
            budgets=ledger.budgets,
            keys_in_flight=ledger.keys_in_flight,
        )
        figures, violations = audit(facts)
        options = self._options
        return Report(
            ok=not violations,
            seed=options.seed,
            seconds=options.seconds,
            processes=options.processes,
            kills=self._killer.kills,
            postgres_kills=self._killer.postgres_kills,
            calls=len(load.sent),
            sent=dict(sorted(counts(load.sent).items())),
            outcomes=dict(sorted(Counter(line.outcome for line in bill).items())),
            recovery_s=round(recovery_s, 1),
            figures=figures,
            violations=violations,
            kept=str(self._folder) if options.keep else None,
        )

    def _tell(self, what: str) -> None:
        self._say(f"{time.monotonic() - self._began:6.1f} s  {what}")


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> "AsyncIterator[asyncio.Task[None]]":
    """Runs beside the block and ends with it. What it raised is raised here."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()


def new_seed() -> int:
    return random.SystemRandom().randrange(1 << 32)
