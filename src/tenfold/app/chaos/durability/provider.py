"""A model provider that heeds `Idempotency-Key`: a request that comes again gets the first answer and is not billed
again. In a process of its own, run as `python -m tenfold.app.chaos.durability.provider`; it ends when its standard
input does, and prints its port in one line.
"""

import argparse
import asyncio
import contextlib
import random
import time
from pathlib import Path

import uvloop
from msgspec import json

from tenfold.app.chaos.bill import Bill, Line, mark_in
from tenfold.app.chaos.provider import HttpRequest, read_http, reply, serve
from tenfold.core.usage import Usage

_BACKLOG = 1024
_FAILS = 0.03  # of requests: 503, not billed
_TAKES_S = (0.02, 0.4)
USAGE = Usage(input_tokens=20, output_tokens=10)


class KeyedProvider:
    """`heeds`: whether it knows a key when it comes again. The bill has a line for each request it worked on."""

    def __init__(self, bill: Bill, *, seed: int, heeds: bool) -> None:
        self._bill = bill
        self._chance = random.Random(f"provider {seed}")  # noqa: S311 - chance that can be repeated, not a secret
        self._heeds = heeds
        self._known: dict[str, asyncio.Task[bytes]] = {}

    async def start(self) -> asyncio.Server:
        return await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=_BACKLOG)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(EOFError, OSError, asyncio.LimitOverrunError, asyncio.CancelledError):
            while not writer.is_closing():
                request = await read_http(reader)
                answer = await self._answer(request)
                if not writer.is_closing():
                    writer.write(answer)
                    await writer.drain()
        writer.close()

    async def _answer(self, request: HttpRequest) -> bytes:
        if request.method != "POST":
            return reply(404, b'{"error": {"message": "no such call"}}')
        if self._chance.random() < _FAILS:
            return reply(503, b'{"error": {"message": "Busy.", "type": "server_error", "code": null}}')
        key = request.headers.get("idempotency-key", "") if self._heeds else ""
        working = self._known.get(key)
        if working is None:
            working = asyncio.create_task(self._work(request))
            if key:
                self._known[key] = working
        return await asyncio.shield(working)

    async def _work(self, request: HttpRequest) -> bytes:
        """Billed before a byte is sent, and finished whoever listens: as a model that was asked does."""
        mark = mark_in(request.body)
        said = "answer" if mark is None else f"answer to {mark.operation}"
        self._bill.add(
            Line(
                request_id=request.headers.get("x-client-request-id", ""),
                at=time.time(),
                model="m",
                outcome="ok",
                usage=USAGE,
                tenant="" if mark is None else mark.tenant,
                operation="" if mark is None else mark.operation,
            )
        )
        await asyncio.sleep(self._chance.uniform(*_TAKES_S))
        choice = {"index": 0, "message": {"role": "assistant", "content": said}, "finish_reason": "stop"}
        usage = {"prompt_tokens": USAGE.input_tokens, "completion_tokens": USAGE.output_tokens, "total_tokens": 30}
        body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        return reply(200, json.encode(body | {"usage": usage}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bill", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--heeds", action="store_true")
    options = parser.parse_args()
    uvloop.run(serve(options.bill, lambda bill: KeyedProvider(bill, seed=options.seed, heeds=options.heeds)))


if __name__ == "__main__":
    main()
