"""The health of all targets of a process, and how processes share which breakers are open: within a second, by rows of
the database, never on the path of a call. While the database is away each process goes by what it finds itself.
"""

import asyncio
import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from uuid import UUID

from msgspec.structs import replace

from tenfold.core.errors import StoreUnavailable
from tenfold.core.ids import TenantId, uuid7
from tenfold.health.breaker import DEFAULT_POLICY, TargetHealth
from tenfold.health.keys import KeyHealth
from tenfold.health.ports import BreakerRows
from tenfold.health.shaper import MAX_LIMIT, Shaper
from tenfold.health.types import BreakerPolicy, HealthView, SharedState

logger = logging.getLogger(__name__)

AGAIN_S = 0.5  # after the database was away
_LEVELS = {"closed": 0, "half_open": 1, "open": 2}

Figures = Iterator[tuple[str, tuple[tuple[str, str], ...], float]]
"""Metric, labels, value."""


class Healths:
    """`of` a provider's model; `hear` as the follower of `queries.TOPIC`, and `run` until cancelled. Without `rows`
    nothing is shared, and `run` has nothing to do."""

    def __init__(
        self,
        rows: BreakerRows | None = None,
        holder: UUID | None = None,
        *,
        policy: BreakerPolicy = DEFAULT_POLICY,
        now: Callable[[], float] = time.perf_counter,
        dice: Callable[[], float] = random.random,
    ) -> None:
        """`now`: the clock of the targets' `now`."""
        self._rows = rows
        self._holder = holder or uuid7()
        self._policy = policy
        self._now = now
        self._dice = dice
        self._targets: dict[tuple[str, str], TargetHealth] = {}
        self._shapers: dict[tuple[str, str], Shaper] = {}
        self._keys: dict[tuple[str, str], dict[str, KeyHealth]] = {}
        self._changed: dict[TargetHealth, None] = {}  # here, and not told yet; in order
        self._seen: dict[tuple[str, str], UUID] = {}  # the change that was adopted, or told, last
        self._is_old = True  # what was read
        self._wake = asyncio.Event()

    def of(self, provider: str, model: str, policy: BreakerPolicy | None = None) -> TargetHealth:
        """One for each provider and model as the provider names it. `policy` counts when it is asked for first."""
        target = self._targets.get((provider, model))
        if target is None:
            target = self._targets[provider, model] = TargetHealth(
                policy or self._policy, provider=provider, model=model, changed=self._note, dice=self._dice
            )
            self.hear()
        return target

    def of_key(self, provider: str, model: str, key: str) -> KeyHealth:
        """The same as seen by one of several keys: one for each, also called as in `shaper`."""
        keys = self._keys.setdefault((provider, model), {})
        if key not in keys:
            keys[key] = KeyHealth(self.of(provider, model))
        return keys[key]

    def shaper(self, provider: str, key: str, max_limit: int = MAX_LIMIT) -> Shaper:
        """One for each key of a provider. `key` is what people call it, and is told in metrics: never the secret."""
        shaper = self._shapers.get((provider, key))
        if shaper is None:
            shaper = self._shapers[provider, key] = Shaper(max_limit, now=self._now)
        return shaper

    def shapers(self) -> list[tuple[str, str, Shaper]]:
        """Provider, key, and its shaper, in the order of their first use."""
        return [(provider, key, shaper) for (provider, key), shaper in self._shapers.items()]

    def views(self) -> list[HealthView]:
        now = self._now()
        return [self._view(at, target, now) for at, target in sorted(self._targets.items())]

    def _view(self, at: tuple[str, str], target: TargetHealth, now: float) -> HealthView:
        """It rests where all its keys do."""
        view, keys = target.view(now), self._keys.get(at)
        if keys is None:
            return view
        return replace(view, rests_s=max(0.0, min(key.rests_until for key in keys.values()) - now))

    def figures(self) -> Figures:
        process = ("process", str(os.getpid()))  # states of processes do not add up
        in_flight: dict[str, int] = {}
        for view in self.views():
            labels = (("provider", view.provider), ("model", view.model))
            yield "tenfold_breaker_state", (*labels, process), _LEVELS[view.state]
            yield "tenfold_breaker_opened_total", labels, view.opened_total
            in_flight[view.provider] = in_flight.get(view.provider, 0) + view.in_flight
        for provider, calls in in_flight.items():
            yield "tenfold_provider_in_flight", (("provider", provider),), calls
        for (provider, key), shaper in self._shapers.items():
            yield "tenfold_provider_concurrency_limit", (("provider", provider), ("key", key)), shaper.limit

    # -- sharing -----------------------------------------------------------------------------

    def hear(self, _tenant_id: TenantId | None = None) -> None:
        """Some breaker has changed in some process."""
        self._is_old = True
        self._wake.set()

    async def run(self) -> None:
        while self._rows is not None:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self.sync()
            except StoreUnavailable as error:
                logger.info("breakers are not shared, the database is away: %s", error.message)
                await asyncio.sleep(AGAIN_S)
                self._wake.set()

    async def sync(self) -> None:
        """Tell what changed here, then adopt what changed elsewhere. Raises StoreUnavailable, and then the next one
        tells what is true by then."""
        rows = self._rows
        if rows is None:
            return
        await self._write(rows)
        if self._is_old:
            self._is_old = False
            try:
                states = await rows.read()
            except BaseException:
                self._is_old = True
                raise
            for state in states:
                self._adopt(state)

    async def _write(self, rows: BreakerRows) -> None:
        changed, self._changed = self._changed, {}
        now = self._now()
        states = [state for target in changed if (state := self._shared(target, now)) is not None]
        if not states:
            return
        try:
            await rows.write(states)
        except BaseException:
            self._changed = changed | self._changed
            raise
        for state in states:
            self._seen[state.provider, state.model] = state.change_id

    def _shared(self, target: TargetHealth, now: float) -> SharedState | None:
        left_s = target.open_left_s(now)
        if target.state != "closed" and left_s <= 0:
            return None  # it is being probed by now: open no more, and not closed yet
        return SharedState(
            provider=target.provider,
            model=target.model,
            state="closed" if target.state == "closed" else "open",
            holder=self._holder,
            change_id=uuid7(),
            left_s=left_s,
        )

    def _adopt(self, state: SharedState) -> None:
        key = state.provider, state.model
        target = self._targets.get(key)
        if target is None or target in self._changed or self._seen.get(key) == state.change_id:
            return
        self._seen[key] = state.change_id
        if state.holder == self._holder:
            return  # written, though it did not seem so: it is known here, and perhaps over
        if state.state == "open":
            target.adopt_open(self._now(), state.left_s)
        else:
            target.adopt_closed(self._now())

    def _note(self, target: TargetHealth) -> None:
        self._changed[target] = None
        self._wake.set()
        logger.warning("the breaker of %s, %s is %s", target.provider, target.model, target.state)
