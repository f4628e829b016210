"""A process that serves a hundred jobs to which nothing happens. For each line on its standard input it says, once as
many as the line says wait, how many bytes it holds.
"""

import asyncio
import gc
import os
import socket
import sys
from pathlib import Path

import uvloop

from tenfold.core.errors import TenfoldError
from tenfold.edge.http import HttpServer, Request
from tenfold.edge.progress import JobEvents
from tenfold.jobs.names import job_name
from tests.edge.progress.script import PRINCIPAL, TENANT
from tests.jobs.rows import new_job
from tests.support.jobs import Work

JOBS = 100


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def main() -> None:
    work = Work({"call"})
    jobs = [await work.jobs.enqueue(new_job(TENANT)) for _ in range(JOBS)]
    events = JobEvents(work.jobs)

    async def handle(request: Request) -> None:
        try:
            await events.handle(request, PRINCIPAL)
        except TenfoldError as error:
            request.whole(error.status, "", error.message.encode())

    server = HttpServer(handle)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    await server.start(listener)
    print(listener.getsockname()[1], *(job_name(job.id) for job in jobs), flush=True)  # noqa: T201
    while line := await asyncio.to_thread(sys.stdin.readline):
        while events.waiting < int(line):
            await asyncio.sleep(0.01)
        gc.collect()
        print(resident_bytes(), flush=True)  # noqa: T201
    await server.stop(0)


if __name__ == "__main__":
    uvloop.run(main())
