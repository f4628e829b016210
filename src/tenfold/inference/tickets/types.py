"""The values of calls that are answered later: what is kept of one, and the ticket it is known by."""

import hashlib
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from msgspec import Struct, json

from tenfold.core.call import CallOptions, Operation
from tenfold.core.ids import id_named
from tenfold.core.principal import Principal
from tenfold.jobs.types import Job, NewJob

KIND = "call"
"""Of the jobs that make these calls; a job has the id of the call that was accepted."""

KIND_DEAD = "call.dead"
"""Of the jobs that follow one that has failed."""

KEEP_S = 7 * 86_400.0
"""How long a call waits at most, and how long its ticket can be read once it has ended."""

State = Literal["waiting", "running", "done", "failed", "cancelled"]


class LaterCall(Struct, frozen=True, kw_only=True):
    """A call as it was asked; the input of its job. `body` is kept whole, since it has to be asked."""

    operation: Operation
    dialect: str
    options: CallOptions  # what still holds for a call that is made later
    body: bytes


class Ticket(Struct, frozen=True, kw_only=True):
    """What may be known of such a call. `reply` is the body of the answer, in the dialect of the call."""

    call_id: UUID
    state: State
    operation: str
    dialect: str
    model: str
    feature: str | None
    created_at: datetime
    expires_at: datetime  # waiting: not asked after this; ended: not to be read after this
    ended_at: datetime | None
    attempts: int
    version: int
    error_code: str | None
    error_message: str | None
    reply: bytes | None = None

    @property
    def id(self) -> str:
        return ticket_id(self.call_id)


class TicketPage(Struct, frozen=True, kw_only=True):
    items: list[Ticket]
    cursor: str | None  # of the next page


def job_of(principal: Principal, call: LaterCall, model: str) -> NewJob:
    """The job that makes the call. Its facts tell what may be told of the call once its input is gone."""
    facts = {
        "operation": call.operation,
        "dialect": call.dialect,
        "model": model,
        "request": request_digest(call.body),
    }
    if call.options.feature is not None:
        facts["feature"] = call.options.feature
    return NewJob(kind=KIND, principal=principal, input=json.encode(call), facts=facts, give_up_s=KEEP_S, keep_s=KEEP_S)


def request_digest(body: bytes) -> str:
    """Whether two requests are the same, long after the first is gone."""
    return hashlib.sha256(body).hexdigest()


def ticket_of(job: Job, reply: bytes | None = None) -> Ticket:
    facts = job.facts
    return Ticket(
        call_id=job.id,
        state="waiting" if job.state == "queued" else job.state,
        operation=facts.get("operation", ""),
        dialect=facts.get("dialect", ""),
        model=facts.get("model", ""),
        feature=facts.get("feature"),
        created_at=job.created_at,
        expires_at=job.expires_at or job.created_at + timedelta(seconds=KEEP_S),
        ended_at=job.ended_at,
        attempts=job.attempts,
        version=job.version,
        error_code=job.error_code,
        error_message=job.error_message,
        reply=reply,
    )


def ticket_id(call_id: UUID) -> str:
    return f"tkt_{call_id.hex}"


def ticket_location(ticket: str) -> str:
    """Where it can be asked after."""
    return f"/api/v1/tickets/{ticket}"


def call_id_of(ticket: str) -> UUID | None:
    """None: it is no ticket's id."""
    return id_named("tkt_", ticket)
