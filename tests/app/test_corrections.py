"""Receipts that stand on an estimate are put right by what providers tell, in patience, and never by a guess."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec import json

from tenfold.app.corrections import AFTER_S, PATIENCE, SWEEP_S, Corrections
from tenfold.core.clock import FakeClock
from tenfold.core.errors import InvalidRequest, StoreUnavailable, UpstreamUnavailable
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.usage import Usage
from tenfold.inference.route import Route, Target
from tenfold.ledger.prices import Cost
from tenfold.ledger.prices import Quote as ListQuote
from tenfold.ledger.reports.types import Counted
from tenfold.providers.http import HttpProvider
from tenfold.providers.openai import OpenAIWire
from tenfold.providers.transport.fake import FakeReply, FakeRequest, FakeTransport

ACME = TenantId(uuid7())
USED = Usage(input_tokens=10, output_tokens=3)
TOLD = FakeReply(body=json.encode({"usage": {"prompt_tokens": 10, "completion_tokens": 3}}))
NEVER = FakeReply(status=404, body=b'{"error": {"code": "request_not_found"}}')
NOT_YET = FakeReply(status=409, body=b"{}")
COST = Cost(input_nano=10_000, output_nano=6_000, total_nano=16_000)
FREE = Cost(input_nano=0, output_nano=0, total_nano=0)


class Price:
    def __init__(self, factor: int = 1) -> None:
        self._quote = ListQuote.from_usd_per_million(input=factor, output=2 * factor)

    def quote(self, at: datetime) -> ListQuote:
        return self._quote


class FakeEstimates:
    """Receipts in memory. `refuses`: raised in place of the next correction. `too_late`: others have made them all."""

    def __init__(self) -> None:
        self.receipts: list[Counted] = []
        self.corrections: dict[UUID, tuple[Usage, Cost, str]] = {}
        self.refuses: Exception | None = None
        self.too_late = False
        self.asked = 0

    async def estimated(self, tenant_id: TenantId, *, since: datetime, until: datetime, limit: int) -> list[Counted]:
        self.asked += 1
        left = [
            receipt
            for receipt in sorted(self.receipts, key=lambda receipt: receipt.at)
            if receipt.tenant_id == tenant_id and receipt.id not in self.corrections and since <= receipt.at < until
        ]
        return left[:limit]

    async def correct(self, receipt: Counted, usage: Usage, cost: Cost, source: str) -> bool:
        if self.refuses is not None:
            refuses, self.refuses = self.refuses, None
            raise refuses
        if self.too_late:
            return False
        self.corrections[receipt.id] = usage, cost, source
        return True


class World:
    """Corrections between a scripted provider and receipts in memory. `scripts`: one for each target, by name."""

    def __init__(self, **scripts: Callable[[FakeRequest], FakeReply] | list[FakeReply]) -> None:
        self.clock = FakeClock()
        self.estimates = FakeEstimates()
        self.transports = {name: FakeTransport(script) for name, script in scripts.items()}
        self.all_tenants = sorted([ACME, TenantId(uuid7())])
        targets = tuple(
            Target(
                provider=HttpProvider(name, OpenAIWire(), transport, None, "/models", _lookup(name)),
                upstream_model="m",
                prices=Price(number + 1),
            )
            for number, (name, transport) in enumerate(self.transports.items())
        )
        self.corrections = Corrections(
            estimates=self.estimates,
            tenants=self,
            routes=[Route(model="m", targets=targets)],
            clock=self.clock,
        )

    async def tenants(self, *, limit: int, after: TenantId | None = None) -> list[TenantId]:
        """One a page."""
        return [tenant_id for tenant_id in self.all_tenants if after is None or tenant_id > after][:1]

    def add(self, **changes: Any) -> Counted:
        """An estimate of a call that began just now."""
        receipt = counted(at=self.clock.now(), **changes)
        self.estimates.receipts.append(receipt)
        self.corrections.note(receipt.tenant_id)
        return receipt

    async def later(self, seconds: float) -> None:
        self.clock.advance(seconds)
        await self.corrections.round()

    @property
    def looked_up(self) -> list[str]:
        return [request.path for transport in self.transports.values() for request in transport.requests]


def _lookup(name: str) -> str | None:
    return None if name.startswith("silent") else "/usage/{request_id}"


def counted(*, at: datetime, **changes: Any) -> Counted:
    facts: dict[str, Any] = {
        "tenant_id": ACME,
        "id": uuid7(),
        "at": at,
        "key_id": None,
        "operation": "chat",
        "client_dialect": "openai",
        "provider": "p",
        "model_asked": "m",
        "model_used": "m",
        "status": "cut",
        "http_status": 200,
        "error_code": None,
        "stream": True,
        "cache": "bypass",
        "latency_ms": 1,
        "first_byte_ms": 1,
        "estimated": True,
        "corrected": False,
        "input_tokens": 99,
        "output_tokens": 99,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "reasoning_tokens": 0,
        "input_nano": 1,
        "output_nano": 1,
        "total_nano": 2,
        "feature": None,
        "task": None,
        "end_user": None,
        "run": None,
    }
    return Counted(**facts | changes)


async def test_an_estimate_becomes_what_the_provider_tells() -> None:
    world = World(p=[TOLD])
    receipt = world.add()
    await world.later(AFTER_S)
    assert world.estimates.corrections == {receipt.id: (USED, COST, "provider")}
    assert world.looked_up == [f"/usage/req_{receipt.id.hex}"]
    assert (world.corrections.corrected, world.corrections.never_served, world.corrections.waiting) == (1, 0, 0)


async def test_a_call_that_never_reached_the_provider_costs_nothing() -> None:
    world = World(p=[NEVER])
    receipt = world.add()
    await world.later(AFTER_S)
    assert world.estimates.corrections == {receipt.id: (Usage(), FREE, "provider")}
    assert (world.corrections.corrected, world.corrections.never_served) == (1, 1)


async def test_nobody_is_asked_too_early() -> None:
    world = World(p=[TOLD])
    world.add()
    await world.later(AFTER_S - 0.1)
    assert world.looked_up == []
    await world.later(1.5)
    assert len(world.estimates.corrections) == 1


@pytest.mark.parametrize(
    "answer", [NOT_YET, FakeReply(status=404), FakeReply(status=500), FakeReply(error=UpstreamUnavailable("gone"))]
)
async def test_a_provider_that_does_not_tell_is_asked_again_with_pauses(answer: FakeReply) -> None:
    world = World(p=[answer, answer, TOLD])
    receipt = world.add()
    await world.later(AFTER_S)
    assert (len(world.looked_up), world.corrections.unanswered, world.corrections.waiting) == (1, 1, 1)
    await world.later(1.0)
    assert len(world.looked_up) == 1
    await world.later(1.5)
    assert len(world.looked_up) == 2
    await world.later(2.5)
    assert len(world.looked_up) == 2
    await world.later(2.0)
    assert world.estimates.corrections == {receipt.id: (USED, COST, "provider")}
    assert (world.corrections.unanswered, world.corrections.waiting, world.corrections.given_up) == (2, 0, 0)


async def test_after_a_day_it_stays_an_estimate() -> None:
    world = World(p=lambda _request: NOT_YET)
    world.add()
    for _ in range(int(PATIENCE / timedelta(minutes=10))):
        await world.later(600)
    assert (world.corrections.given_up, world.corrections.waiting) == (1, 0)
    assert world.estimates.corrections == {}
    assert len(world.looked_up) < 120
    asked = len(world.looked_up)
    await world.later(3600)
    assert len(world.looked_up) == asked


async def test_a_source_that_tells_what_cannot_be_is_not_believed() -> None:
    world = World(p=[TOLD, TOLD])
    world.add()
    world.estimates.refuses = InvalidRequest("beyond any call")
    await world.later(AFTER_S)
    assert (world.corrections.unanswered, world.estimates.corrections) == (1, {})
    await world.later(5)
    assert len(world.estimates.corrections) == 1


async def test_another_process_was_faster() -> None:
    world = World(p=[TOLD])
    world.add()
    world.estimates.too_late = True
    await world.later(AFTER_S)
    assert (world.corrections.corrected, world.corrections.waiting) == (0, 0)


# -- several targets


async def test_every_attempt_that_may_have_been_made_is_asked_about() -> None:
    """The process died: nobody knows how far along its route the call was."""
    world = World(p=[TOLD], q=[TOLD])
    receipt = world.add(provider=None, model_used=None)
    await world.later(AFTER_S)
    assert world.looked_up == [f"/usage/req_{receipt.id.hex}", f"/usage/req_{receipt.id.hex}-1"]
    usage, cost, _ = world.estimates.corrections[receipt.id]
    assert usage == Usage(input_tokens=20, output_tokens=6)
    assert cost.total_nano == COST.total_nano + 2 * COST.total_nano  # q is twice as dear


async def test_attempts_after_the_one_that_served_were_not_made() -> None:
    world = World(p=[TOLD], q=[TOLD])
    receipt = world.add(provider="p", attempts=1)
    await world.later(AFTER_S)
    assert world.looked_up == [f"/usage/req_{receipt.id.hex}"]


async def test_attempts_before_the_one_that_served_may_have_been_billed() -> None:
    world = World(p=[NEVER], q=[TOLD])
    receipt = world.add(provider="q")
    await world.later(AFTER_S)
    assert world.estimates.corrections[receipt.id][1].total_nano == 2 * COST.total_nano
    assert world.corrections.never_served == 0


async def test_one_attempt_that_is_not_told_of_leaves_the_whole() -> None:
    world = World(p=[TOLD], q=[NOT_YET])
    world.add(provider="q")
    await world.later(AFTER_S)
    assert world.estimates.corrections == {}


@pytest.mark.parametrize(
    "changes",
    [{"provider": "silent"}, {"provider": None, "model_used": None}, {"model_asked": "gone"}, {"provider": "gone"}],
)
async def test_what_cannot_be_told_stays_an_estimate(changes: dict[str, Any]) -> None:
    world = World(p=lambda _request: TOLD, silent=[])
    world.add(**changes)
    await world.later(AFTER_S)
    assert world.estimates.corrections == {}
    assert world.looked_up == []
    asked = world.estimates.asked
    await world.later(5)
    assert world.estimates.asked == asked  # nothing to come back for


# -- where to look


async def test_what_nobody_noted_is_found_by_the_sweep() -> None:
    world = World(p=lambda _request: TOLD)
    await world.later(0)
    world.estimates.receipts.append(counted(at=world.clock.now()))
    await world.later(SWEEP_S - 1)
    assert world.estimates.corrections == {}
    await world.later(1)
    assert len(world.estimates.corrections) == 1


async def test_a_process_that_died_makes_the_sweep_come_at_once() -> None:
    world = World(p=lambda _request: TOLD)
    await world.later(0)
    world.estimates.receipts.append(counted(at=world.clock.now(), provider=None))
    await world.corrections.died(uuid7())
    await world.later(AFTER_S)
    assert len(world.estimates.corrections) == 1


async def test_a_long_list_is_gone_through() -> None:
    world = World(p=lambda request: TOLD)
    for number in range(250):
        world.estimates.receipts.append(counted(at=world.clock.now() + timedelta(milliseconds=number)))
    await world.later(AFTER_S + 1)
    assert len(world.estimates.corrections) == 250


async def test_those_that_wait_do_not_hold_up_the_others() -> None:
    stuck: set[str] = set()
    world = World(p=lambda request: NOT_YET if request.path in stuck else TOLD)
    for number in range(150):
        receipt = counted(at=world.clock.now() + timedelta(milliseconds=number))
        world.estimates.receipts.append(receipt)
        if number < 120:
            stuck.add(f"/usage/req_{receipt.id.hex}")
    await world.later(AFTER_S + 1)
    assert len(world.estimates.corrections) == 30
    assert world.corrections.waiting == 120


async def test_an_absent_database_forgets_nothing() -> None:
    world = World(p=[TOLD, TOLD])
    receipt = world.add()
    world.estimates.refuses = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        await world.later(AFTER_S)
    await world.later(AFTER_S)
    assert receipt.id in world.estimates.corrections


async def test_without_a_provider_that_tells_there_is_nothing_to_run() -> None:
    world = World(silent=[])
    assert not world.corrections.possible
    await world.corrections.run()
