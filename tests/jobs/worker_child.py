"""A worker in a process of its own, to be killed or halted: `python -m tests.jobs.worker_child <dsn>`.

Standard output: `begun <job>` when a handler begins, `<how> <job>` when an attempt has ended. It stops at SIGTERM.
"""

import asyncio
import os
import signal
import sys

from tenfold.core.clock import SystemClock
from tenfold.jobs.ports import JobContext
from tenfold.jobs.queries import PostgresJobRows
from tenfold.jobs.types import Result, Work
from tenfold.jobs.worker import JobWorker
from tenfold.store import Store

STEPS = 5
STEP_S = 0.01
BEAT_S = 0.1
PATIENCE_S = 0.7
DEAD_AFTER_S = 1.0


def say(words: str) -> None:
    os.write(1, f"{words}\n".encode())


class Handler:
    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.after_death = "afterwards" if kind == "poison" else None

    async def run(self, job: JobContext) -> Result:
        say(f"begun {job.work.job.id.hex}")
        if self.kind == "poison":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "long":
            await asyncio.sleep(3600)
        for step in range(STEPS):
            await job.progress("steps", step, STEPS)
            await job.emit(b"%d %d" % (job.work.job.attempts, step))
            await asyncio.sleep(STEP_S)
        return Result(output=str(job.work.job.attempts).encode())


class Sayer:
    def started(self, work: Work, waited_s: float) -> None:
        pass

    def ended(self, work: Work, how: str, ran_s: float) -> None:
        say(f"{how} {work.job.id.hex}")

    def taken_over(self, jobs: int) -> None:
        pass


def worker_on(store: Store) -> JobWorker:
    return JobWorker(
        PostgresJobRows(store),
        [Handler(kind) for kind in ("steps", "long", "poison", "afterwards")],
        clock=SystemClock(),
        hints=store,
        observer=Sayer(),
        slots=8,
        poll_s=0.2,
        beat_s=BEAT_S,
        patience_s=PATIENCE_S,
        dead_after_s=DEAD_AFTER_S,
        look_s=BEAT_S,
        look_for_dead_s=0.2,
    )


async def main(dsn: str) -> None:
    store = await Store.open(dsn, max_size=4)
    worker = worker_on(store)
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    running = asyncio.create_task(worker.run(), name="worker")
    say("up -")
    await over.wait()
    await worker.stop(0.5)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
