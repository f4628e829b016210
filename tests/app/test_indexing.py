"""A model behind a provider takes over from the bundled one: on the real path of a call, at the tenant's expense."""

import asyncio
from array import array
from base64 import b64encode

import pytest
from msgspec import json

from tenfold.access.handlers import Tenants
from tenfold.access.queries import PostgresAccessRows
from tenfold.app import indexing
from tenfold.app.indexing import Indexing
from tenfold.core.clock import SystemClock
from tenfold.core.errors import UpstreamUnavailable
from tenfold.edge.dialects.openai.dialect import OpenAIDialect
from tenfold.providers.transport.fake import FakeReply, FakeRequest
from tenfold.retrieval.fake import FakeEmbedder
from tenfold.retrieval.index.keeping import statuses
from tenfold.retrieval.library import Library
from tenfold.retrieval.types import SourceDocument
from tenfold.store import Store
from tests.retrieval.conftest import new_tenant
from tests.support.pipeline import INPUT_NANO, World

TOKENS = 1_000  # of each request, whatever is in it


class Upstream:
    """Embeds like the fake does, unless it is `away`."""

    def __init__(self) -> None:
        self.away = False
        self._model = FakeEmbedder(dimensions=128)

    def __call__(self, request: FakeRequest) -> FakeReply:
        if self.away:
            raise UpstreamUnavailable("The provider is away.")
        body = json.decode(request.body)
        vectors = [array("f", self._model.vector(text)).tobytes() for text in body["input"]]
        data = [{"index": n, "embedding": b64encode(vector).decode()} for n, vector in enumerate(vectors)]
        usage = {"prompt_tokens": TOKENS, "total_tokens": TOKENS}
        return FakeReply(body=json.encode({"object": "list", "data": data, "model": "m-1", "usage": usage}))


async def test_it_takes_over_in_the_background_and_the_tenant_pays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = Upstream()
    world = World({"openai": upstream}, policy="never")
    offline = FakeEmbedder(dimensions=64)
    one, other = await new_tenant(store, "one"), await new_tenant(store, "other")
    for tenant in (one, other):
        library = Library(store, offline)
        await library.ingest(tenant, "kb", [SourceDocument(id=f"d{n}", text=f"Zebra number {n}.") for n in range(3)])
        await library.embed(tenant, "kb")

    monkeypatch.setattr(indexing, "EVERY_S", 0.01)
    tenants = Tenants(PostgresAccessRows(store), SystemClock())
    made = Indexing(store, tenants, world.pipeline, OpenAIDialect(), offline=offline, embedder="m")
    [(_, work)] = made.tasks()
    task = asyncio.create_task(work)
    try:
        async with asyncio.timeout(30):
            while list(made.figures()) != [("tenfold_vectors_made_anew_total", (), 6)]:
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    library = Library(store, made.embedders)
    for tenant in (one, other):
        [passage] = await library.search(tenant, "kb", "zebra number 2", 1)
        assert passage.document_id == "d2"
    calls = world.outcomes.calls
    # Unrelated texts once, then the passages and a question of each.
    assert [call.principal.tenant_slug for call in calls] == ["one", "one", "other", "one", "other"]
    assert {(call.options.feature, call.cost_nano) for call in calls} == {("retrieval", TOKENS * INPUT_NANO)}
    world.assert_settled()
    [status] = await statuses(store, other, made.embedders)
    assert (status.embedder, status.state) == ("model:m", "ready")

    upstream.away = True
    assert len(await library.search(one, "kb", "zebra", 3)) == 3  # by words
