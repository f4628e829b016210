"""The seams of this part: what features hand events to (`Outbox`). `fake` has the in-memory twins."""

from typing import Protocol

from tenfold.core.principal import Principal
from tenfold.jobs.types import NewJob
from tenfold.webhooks.types import Event


class Outbox(Protocol):
    """What features ask for the jobs of an event. They hand them on with the end of their work (`Result.then`, or
    `then` of a cancel): an event is told if, and only if, what it tells of is committed."""

    async def jobs_for(self, principal: Principal, event: Event) -> tuple[NewJob, ...]:
        """One for each endpoint that is subscribed; none if nobody listens. Raises StoreUnavailable."""
        ...
