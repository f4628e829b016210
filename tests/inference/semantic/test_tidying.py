"""Rows that are good for nothing go, and what fails is done the next time."""

import asyncio
from datetime import timedelta

import pytest

from tenfold.cache.grounds import Document
from tenfold.core.errors import StoreUnavailable
from tenfold.inference.semantic import tidying
from tenfold.inference.semantic.tidying import Tidying
from tests.inference.semantic.world import REFUND, SemanticWorld, resting_on

OLD = Document("handbook", "refunds.md", "v1")


@pytest.fixture
async def world() -> SemanticWorld:
    """One in which an answer is kept that rests on what has changed since."""
    world = SemanticWorld()
    world.fake_rows.documents[world.principal.tenant_id] = {OLD}
    for _ in range(2):
        await world.say(REFUND, resting_on(OLD))
    world.fake_rows.documents[world.principal.tenant_id] = set()
    return world


def tidying_of(world: SemanticWorld) -> Tidying:
    return Tidying(world.rows, world.clock, keep_unused=timedelta(days=1))


async def entries(world: SemanticWorld) -> int:
    scopes = await world.rows.page(world.principal.tenant_id, before=None, limit=10)
    return sum(scope.status.entries for scope in scopes)


async def test_stale_entries_go_once_the_change_is_heard(world: SemanticWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tidying, "_GATHER_S", 0.0)
    tidy = tidying_of(world)
    running = asyncio.create_task(tidy.run())
    tidy.forget(None)
    await asyncio.sleep(0)
    assert await entries(world) == 1
    tidy.forget(world.principal.tenant_id)
    while await entries(world):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_database_that_is_away_is_asked_again(world: SemanticWorld) -> None:
    tidy = tidying_of(world)
    world.fake_rows.fails = StoreUnavailable("away")
    tidy.forget(world.principal.tenant_id)
    await tidy.drop_stale()
    await tidy.expire()
    world.fake_rows.fails = None
    assert await entries(world) == 1
    await tidy.drop_stale()
    assert await entries(world) == 0


async def test_what_nobody_uses_goes(world: SemanticWorld) -> None:
    tidy = tidying_of(world)
    await tidy.expire()
    assert await entries(world) == 1
    world.clock.advance(2 * 86_400)
    await tidy.expire()
    assert await world.rows.page(world.principal.tenant_id, before=None, limit=10) == []


async def test_what_is_quiet_is_followed_no_longer(world: SemanticWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenfold.cache.semantic.keeping._QUIET_S", -1.0)
    assert len(world.semantic.scopes) == 1
    await world.semantic.scopes.catch_up()
    assert len(world.semantic.scopes) == 0
    await world.semantic.aclose()
