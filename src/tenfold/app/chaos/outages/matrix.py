"""Runs the cells of the matrix against a Tenfold, and counts what came of them."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence

from msgspec import Struct, json

from tenfold.app.chaos.http_client import post
from tenfold.app.chaos.outages.cells import DEADLINE_S, GRACE_S, Cell, body_of
from tenfold.app.chaos.outages.judge import FORBIDDEN, OUTCOMES, Outcome, Verdict, judge

AT_ONCE = 16
_PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}


class Result(Struct, frozen=True, kw_only=True):
    cell: Cell
    verdict: Verdict
    seconds: float


class Matrix(Struct, frozen=True, kw_only=True):
    """`broken`: the cells in which something came to pass that must not."""

    calls: int
    counts: dict[Outcome, int]
    broken: list[str]
    rescued: int  # calls with a fallback that ended in a good reply
    with_fallback: int
    slowest_s: float


async def run_matrix(port: int, key: str, matrix: Sequence[Cell], progress: Callable[[int], None]) -> list[Result]:
    """Every cell, a number of them at a time; those that move many bytes one by one, after the others. What is late is
    asked once more, alone: a machine that has too much to do is late as well. `progress` is told how many are done."""
    results: dict[Cell, Result] = {}
    waiting = [cell for cell in matrix if not cell.trouble.heavy]
    waiting.reverse()

    async def several() -> None:
        while waiting:
            cell = waiting.pop()
            results[cell] = await _ask(port, key, cell)
            progress(len(results))

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(several())
    for cell in matrix:
        if cell not in results or results[cell].verdict.outcome == "hang":
            results[cell] = await _ask(port, key, cell)
            progress(len(results))
    return [results[cell] for cell in matrix]


async def _ask(port: int, key: str, cell: Cell) -> Result:
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    limit_s = DEADLINE_S + GRACE_S
    began = time.monotonic()
    answer = await post(port, _PATHS[cell.client], headers, json.encode(body_of(cell)), timeout_s=limit_s)
    seconds = time.monotonic() - began
    verdict = judge(cell.client, answer, cell.trouble.texts, stream=cell.stream, is_late=seconds >= limit_s)
    return Result(cell=cell, verdict=verdict, seconds=seconds)


def summary(results: Sequence[Result]) -> Matrix:
    counted = Counter(result.verdict.outcome for result in results)
    fallback = [result for result in results if result.cell.policy != "single"]
    return Matrix(
        calls=len(results),
        counts={outcome: counted[outcome] for outcome in OUTCOMES},
        broken=[
            f"{result.verdict.outcome}: {result.cell.name}: {result.verdict.detail} ({result.seconds:.1f} s)"
            for result in results
            if result.verdict.outcome in FORBIDDEN
        ],
        rescued=sum(result.verdict.outcome == "good" for result in fallback),
        with_fallback=len(fallback),
        slowest_s=round(max((result.seconds for result in results), default=0.0), 2),
    )
