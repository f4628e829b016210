"""Jobs in memory: the part of their workers."""

from collections.abc import Callable, Collection
from datetime import timedelta
from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.jobs.fake_table import Entry, FakeJobTable, TurnOf, Worker
from tenfold.jobs.rules import Turn, aged_among, allot, follow_up
from tenfold.jobs.types import AGED_S, MAX_CRASHES, SUSPECT_S, Held, QueueState, Result, Room, Work


class FakeClaims(FakeJobTable):
    async def claim(self, holder: UUID, kinds: Collection[str], *, limit: int, room: Room | None = None) -> list[Work]:
        await self._reach()
        ready: dict[TenantId, list[Entry]] = {}
        suspects = self._suspects(holder, kinds)
        for one in self._jobs.values():
            if one.waits and one.due and one.new.kind in kinds and not self._is_behind(one):
                ready.setdefault(one.tenant_id, []).append(one)
        turns = []
        for tenant_id, waiting in ready.items():
            turn = self._turns.setdefault(tenant_id, TurnOf())
            left = limit if room is None else room.left(tenant_id)
            turns.append(
                Turn(tenant_id=tenant_id, turn=turn.turn, weight=turn.weight, ready=min(len(waiting), max(left, 0)))
            )
        before = self._turn_clock
        allotted, self._turn_clock = allot(turns, clock=before, limit=limit - len(suspects))
        taken: list[Entry] = []
        for tenant_id, count in allotted.items():
            turn = self._turns[tenant_id]
            taken += self._first(ready[tenant_id], count, aged_among(turn.claimed, count))
            turn.turn = max(turn.turn, before) + count / turn.weight
            turn.claimed += count
        taken += suspects
        for one in taken:
            self._begin(one, holder)
        return [self._work(one) for one in sorted(taken, key=lambda one: (-one.new.priority, one.new.id))]

    def _suspects(self, holder: UUID, kinds: Collection[str]) -> list[Entry]:
        """The one that may begin now."""
        now = self._clock.now()
        mine = [one for one in self._jobs.values() if one.state == "running" and one.holder == holder]
        if any(
            one.is_suspect and one.started_at and one.started_at > now - timedelta(seconds=SUSPECT_S) for one in mine
        ):
            return []
        waiting = [
            one
            for one in self._jobs.values()
            if one.waits and one.is_suspect and one.run_at <= now and one.new.kind in kinds and not self._is_behind(one)
        ]
        return sorted(waiting, key=lambda one: one.run_at)[:1]

    def _first(self, ready: list[Entry], count: int, most_aged: int) -> list[Entry]:
        old = self._clock.now() - timedelta(seconds=AGED_S)
        longest = sorted((one for one in ready if one.run_at <= old), key=lambda one: (one.run_at, one.new.id))
        aged = longest[:most_aged]
        usual = sorted((one for one in ready if one not in aged), key=lambda one: (-one.new.priority, one.new.id))
        return aged + usual[: count - len(aged)]

    def _is_behind(self, one: Entry) -> bool:
        return one.new.order_key is not None and any(
            other.state in ("queued", "running")
            and other.new.order_key == one.new.order_key
            and (other.new.id < one.new.id or other.state == "running")
            for other in self._of(one.tenant_id)
            if other is not one
        )

    async def work(self, tenant_id: TenantId, job_id: UUID, holder: UUID) -> Work | None:
        await self._reach()
        one = self._jobs.get((tenant_id, job_id))
        return self._work(one) if one is not None and one.state == "running" and one.holder == holder else None

    async def held(self, holder: UUID) -> list[Held]:
        await self._reach()
        return [
            Held(tenant_id=at[0], job_id=at[1], fence=one.fence, cancel_requested=one.cancel_requested)
            for at, one in self._jobs.items()
            if one.state == "running" and one.holder == holder
        ]

    async def beat(self, holder: UUID, *, slots: int, busy: int, ended: int) -> QueueState:
        await self._reach()
        now_s = self._clock.monotonic_s()
        last = self._workers.get(holder)
        rate = 0.0
        if last is not None:
            rate = last.ended_per_s
            if now_s > last.seen_s:
                rate = max(0, ended - last.ended) / (now_s - last.seen_s)
        self._workers[holder] = Worker(slots=slots, ended=ended, ended_per_s=rate, seen_s=now_s)
        for one in self._jobs.values():
            if one.waits and not one.due and not one.is_suspect and one.run_at <= self._clock.now():
                one.due = True
                self.on_ready()
        return self._state(None)

    async def leave(self, holder: UUID) -> None:
        await self._reach()
        self._workers.pop(holder, None)
        for one in self._jobs.values():
            if one.state == "running" and one.holder == holder:
                self._free(one)

    async def take_over(self, *, dead_after_s: float, then: Callable[[str], str | None]) -> int:
        await self._reach()
        now_s = self._clock.monotonic_s()
        holders = {one.holder for one in self._jobs.values() if one.state == "running" and one.holder is not None}
        self._orphans = {of: self._orphans.get(of, now_s) for of in holders - self._workers.keys()}
        silent = [of for of, since_s in self._orphans.items() if now_s - since_s >= dead_after_s]
        for worker in [of for of, one in self._workers.items() if now_s - one.seen_s >= dead_after_s]:
            del self._workers[worker]
            silent.append(worker)
        lost = [one for one in self._jobs.values() if one.state == "running" and one.holder in silent]
        for one in lost:
            one.crashes += 1
            if one.crashes >= MAX_CRASHES:
                self._poison(one, then(one.new.kind))
                continue
            one.state, one.holder, one.due = "queued", None, not one.is_suspect
            one.fence += 1
            self.on_ready()
        return len(lost)

    def _poison(self, one: Entry, then: str | None) -> None:
        after = () if then is None else (follow_up(then, one.new.principal, one.new.id, one.new.subject),)
        message = f"Its worker died {one.crashes} times while it ran. Redrive it once the cause is mended."
        self._end(one, "failed", Result(then=after), "poison", message)
