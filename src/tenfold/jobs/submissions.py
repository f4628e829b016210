"""The kinds of jobs that a tenant may start itself, by the API or on a schedule. Most kinds are not among them: a job
of those is made by the feature that it is a part of.
"""

from collections.abc import Iterable
from typing import Any, Protocol

from msgspec import json, structs

from tenfold.core.errors import IdempotencyMismatch, InvalidRequest
from tenfold.core.principal import Principal
from tenfold.jobs.ports import Jobs
from tenfold.jobs.types import MAX_PRIORITY, Job, NewJob

MAX_DELAY_S = 30 * 86_400.0
MAX_DEDUP = 255


class Submittable(Protocol):
    """One of them."""

    @property
    def kind(self) -> str: ...

    def job(self, principal: Principal, asked: Any) -> NewJob:
        """`asked` is the `input` as JSON has it. Pure, and the same for the same input but for the id. Raises
        InvalidRequest."""
        ...


class Submissions:
    """All of them."""

    def __init__(self, jobs: Jobs, kinds: Iterable[Submittable]) -> None:
        self._jobs = jobs
        self._kinds = {kind.kind: kind for kind in kinds}

    @property
    def kinds(self) -> list[str]:
        return sorted(self._kinds)

    def job(self, principal: Principal, kind: str, asked: Any) -> NewJob:
        """Raises InvalidRequest: no such kind, which tells the ones there are; or what the kind says of its input."""
        found = self._kinds.get(kind)
        if found is None:
            known = f"known are: {', '.join(self.kinds)}" if self._kinds else "there are none here"
            raise InvalidRequest(f"kind: there is no such job to be submitted; {known}.", param="kind")
        return found.job(principal, asked)

    async def submit(
        self,
        principal: Principal,
        kind: str,
        asked: Any,
        *,
        priority: int | None = None,
        delay_s: float = 0.0,
        key: str | None = None,
    ) -> Job:
        """`key`: submitted twice, it is there once, as long as it is kept. Raises InvalidRequest, IdempotencyMismatch
        (the key was used for something else), and as `Jobs.enqueue`."""
        if priority is not None and not 0 <= priority <= MAX_PRIORITY:
            raise InvalidRequest(f"priority: 0 to {MAX_PRIORITY}; the larger goes first.", param="priority")
        if not 0 <= delay_s <= MAX_DELAY_S:
            raise InvalidRequest(f"delay_s: 0 to {MAX_DELAY_S:.0f} seconds.", param="delay_s")
        if key is not None and not (0 < len(key) <= MAX_DEDUP and key.isprintable()):
            raise InvalidRequest(f"Idempotency-Key: 1 to {MAX_DEDUP} printable characters.", param="Idempotency-Key")
        new = self.job(principal, kind, asked)
        new = structs.replace(
            new,
            priority=new.priority if priority is None else priority,
            delay_s=delay_s,
            dedup=None if key is None else f"key:{key}",
        )
        job = await self._jobs.enqueue(new)
        if job.id != new.id and await self._jobs.input(job.tenant_id, job.id) not in (None, new.input):
            raise IdempotencyMismatch("This Idempotency-Key was used before with another job.")
        return job


def told(data: bytes) -> Any:
    """An input or result as JSON tells it; what is no JSON is text."""
    try:
        return json.decode(data)
    except ValueError:  # DecodeError is one; so is text that is no UTF-8
        return data.decode("utf-8", "replace")
