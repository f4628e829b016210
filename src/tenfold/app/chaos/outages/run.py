"""One run from an empty folder to its report: the matrix, then the scenarios under load, each before a Tenfold of its
own configuration.
"""

import time
from collections.abc import Callable
from contextlib import aclosing

from msgspec import Struct

from tenfold.app.chaos.outages import cells, hard_down, overload
from tenfold.app.chaos.outages.drive import Driver, Watch
from tenfold.app.chaos.outages.hard_down import HardDown
from tenfold.app.chaos.outages.matrix import Result, run_matrix, summary
from tenfold.app.chaos.outages.overload import Overload
from tenfold.app.chaos.outages.report import Report
from tenfold.app.chaos.outages.stage import Stage, staged

Say = Callable[[str], None]
_TELL_EACH = 200  # calls


class Options(Struct, frozen=True, kw_only=True):
    """`quick`: some faults, little load, and no judgement of times, for a machine that does other things as well."""

    seed: int
    quick: bool = False
    with_matrix: bool = True
    with_load: bool = True


class Run(Struct, frozen=True, kw_only=True):
    report: Report
    results: list[Result]


async def chaos_providers(options: Options, say: Say) -> Run:
    """Raises ChaosFailed, StoreUnavailable and UpstreamError when it could not be carried out. However it ends, no
    process and no folder is left."""
    began = time.monotonic()

    def tell(what: str) -> None:
        say(f"{time.monotonic() - began:6.1f} s  {what}")

    results: list[Result] = []
    downs: list[HardDown] = []
    overloaded: Overload | None = None
    async with staged(options.seed) as stage:
        if options.with_matrix:
            results = await _matrix(stage, options, tell)
        if options.with_load:
            downs, overloaded = await _load(stage, options, tell)
    matrix = summary(results) if options.with_matrix else None
    broken = list(matrix.broken) if matrix is not None else []
    for down in downs:
        broken += down.broken(times=not options.quick)
    if overloaded is not None:
        broken += overloaded.broken(times=not options.quick)
    report = Report(
        ok=not broken,
        seed=options.seed,
        quick=options.quick,
        seconds=round(time.monotonic() - began, 1),
        matrix=matrix,
        hard_down=downs,
        overload=overloaded,
        broken=broken,
    )
    return Run(report=report, results=results)


async def _matrix(stage: Stage, options: Options, tell: Say) -> list[Result]:
    troubles = [trouble for trouble in cells.TROUBLES if not options.quick or trouble.spec in cells.SHORT]
    matrix = cells.cells(troubles)

    def progress(done: int) -> None:
        if done % _TELL_EACH == 0:
            tell(f"{done} of {len(matrix)} calls of the matrix")

    async with stage.serving(lambda port: cells.configuration(matrix, port)) as tenfold:
        tell(f"the matrix has {len(troubles)} faults and {len(matrix)} calls")
        return await run_matrix(tenfold.port, stage.key, matrix, progress)


async def _load(stage: Stage, options: Options, tell: Say) -> tuple[list[HardDown], Overload]:
    def configuration(port: int) -> str:
        return "\n".join([hard_down.configuration(port), *overload.configuration_lines(port)])

    async with (
        stage.serving(configuration) as tenfold,
        aclosing(Driver(tenfold.port, stage.key)) as driver,
        aclosing(Watch(stage.provider.port, tenfold.port)) as watch,
    ):
        downs = []
        for fault in hard_down.FAULTS[:1] if options.quick else hard_down.FAULTS:
            tell(f"the primary goes down: {fault}")
            rate = hard_down.RATE / 4 if options.quick else hard_down.RATE
            downs.append(await hard_down.hard_down(driver, watch, fault, down_s=4 if options.quick else 12, rate=rate))
        tell("four times what the provider can take")
        return downs, await overload.overload(driver, watch, seconds=2 if options.quick else 8)
