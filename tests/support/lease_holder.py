"""A process of its own that uses the Postgres of a home: prints the DSN, then obeys one line on stdin.

"stop" gives the lease back; the end of the input ends the process without; it may also be killed.
"""

import asyncio
import sys
from pathlib import Path

from tenfold.store import EmbeddedPostgres


async def main(home: Path) -> None:
    postgres = EmbeddedPostgres(home)
    print(await postgres.start(), flush=True)  # noqa: T201 - what the test reads
    if sys.stdin.readline().strip() == "stop":
        await postgres.stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
