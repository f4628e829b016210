"""One run from an empty folder to its report: started, loaded, killed all the while, waited for, audited."""

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from msgspec import Struct

from tenfold.app.chaos import rows
from tenfold.app.chaos.bill import read_bill
from tenfold.app.chaos.cast import PlannedTenant
from tenfold.app.chaos.durability.load import Load, Outcome, outcome
from tenfold.app.chaos.durability.report import JobsReport
from tenfold.app.chaos.people import settle_in
from tenfold.app.chaos.processes import ChaosFailed, Killer, ProviderProcess, TenfoldProcess
from tenfold.app.database import Database
from tenfold.app.settings import load as load_settings
from tenfold.core.errors import StoreUnavailable

PROGRESS_S = 5.0
TENANTS = 8
_LOOK_S = 0.5
_AT_ONCE = 32

CONFIGURATION = """
[providers.keyed]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
heeds_idempotency_key = {heeds}

[models.m]
provider = "keyed"
price = {{ input = 1, output = 2 }}

[jobs]
repeat_interrupted = {repeat}
max_waiting = 1000000
max_waiting_all = 1000000

[telemetry]
log_calls = false
"""

Say = Callable[[str], None]


class Options(Struct, frozen=True, kw_only=True):
    """`heeds`: the provider knows an Idempotency-Key when it comes again; without it nothing that was interrupted is
    asked again. `recovery_s`: how long everything may take to end after the last job was accepted."""

    jobs: int
    processes: int
    seed: int
    clients: int = 32
    heeds: bool = True
    postgres: bool = True
    recovery_s: float = 300.0
    pause_s: tuple[float, float] = (2.0, 7.0)  # between two kills


