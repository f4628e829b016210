"""What is decided about tickets without looking anything up, as functions of values."""

import hashlib
import secrets
from collections.abc import Sequence
from uuid import UUID

from msgspec import json

from tenfold.assistant.tickets.types import (
    KIND,
    Question,
    Thread,
    Ticket,
    TicketPage,
    message_id_of,
    ticket_id_of,
    ticket_name,
)
from tenfold.core.errors import Conflict, InvalidRequest, NotFound
from tenfold.core.principal import SCOPE_INFERENCE, SCOPE_SUPPORT, Principal
from tenfold.jobs.types import NewJob

MAX_PAGE = 100
KEEP_JOB_S = 86_400.0  # its events; what came of it stands in the ticket
_MAX_KEY = 255
_LEAST_GUESSED = 16


def job_of(principal: Principal, asked: Question, key: str | None) -> NewJob:
    # What is asked again under its key gets another token: in a web page nobody else may guess the key.
    least = 1 if SCOPE_INFERENCE in principal.scopes else _LEAST_GUESSED
    if key is not None and not (least <= len(key) <= _MAX_KEY and key.isprintable()):
        message = f"Idempotency-Key: {least} to {_MAX_KEY} printable characters, such as a UUID."
        raise InvalidRequest(message, param="Idempotency-Key")
    return NewJob(
        kind=KIND,
        principal=principal,
        id=asked.id,
        input=json.encode(asked),
        subject=ticket_name(asked.ticket_id),
        facts={"request": request_digest(asked)},
        max_attempts=6,
        order_key=None if asked.is_new else f"{KIND} {asked.ticket_id.hex}",
        dedup=None if key is None else f"key:{digest_of(key).hex()}",
        keep_s=KEEP_JOB_S,
    )


def request_digest(asked: Question) -> str:
    known = ("" if asked.is_new else asked.ticket_id.hex, asked.text, asked.end_user or "", asked.email or "")
    return hashlib.sha256(json.encode(known)).hexdigest()


def check_reach(principal: Principal) -> None:
    if SCOPE_SUPPORT not in principal.scopes:
        principal.require(SCOPE_INFERENCE)


def is_shown(principal: Principal, ticket: Ticket, token: str | None) -> bool:
    """A key that stands in a web page is everybody's: what it may see is what it has the token of."""
    if SCOPE_INFERENCE in principal.scopes:
        return True
    known = ticket.token
    return token is not None and known is not None and secrets.compare_digest(digest_of(token), known)


def judged(thread: Thread, name: str | None) -> UUID:
    """The message that feedback is on. Raises NotFound, Conflict."""
    given = None if name is None else message_id_of(name)
    said = [each for each in thread.messages if each.role != "user" and (name is None or each.id == given)]
    if said:
        return said[-1].id
    if name is not None:
        raise NotFound("The ticket has no such answer.")
    raise Conflict("Nothing is answered yet that could be judged.")


def page_of(found: Sequence[Ticket], limit: int) -> TicketPage:
    more = len(found) > limit
    return TicketPage(items=list(found[:limit]), cursor=ticket_name(found[limit - 1].id) if more else None)


def cursor_of(principal: Principal, cursor: str | None, limit: int) -> UUID | None:
    principal.require(SCOPE_INFERENCE)
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidRequest(f"A page has 1 to {MAX_PAGE} items.", param="limit")
    found = None if cursor is None else ticket_id_of(cursor)
    if cursor is not None and found is None:
        raise InvalidRequest("This is not a cursor.", param="cursor")
    return found


def digest_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
