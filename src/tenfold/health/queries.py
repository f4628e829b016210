"""The SQL of shared breakers. Whoever writes tells every process in the same transaction."""

from collections.abc import Sequence

from tenfold.health.types import SharedState
from tenfold.store import Store, tell_change

TOPIC = "breakers"

_WRITE = """
INSERT INTO breaker_states (provider, model, state, holder, change_id, changed_at, until)
VALUES ($1, $2, $3, $4, $5, clock_timestamp(), clock_timestamp() + make_interval(secs => $6))
ON CONFLICT (provider, model) DO UPDATE SET
    state = excluded.state, holder = excluded.holder, change_id = excluded.change_id,
    changed_at = excluded.changed_at, until = excluded.until
"""
_READ = """
SELECT provider, model, state, holder, change_id,
       extract(epoch FROM until - clock_timestamp())::float8 AS left_s
FROM breaker_states ORDER BY provider, model
"""


class PostgresBreakerRows:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def write(self, states: Sequence[SharedState]) -> None:
        # In one order, so that two processes that write the same rows cannot wait for each other.
        ordered = sorted(states, key=lambda state: (state.provider, state.model))
        async with self._store.directory() as tx:
            await tx.executemany(
                _WRITE,
                [
                    (state.provider, state.model, state.state, state.holder, state.change_id, state.left_s)
                    for state in ordered
                ],
            )
            await tell_change(tx, TOPIC, None)

    async def read(self) -> list[SharedState]:
        async with self._store.directory(readonly=True) as tx:
            return [SharedState(**dict(row)) for row in await tx.fetch(_READ)]
