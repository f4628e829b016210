"""Four processes with calls in flight, and a document that changes and goes: no process answers by the old version, and
none keeps what was still on its way."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

from msgspec import json

from tenfold.cache.grounds import Document
from tenfold.core.ids import TenantId
from tenfold.retrieval.fake import FakeEmbedder
from tenfold.retrieval.library import Library
from tenfold.retrieval.types import SourceDocument
from tenfold.store import Store
from tests.inference.semantic.world import ELSE, IN_OTHER_WORDS, REFUND
from tests.retrieval.conftest import new_tenant

KB, NAME = "handbook", "refunds.md"
PATIENCE_S = 30.0  # for what takes half a second on a machine with time
VERSION = "SELECT hash FROM documents WHERE tenant_id = $1 AND id = $2"
KEPT = "SELECT count(*) FROM semantic_grounds WHERE tenant_id = $1 AND version = $2"


class Child:
    def __init__(self, process: Process) -> None:
        self._process = process

    async def __call__(self, do: str, **more: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.encode({"do": do, **more}) + b"\n")
        async with asyncio.timeout(PATIENCE_S):
            answer: dict[str, Any] = json.decode(await self._process.stdout.readline())
        return answer

    async def holds(self, document: str) -> bool:
        return document in (await self("memory"))["documents"]


@asynccontextmanager
async def children(database: str, tenant_id: TenantId, count: int) -> AsyncIterator[list[Child]]:
    """They end with their standard input."""
    what = [sys.executable, "-m", "tests.support.cache_process", database, str(tenant_id)]
    processes = [await asyncio.create_subprocess_exec(*what, stdin=PIPE, stdout=PIPE) for _ in range(count)]
    try:
        for process in processes:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"{}\n"
        yield [Child(process) for process in processes]
    finally:
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
        await asyncio.gather(*(process.wait() for process in processes))


class Handbook:
    """The one document, changed as the product changes it."""

    def __init__(self, store: Store, tenant_id: TenantId) -> None:
        self._store = store
        self._tenant_id = tenant_id
        self._library = Library(store, FakeEmbedder())

    async def write(self, text: str) -> str:
        """What answers by this version call it."""
        await self._library.ingest(self._tenant_id, KB, [SourceDocument(id=NAME, text=text)])
        async with self._store.tenant(self._tenant_id, readonly=True) as tx:
            version = await tx.fetchval(VERSION, self._tenant_id, NAME)
        return str(Document(KB, NAME, version))

    async def delete(self) -> None:
        await self._library.delete(self._tenant_id, KB, [NAME])

    async def kept_by(self, document: str) -> int:
        """Entries of the semantic cache."""
        async with self._store.tenant(self._tenant_id, readonly=True) as tx:
            count: int = await tx.fetchval(KEPT, self._tenant_id, document.rpartition("@")[2])
        return count


async def test_a_change_reaches_every_process_and_what_is_in_flight(database: str, store: Store) -> None:
    tenant_id = await new_tenant(store, "one")
    handbook = Handbook(store, tenant_id)
    async with children(database, tenant_id, 4) as processes:
        document = await handbook.write("Refunds take 30 days.")
        for text in ("Refunds take 14 days.", "Refunds take 7 days.", None):
            await _everywhere_in_use(processes, document)
            if text is None:
                await handbook.delete()
            else:
                newer = await handbook.write(text)
            changed = monotonic()
            by_old = {"question": f"{IN_OTHER_WORDS}!", "document": document}
            asked = await asyncio.gather(*(each("ask", **by_old) for each in processes))
            assert [reply["layer"] for reply in asked] == ["miss"] * 4  # at once: nothing has to be heard for it
            while any(await asyncio.gather(*(each.holds(document) for each in processes))):
                await asyncio.sleep(0.02)
                assert monotonic() - changed < PATIENCE_S
            print(f"gone from the memory of four processes after {monotonic() - changed:.3f} s")  # noqa: T201
            released = await asyncio.gather(*(each("release") for each in processes))
            assert [reply["layers"] for reply in released] == [["miss"] * 6] * 4
            assert not any(await asyncio.gather(*(each.holds(document) for each in processes)))
            while await handbook.kept_by(document):
                await asyncio.sleep(0.02)
                assert monotonic() - changed < PATIENCE_S
            for exact in (True, False):
                again = {"question": REFUND, "document": document, "exact": exact}
                asked = await asyncio.gather(*(each("ask", **again) for each in processes))
                assert [reply["layer"] for reply in asked] == ["miss"] * 4
            if text is not None:
                document = newer


async def _everywhere_in_use(processes: list[Child], document: str) -> None:
    """Each process answers by the document from its memory and by meaning, and has calls by it in flight: three of each
    kind."""
    by = {"document": document}
    first, *others = processes
    await asyncio.gather(*(each("ask", question=ELSE, **by) for each in processes))  # the scope is read
    await first("ask", question=REFUND, **by)
    for each in others:
        await each("follow")
    version = document.rpartition("@")[2]
    for each in processes:
        reply = await each("ask", question=IN_OTHER_WORDS, **by)
        assert reply == {"layer": "semantic", "text": f"by {version}"}
        await each("ask", question=REFUND, exact=True, **by)
        assert (await each("ask", question=REFUND, exact=True, **by))["layer"] == "memory"
        for number in range(3):
            await each("begin", question=f"Something else, number {number}, that was never asked", **by)
            await each("begin", question=f"The same, by its bytes, {number}", exact=True, **by)
