"""The path of a plain call runs no database query: keys, prices, routes and budgets are known, receipts go later."""

import asyncio
from pathlib import Path

import pytest

from tenfold.access.handlers import ApiKeys, Tenants
from tenfold.access.keyring import Keyring
from tenfold.access.queries import PostgresAccessRows
from tenfold.app.telemetry.feed import CallFeed
from tenfold.core.call import Call
from tenfold.core.clock import SystemClock
from tenfold.core.ids import uuid7
from tenfold.core.write_batch import WriteBatch
from tenfold.inference.authenticate import authenticate
from tenfold.inference.idempotent import Idempotency
from tenfold.inference.lookup import Lookup
from tenfold.inference.pipeline import Pipeline
from tenfold.ledger.idempotency.queries import PostgresIdempotencyRows
from tenfold.ledger.journal import Journal
from tenfold.ledger.queries import PostgresReceiptRows
from tenfold.ledger.receipts import ReceiptWriter
from tenfold.store import Store
from tests.support.admission import FreeAdmission
from tests.support.pipeline import DIALECTS, Client, World, asking, streamed, whole

NEVER_S = 3600.0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_plain_call_runs_no_query(store: Store, tmp_path: Path, stream: bool) -> None:
    rows, clock = PostgresAccessRows(store), SystemClock()
    keys = ApiKeys(rows, Tenants(rows, clock), clock)
    await keys.install_key("acme", "tf-a-key-of-32-characters-at-least")
    answer = streamed("openai") if stream else whole("openai")
    world = World({"openai": [answer] * 3})
    journal = Journal.open(tmp_path, uuid7(), WriteBatch(asyncio.get_running_loop()), clock)
    receipts = ReceiptWriter(PostgresReceiptRows(store), journal, clock)
    admission = FreeAdmission(journal=receipts)
    feed = CallFeed([])
    pipeline = Pipeline(
        admit=admission.admit,
        router=world.router,
        lookup=Lookup(world.cache, "deterministic"),
        sink=feed,
        idempotency=Idempotency(PostgresIdempotencyRows(store), uuid7()),
    )

    async with Keyring(rows, clock, poll_s=NEVER_S) as keyring:

        async def call(body: bytes) -> Client:
            principal = await authenticate(keyring, b"Bearer tf-a-key-of-32-characters-at-least", None)
            client = Client()
            made = Call(principal=principal, operation="chat", dialect="openai", body=body)
            await pipeline.serve(made, DIALECTS["openai"], client)
            return client

        await call(asking("openai"))
        known = store.queries_run
        for body in (asking("openai", stream=stream), asking("openai", stream=stream, temperature=0)):
            assert (await call(body)).status == 200
        assert (await call(asking("openai", stream=stream, temperature=0))).headers["tenfold-cache"].startswith("hit")
        feed.flush()
        assert store.queries_run == known

        await receipts.flush()
        assert receipts.written == 4
    await receipts.drain()
