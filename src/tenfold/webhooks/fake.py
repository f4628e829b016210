"""The seams of this part in memory, for tests of whatever tells events."""

from msgspec import json

from tenfold.core.principal import Principal
from tenfold.jobs.types import NewJob
from tenfold.webhooks.types import KIND, Event


class FakeOutbox:
    """`told` are the events asked for, in order. Each makes as many jobs as there are `listeners`; the input of such a
    job is the event as JSON."""

    def __init__(self, listeners: int = 1) -> None:
        self.listeners = listeners
        self.told: list[tuple[Principal, Event]] = []

    async def jobs_for(self, principal: Principal, event: Event) -> tuple[NewJob, ...]:
        self.told.append((principal, event))
        return tuple(
            NewJob(kind=KIND, principal=principal, input=json.encode(event), subject=event.resource)
            for _ in range(self.listeners)
        )
