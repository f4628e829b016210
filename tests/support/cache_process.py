"""A process of its own with both caches in it, over a real database: it obeys lines of JSON on its standard input, and
answers each with one line. Its provider answers "by <version>", as the request says in `metadata`.

    {"do": "ask", "question": Q, "document": D, "exact": bool}   -> {"layer": ..., "text": ...}; asked by document D
    {"do": "begin", ...the same}            asks, and the provider is held -> {}
    {"do": "release"}                       what was held is answered, and kept or not -> {"layers": [...]}
    {"do": "memory"}                        -> {"documents": [...]} that answers in memory rest on
    {"do": "follow"}                        the semantic scopes catch up -> {}
"""

import asyncio
import sys
from datetime import timedelta
from typing import Any
from uuid import UUID

from msgspec import json, structs

from tenfold.cache.grounds import DOCUMENTS_TOPIC
from tenfold.cache.semantic.postgres import PostgresSemanticRows
from tenfold.core.call import CallOptions, Grounds
from tenfold.core.ids import TenantId
from tenfold.inference.semantic.tidying import Tidying
from tenfold.store import Changes, Store
from tests.inference.semantic.world import SemanticWorld, Versioned, layer, resting_on
from tests.support.pipeline import Client

NEVER = timedelta(days=365)


class Process:
    def __init__(self, world: SemanticWorld) -> None:
        self._world = world
        self._held: list[asyncio.Task[Client]] = []
        self._holding = False
        self._release = asyncio.Event()
        self._waiting = 0
        transport = world.transports["openai"]
        self._post = transport.post
        transport.post = self._when_released  # type: ignore[method-assign]

    async def do(self, asked: dict[str, Any]) -> dict[str, Any]:
        match asked["do"]:
            case "ask":
                reply = await self._ask(asked)
                return {"layer": layer(reply), "text": reply.json["choices"][0]["message"]["content"]}
            case "begin":
                self._holding = True
                before = self._waiting
                self._held.append(asyncio.create_task(self._ask(asked)))
                while self._waiting == before:
                    await asyncio.sleep(0.001)
                self._holding = False
                return {}
            case "release":
                self._release.set()
                replies = [await each for each in self._held]
                self._held.clear()
                self._release.clear()
                await self._world.settled()
                return {"layers": [layer(reply) for reply in replies]}
            case "memory":
                return {"documents": sorted(self._world.cache.documents(self._world.principal.tenant_id))}
            case "follow":
                await self._world.semantic.scopes.catch_up()
                return {}
        raise AssertionError(asked)

    async def _ask(self, asked: dict[str, Any]) -> Client:
        document = asked["document"]
        grounds = Grounds(documents=frozenset({document}))
        exact = asked.get("exact", False)
        options = CallOptions(grounds=grounds) if exact else resting_on(document)
        more: dict[str, Any] = {"temperature": 0} if exact else {}
        version = document.rpartition("@")[2]
        return await self._world.say(asked["question"], options, metadata={"version": version}, **more)

    async def _when_released(self, *args: Any, **kwargs: Any) -> Any:
        if self._holding:
            self._waiting += 1
            await self._release.wait()
        return await self._post(*args, **kwargs)


async def main(dsn: str, tenant_id: TenantId) -> None:
    store = await Store.open(dsn, max_size=4)
    rows = PostgresSemanticRows(store)
    world = SemanticWorld(Versioned(), rows=rows)
    world.principal = structs.replace(world.principal, tenant_id=tenant_id)
    tidying = Tidying(rows, world.clock, keep_unused=NEVER)
    changes = Changes(store)
    changes.follow(DOCUMENTS_TOPIC, world.grounded.forget)
    changes.follow(DOCUMENTS_TOPIC, tidying.forget)
    await changes.start()
    tasks = [asyncio.create_task(changes.run()), asyncio.create_task(tidying.run())]
    process = Process(world)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    while line := await lines.readline():
        sys.stdout.write(json.encode(await process.do(json.decode(line))).decode() + "\n")
        sys.stdout.flush()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await world.semantic.aclose()
    await store.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], TenantId(UUID(sys.argv[2]))))
