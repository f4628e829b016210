"""The clients of a run, against the scripted provider itself: it has no ledger, so that a retry is a second call."""

import asyncio
from pathlib import Path

from tenfold.app.chaos.bill import Bill, read_bill
from tenfold.app.chaos.cast import CLIENT_MODELS, EITHER, MODELS, configuration, tenants
from tenfold.app.chaos.load import Load, Person, counts
from tenfold.app.chaos.provider import ScriptedProvider
from tenfold.app.settings import load

PEOPLE = [Person(tenant=tenant, keys=("secret-0", "secret-1")[: tenant.keys]) for tenant in tenants(20)]


async def test_everything_that_was_sent_is_known(tmp_path: Path) -> None:
    bill = Bill(tmp_path / "bill")
    server = await ScriptedProvider(bill, seed=3, stall_s=0.01).start()
    clients = Load(port=server.sockets[0].getsockname()[1], people=PEOPLE, seed=3, clients=16)
    running = asyncio.create_task(clients.run())
    while len(clients.sent) < 400:
        await asyncio.sleep(0.01)
    clients.stop()
    await running
    server.close()
    await server.wait_closed()
    bill.close()

    known = {sent.operation: sent for sent in clients.sent}
    lines = list(read_bill(tmp_path / "bill"))
    assert {line.operation for line in lines} <= known.keys()
    assert all(line.tenant == known[line.operation].tenant for line in lines)
    assert {sent.kind for sent in clients.sent} == {"plain", "left", "keyed", "same"}
    assert {sent.model for sent in clients.sent} == set(CLIENT_MODELS)
    assert all((sent.idempotency_key is not None) == (sent.kind == "keyed") for sent in clients.sent)
    fates = counts(clients.sent)
    assert fates["answered"] > 100
    assert fates["cut"]
    assert fates["failed"]
    assert fates["lost"]


async def test_a_server_that_is_away_loses_calls_and_nothing_else() -> None:
    clients = Load(port=1, people=PEOPLE, seed=3, clients=2)
    running = asyncio.create_task(clients.run())
    while len(clients.sent) < 10:
        await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait([running])
    assert set(counts(clients.sent)) == {"lost"}


def test_the_configuration_is_one(tmp_path: Path) -> None:
    file = tmp_path / "tenfold.toml"
    file.write_text(configuration(8000), encoding="utf-8")
    settings = load(file, tmp_path, {})
    assert {name: str(entry.price.input) for name, entry in settings.models.items() if entry.price} == {
        model.name: model.input for model in MODELS
    }
    assert [target.upstream for target in settings.models[EITHER].targets] == [model.name for model in MODELS]
    assert settings.providers["openai"].usage_lookup == "/usage/{request_id}"


def test_the_cast_meets_every_kind_of_budget() -> None:
    kinds = {budget.per for tenant in tenants(60) for budget in tenant.budgets if budget.hard}
    assert kinds == {"tenant", "key", "feature", "endpoint", "model", "run"}
