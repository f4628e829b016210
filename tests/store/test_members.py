"""Processes that share a database know how many they are, and who has gone."""

import pytest

from tenfold.core.errors import StoreUnavailable
from tenfold.store import Members, Store
from tests.support.postgres import PostgresServer


async def age(store: Store, members: Members, seconds: float) -> None:
    """As if the member had been silent for so long."""
    async with store.directory() as tx:
        await tx.execute(
            "UPDATE members SET seen_at = now() - make_interval(secs => $2) WHERE id = $1", members.id, seconds
        )


async def test_each_sees_the_others(store: Store) -> None:
    first, second = Members(store), Members(store)
    await first.join()
    await second.join()
    assert (first.alive, second.alive) == (1, 2)
    await first.join()
    assert first.alive == 2
    await second.leave()
    await first.join()
    assert first.alive == 1


async def test_a_silent_one_does_not_count_and_is_dead_in_the_end(store: Store) -> None:
    first, second = Members(store), Members(store)
    await first.join()
    await second.join()
    await age(store, second, 15)
    await first.join()
    assert first.alive == 1
    assert await first.dead() == []
    await age(store, second, 61)
    assert await first.dead() == [second.id]
    assert await first.dead(after_s=100) == []
    await first.remove(second.id)
    assert await first.dead() == []


async def test_one_that_wakes_again_is_alive(store: Store) -> None:
    first, second = Members(store), Members(store)
    await second.join()
    await age(store, second, 61)
    await second.join()
    await first.join()
    assert first.alive == 2
    assert await first.dead() == []


async def test_it_never_counts_less_than_itself(store: Store) -> None:
    assert Members(store).alive == 1


async def test_without_the_database_it_says_so(postgres_server: PostgresServer) -> None:
    dsn = await postgres_server.create()
    store = await Store.open(dsn)
    try:
        members = Members(store)
        await members.join()
        await postgres_server.drop(dsn)
        with pytest.raises(StoreUnavailable):
            await members.join()
        assert members.alive == 1
    finally:
        await store.aclose()
