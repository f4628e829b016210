"""Ten thousand who wait for something to happen take at most 150 MB: 15 KB each."""

import asyncio
import resource
import sys
from pathlib import Path

from tests.support.http_server import get

FIRST, MORE = 200, 2000
EACH_BYTES = 15_000
ROOT = Path(__file__).parents[3]


async def test_who_waits_is_small() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the server's, too, which inherits it
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.edge.progress.idle_server"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    writers: list[asyncio.StreamWriter] = []
    try:
        assert server.stdin is not None
        assert server.stdout is not None
        port, *jobs = (await server.stdout.readline()).decode().split()

        async def held(count: int) -> int:
            """Bytes of the server once so many wait."""
            assert server.stdin is not None
            assert server.stdout is not None
            while len(writers) < count:
                _, writer = await asyncio.open_connection("127.0.0.1", int(port))
                path = f"/v1/jobs/{jobs[len(writers) % len(jobs)]}/events"
                writer.write(get(path, f"Authorization: Bearer {'x' * 40}", "Accept: text/event-stream"))
                writers.append(writer)
            server.stdin.write(b"%d\n" % count)
            async with asyncio.timeout(120):
                return int(await server.stdout.readline())

        before = await held(FIRST)
        after = await held(FIRST + MORE)
        assert (after - before) / MORE <= EACH_BYTES
    finally:
        for writer in writers:
            writer.close()
        server.kill()
        await server.wait()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