async def chaos_jobs(options: Options, say: Say) -> JobsReport:
    """Raises ChaosFailed when it could not be carried out. However it ends, no process and no folder is left."""
    folder = Path(tempfile.mkdtemp(prefix="tenfold-chaos-"))
    try:
        return await _Run(folder, options, say).make()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Run:
    def __init__(self, folder: Path, options: Options, say: Say) -> None:
        self._options = options
        self._say = say
        self._began = time.monotonic()
        self._bill = folder / "bill.jsonl"
        words = ("--heeds",) if options.heeds else ()
        self._provider = ProviderProcess(
            self._bill, seed=options.seed, module="tenfold.app.chaos.durability.provider", words=words
        )
        self._tenfold = TenfoldProcess(folder, workers=options.processes)
        self._killer = Killer(
            self._tenfold,
            seed=options.seed,
            postgres_every=6 if options.postgres else None,
            pause_s=options.pause_s,
        )
        self._database = Database(load_settings(None, self._tenfold.home, {}))
        self._keys: dict[str, str] = {}
        self._outcomes: dict[str, Outcome] = {}

    async def make(self) -> JobsReport:
        async with AsyncExitStack() as resources:
            self._tenfold.home.mkdir(mode=0o700)
            await self._database.start()
            resources.push_async_callback(self._database.stop)
            await self._database.migrate()
            cast = [PlannedTenant(slug=f"tenant-{number}", keys=1) for number in range(TENANTS)]
            people = await settle_in(self._database, cast)
            self._keys = {person.tenant.slug: person.keys[0] for person in people}
            await self._provider.start()
            resources.push_async_callback(self._provider.stop)
            self._tenfold.config.write_text(self._configuration(), encoding="utf-8")
            resources.push_async_callback(self._tenfold.stop)
            await self._tenfold.start()
            self._tell(f"{self._options.processes} processes serve on port {self._tenfold.port}")
            load = Load(
                port=self._tenfold.port, keys=self._keys, jobs=self._options.jobs, clients=self._options.clients
            )
            watching = asyncio.create_task(self._progress(load))
            killing = asyncio.create_task(self._killer.run())
            try:
                await load.run()
                accepted_s = time.monotonic() - self._began
                if not self._killer.kills:
                    self._killer.strike()  # a fast machine has accepted all before the first pause is over
                self._tell("all are accepted; the killing goes on until half of the rest has ended")
                await self._look(load, until=0.5)
                killing.cancel()
                recovery_s = await self._look(load, until=1.0)
            finally:
                killing.cancel()
                watching.cancel()
                await asyncio.wait([killing, watching])
            if not killing.cancelled() and killing.exception() is not None:
                raise ChaosFailed(f"The killer failed: {killing.exception()}")
            for each in load.asked:
                if not each.ticket:
                    self._tell(f"never accepted: {each.tenant} {each.operation}: {each.last}")
            await self._settle()
            if not await self._tenfold.stop():
                raise ChaosFailed(f"Tenfold did not come to an orderly end:\n{self._tenfold.last_words()}")
            return await self._audit(load, accepted_s, recovery_s)

    def _configuration(self) -> str:
        told = "true" if self._options.heeds else "false"
        return CONFIGURATION.format(port=self._provider.port, heeds=told, repeat=told)

    async def _progress(self, load: Load) -> None:
        while True:
            await asyncio.sleep(PROGRESS_S)
            ended = sum(each.state in ("done", "failed") for each in self._outcomes.values())
            self._tell(
                f"{len(load.asked)} accepted, {ended} known to have ended, {self._killer.kills} kills of workers, "
                f"{self._killer.postgres_kills} of Postgres; last refusal: {load.refused[:160]}"
            )

    async def _look(self, load: Load, *, until: float) -> float:
        """Asks after the tickets until this share has ended, or time is over; how many seconds that took."""
        began = time.monotonic()
        while True:
            left = [each for each in load.asked if each.ticket and not self._ended(each.ticket)]
            if len(left) <= (1 - until) * len(load.asked) or time.monotonic() - began > self._options.recovery_s:
                return time.monotonic() - began
            gate = asyncio.Semaphore(_AT_ONCE)

            async def ask(tenant: str, ticket: str, gate: asyncio.Semaphore = gate) -> None:
                async with gate:
                    told = await outcome(self._tenfold.port, self._keys[tenant], ticket)
                    if told is not None:
                        self._outcomes[ticket] = told

            await asyncio.gather(*(ask(each.tenant, each.ticket) for each in left[:2000]))
            await asyncio.sleep(_LOOK_S)

    def _ended(self, ticket: str) -> bool:
        told = self._outcomes.get(ticket)
        return told is not None and told.state not in ("waiting", "running")

    async def _settle(self) -> None:
        """Until the books of the dead are closed: receipts in, keys settled, estimates taken back."""
        until = time.monotonic() + self._options.recovery_s
        while time.monotonic() < until:
            with contextlib.suppress(StoreUnavailable):
                left = await rows.unfinished(await self._database.start(), [])
                if not left["idempotency keys"] and not (self._options.heeds and left["corrections"]):
                    return
            await asyncio.sleep(_LOOK_S)

    async def _audit(self, load: Load, accepted_s: float, recovery_s: float) -> JobsReport:
        ledger = await rows.read_ledger(await self._database.start())
        bill = list(read_bill(self._bill))
        paid = Counter((line.tenant, line.operation) for line in bill)
        told = {each.ticket: self._outcomes.get(each.ticket) for each in load.asked if each.ticket}
        states = Counter("stuck" if each is None else each.state or "lost" for each in told.values())
        wrong = sum(
            (each_told := told.get(each.ticket)) is not None
            and each_told.state == "done"
            and each_told.said != f"answer to {each.operation}"
            for each in load.asked
        )
        errors = Counter(each.error for each in told.values() if each is not None and each.state == "failed")
        tried = sorted(each.accepted_s for each in load.asked)
        options = self._options
        return JobsReport(
            seed=options.seed,
            heeds=options.heeds,
            processes=options.processes,
            jobs=len(load.asked),
            not_accepted=sum(not each.ticket for each in load.asked),
            asked_again=sum(each.tries - 1 for each in load.asked),
            kills=self._killer.kills,
            postgres_kills=self._killer.postgres_kills,
            done=states["done"],
            dead_letters=states["failed"],
            dead_by=dict(sorted(errors.items())),
            lost=states["lost"],
            stuck=states["stuck"] + states["waiting"] + states["running"],
            wrong=wrong,
            paid_twice=sum(count > 1 for count in paid.values()),
            never_paid=sum(
                1
                for each in load.asked
                if not paid[each.tenant, each.operation]
                and (each_told := told.get(each.ticket)) is not None
                and each_told.state == "done"
            ),
            bill_nano=sum(line.usage.input_tokens * 1_000 + line.usage.output_tokens * 2_000 for line in bill),
            ledger_nano=sum((each.total_nano or 0) + each.adjusted_nano for each in ledger.receipts),
            accept_p95_s=tried[int(len(tried) * 0.95)] if tried else 0.0,
            accepted_s=round(accepted_s, 1),
            recovery_s=round(recovery_s, 1),
        )

    def _tell(self, what: str) -> None:
        self._say(f"{time.monotonic() - self._began:6.1f} s  {what}")
