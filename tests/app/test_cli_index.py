"""`tenfold index`: what is told of a tenant's knowledge bases, and that it is made again, on a database of its own."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from msgspec import json

from tenfold.app import indexing
from tenfold.app.cli_index import index
from tenfold.app.cli_parts import DATABASE_AWAY, FAILED, MISUSED
from tenfold.core.ids import TenantId
from tenfold.retrieval.fake import FakeEmbedder
from tenfold.retrieval.library import Library
from tenfold.retrieval.types import SourceDocument
from tenfold.store import Store
from tests.app import test_cli_budget
from tests.app.test_cli_budget import NOBODY, Cli


class Offline(FakeEmbedder):
    """In the bundled model's place."""

    def __init__(self) -> None:
        super().__init__(dimensions=64, fingerprint="offline:2")

    async def aclose(self) -> None:
        pass


@pytest.fixture
def cli(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setitem(test_cli_budget.main.commands, str(index.name), index)
    monkeypatch.setattr(indexing, "OfflineEmbedder", Offline)
    monkeypatch.chdir(tmp_path)
    runner = Cli(tmp_path, database)
    runner("tenant", "create", "default")
    return runner


def in_library(database: str, work: Callable[[Library, TenantId], Coroutine[Any, Any, Any]]) -> None:
    async def opened() -> None:
        store = await Store.open(database)
        try:
            async with store.directory(readonly=True) as tx:
                tenant_id = TenantId(await tx.fetchval("SELECT id FROM tenants WHERE slug = 'default'"))
            await work(Library(store, FakeEmbedder(32, "old:1")), tenant_id)
        finally:
            await store.aclose()

    asyncio.run(opened())


def damage(database: str, statement: str) -> None:
    async def execute() -> None:
        owner = await asyncpg.connect(database)
        await owner.execute("SET search_path = tenfold, public")
        await owner.execute(statement)
        await owner.close()

    asyncio.run(execute())


@pytest.fixture
def filled(cli: Cli, database: str) -> Cli:
    """One knowledge base with vectors of an embedder that is gone, and one without any."""

    async def fill(library: Library, tenant_id: TenantId) -> None:
        for kb in ("faq", "manual"):
            pages = [SourceDocument(id=f"p{n}", text=f"Page {n} of the {kb}.") for n in range(3)]
            await library.ingest(tenant_id, kb, pages)
        await library.embed(tenant_id, "manual")

    in_library(database, fill)
    return cli


def test_another_embedder_takes_over(filled: Cli) -> None:
    assert filled("index", "status").stdout == (
        "faq: 3 documents, 3 chunks, no vectors\n"
        "manual: 3 documents, 3 chunks, searched by words, 3 of 3 vectors of old:1\n"
    )
    page = filled.json("index", "status", "--limit", "1")
    assert [each["kb"] for each in page["items"]] == ["faq"]
    assert [each["kb"] for each in filled.json("index", "status", "--after", page["cursor"])["items"]] == ["manual"]

    assert filled.json("index", "embed", "--kb", "manual") == {"made": {"manual": 3}}
    assert filled("index", "embed").stdout == "faq: 3 vectors made\nmanual: 0 vectors made\n"
    told = filled.json("index", "status")["items"]
    assert [(each["embedder"], each["state"], each["embedded"]) for each in told] == [("offline:2", "ready", 3)] * 2
    assert "searched by words and vectors of offline:2" in filled("index", "status").stdout


def test_one_document_is_told_as_one(cli: Cli, database: str) -> None:
    async def fill(library: Library, tenant_id: TenantId) -> None:
        await library.ingest(tenant_id, "faq", [SourceDocument(id="p", text="The only page.")])

    in_library(database, fill)
    assert cli("index", "status").stdout == "faq: 1 document, 1 chunk, no vectors\n"


def test_a_rebuild_tells_that_the_index_is_equal_and_in_what_it_is_not(filled: Cli, database: str) -> None:
    filled("index", "embed")
    said = filled("index", "rebuild", "--kb", "manual").stdout
    assert said.splitlines() == [
        "manual: documents equal, 3 compared",
        "manual: words equal, 5 compared",
        "manual: vectors equal, 3 compared, lowest cosine 1.000000",
    ]
    damage(database, "DELETE FROM postings WHERE term = 'manual'")
    told = json.decode(filled("index", "rebuild", "--part", "words", "--json", code=FAILED).stdout)
    assert told["equal"] is False
    assert [(each["kb"], each["equal"]) for each in told["items"]] == [("faq", True), ("manual", False)]
    [part] = told["items"][1]["parts"]
    assert (part["part"], part["differing"], part["examples"]) == ("words", 1, ["manual in chunks 0-127"])
    assert "manual: words 1 differ, 5 compared, swapped\n  manual in chunks 0-127\n" in (
        filled("index", "rebuild", "--part", "words", "--swap", code=FAILED).stdout
    )
    assert filled.json("index", "rebuild")["equal"] is True


def test_what_is_wrong_is_told(cli: Cli, tmp_path: Path) -> None:
    assert cli("index", "status").stdout == cli("index", "rebuild").stdout == "none\n"
    assert "no knowledge base 'absent'" in cli.fails("index", "rebuild", "--kb", "absent")
    assert "no tenant" in cli.fails("index", "embed", "--tenant", "nobody")
    (tmp_path / "tenfold.toml").write_text('[retrieval]\nembedder = "text-embedding-3-small"\n')
    assert "serving processes do" in cli.fails("index", "embed", code=MISUSED)
    cli.environment["TENFOLD_DATABASE_URL"] = NOBODY
    cli.fails("index", "status", code=DATABASE_AWAY)
