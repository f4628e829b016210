"""The SQL of support tickets. Each query names its tenant; all times are the database's. Whatever changes a ticket
locks its row first, so its messages have their numbers without gaps."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from tenfold.assistant.tickets.types import (
    MAX_SUBJECT,
    OF_PEOPLE,
    Feedback,
    Message,
    Question,
    QueueCounts,
    State,
    Thread,
    Ticket,
)
from tenfold.assistant.types import AnswerEnd, HandOff
from tenfold.core.ids import TenantId
from tenfold.store import Row, Store, Transaction, tenants_among
from tenfold.store.transaction import ReadTransaction

_TOLD = """tenant_id, id, state, subject, end_user, email, token, hand_off, handed_off_at, claimed_by, claimed_at,
       helpful, messages, version, created_at, updated_at"""

OPEN = """
INSERT INTO support_tickets (tenant_id, id, state, subject, end_user, email, token)
VALUES ($1, $2, 'waiting', $3, $4, $5, $6) ON CONFLICT DO NOTHING
"""

LOCK = "SELECT state, messages FROM support_tickets WHERE tenant_id = $1 AND id = $2 FOR UPDATE"

FIND = f"SELECT {_TOLD} FROM support_tickets WHERE tenant_id = $1 AND id = $2"  # noqa: S608  (the columns above)

MESSAGES = """
SELECT id, role, text, author, pending, answers, answer, helpful, comment, judged_at, created_at
FROM support_messages WHERE tenant_id = $1 AND ticket_id = $2 ORDER BY number
"""

IS_THERE = "SELECT TRUE FROM support_messages WHERE tenant_id = $1 AND ticket_id = $2 AND id = $3"

ADD = """
INSERT INTO support_messages (tenant_id, ticket_id, number, id, role, text, author, pending, answers, answer)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""

COUNT_ONE = "UPDATE support_tickets SET messages = messages + 1 WHERE tenant_id = $1 AND id = $2"

# Who is in charge stays so: the state is the assistant's to change only while it is its turn.
ASKED = """
UPDATE support_tickets SET
    state = CASE WHEN state = 'replied' AND claimed_by IS NOT NULL THEN 'claimed'
                 WHEN state = 'replied' THEN 'handed_off'
                 WHEN state IN ('handed_off', 'claimed') THEN state
                 ELSE 'waiting' END,
    end_user = coalesce(end_user, $3), email = coalesce($4, email), version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2
"""

SETTLE = """
UPDATE support_messages SET pending = false
WHERE tenant_id = $1 AND ticket_id = $2 AND id = $3 AND pending RETURNING TRUE
"""

IS_ANSWERED = "SELECT TRUE FROM support_messages WHERE tenant_id = $1 AND ticket_id = $2 AND answers = $3"

ANSWERED = """
UPDATE support_tickets t SET
    state = CASE WHEN state IN ('handed_off', 'claimed', 'replied', 'closed') THEN state
                 WHEN $3::text IS NOT NULL THEN 'handed_off'
                 WHEN EXISTS (SELECT FROM support_messages m
                              WHERE m.tenant_id = t.tenant_id AND m.ticket_id = t.id AND m.pending) THEN 'waiting'
                 ELSE 'answered' END,
    hand_off = CASE WHEN state = 'waiting' AND $3::text IS NOT NULL THEN $3 ELSE hand_off END,
    handed_off_at = CASE WHEN state = 'waiting' AND $3::text IS NOT NULL THEN now() ELSE handed_off_at END,
    version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2
"""

HAND_OFF = """
UPDATE support_tickets SET state = 'handed_off', hand_off = $3, handed_off_at = now(), claimed_by = NULL,
                           claimed_at = NULL, version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2 AND state NOT IN ('handed_off', 'claimed', 'replied')
"""

CLAIM = """
UPDATE support_tickets SET state = 'claimed', claimed_by = $3, claimed_at = coalesce(claimed_at, now()),
                           handed_off_at = coalesce(handed_off_at, now()), version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2 AND (claimed_by IS NULL OR state = 'closed' OR claimed_by = $3)
      AND NOT (state = 'claimed' AND claimed_by = $3)
"""

RELEASE = """
UPDATE support_tickets SET state = 'handed_off', claimed_by = NULL, claimed_at = NULL,
                           handed_off_at = coalesce(handed_off_at, now()), version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2 AND (claimed_by IS NOT NULL OR state = 'claimed')
"""

REPLIED = """
UPDATE support_tickets SET state = 'replied', claimed_by = $3, claimed_at = coalesce(claimed_at, now()),
                           version = version + 1, updated_at = now()
WHERE tenant_id = $1 AND id = $2
"""

CLOSE = """
UPDATE support_tickets SET state = 'closed', claimed_by = NULL, claimed_at = NULL, version = version + 1,
                           updated_at = now()
WHERE tenant_id = $1 AND id = $2 AND state <> 'closed'
"""

JUDGE = """
UPDATE support_messages SET helpful = $4, comment = $5, judged_at = now()
WHERE tenant_id = $1 AND ticket_id = $2 AND id = $3 AND role <> 'user' RETURNING TRUE
"""

JUDGED = """
UPDATE support_tickets SET helpful = $3, version = version + 1, updated_at = now() WHERE tenant_id = $1 AND id = $2
"""

RETOKEN = "UPDATE support_tickets SET token = $3 WHERE tenant_id = $1 AND id = $2"

PAGE = f"""
SELECT {_TOLD} FROM support_tickets
WHERE tenant_id = $1 AND ($2::text[] = '{{}}' OR state = ANY ($2)) AND ($3::text IS NULL OR end_user = $3)
      AND ($4::uuid IS NULL OR id < $4)
ORDER BY id DESC LIMIT $5
"""  # noqa: S608

QUEUE = f"""
SELECT {_TOLD} FROM support_tickets
WHERE tenant_id = $1 AND state IN ('handed_off', 'claimed') AND ($2::uuid IS NULL OR (handed_off_at, id) > (
    SELECT handed_off_at, id FROM support_tickets WHERE tenant_id = $1 AND id = $2))
ORDER BY handed_off_at, id LIMIT $3
"""  # noqa: S608

COUNTS = """
SELECT count(*) FILTER (WHERE state = 'handed_off') AS waiting, count(*) FILTER (WHERE state = 'claimed') AS claimed
FROM support_tickets WHERE tenant_id = $1 AND state IN ('handed_off', 'claimed')
"""

REMOVE = "DELETE FROM support_tickets WHERE tenant_id = $1 AND id = $2 RETURNING TRUE"

EXPIRE = """
WITH old AS MATERIALIZED (
    SELECT id FROM support_tickets WHERE tenant_id = $1 AND updated_at <= now() - make_interval(secs => $2)
    ORDER BY updated_at LIMIT $3 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM support_tickets t USING old WHERE t.tenant_id = $1 AND t.id = old.id RETURNING 1
)
SELECT count(*) FROM gone
"""

TENANTS_OLD = "SELECT tenfold.tenants_with_old_support_tickets($1, $2)"

_NO_TIME = datetime.fromtimestamp(0, UTC)  # the database's own is written


class PostgresTicketRows:
    """See `ports.TicketRows`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def ask(self, tenant_id: TenantId, question: Question, *, most: int) -> Thread | None:
        given, ticket_id = question, question.ticket_id
        async with self._store.tenant(tenant_id) as tx:
            if given.is_new:
                subject = given.text[:MAX_SUBJECT]
                await tx.execute(OPEN, tenant_id, ticket_id, subject, given.end_user, given.email, given.token)
            locked = await tx.fetchrow(LOCK, tenant_id, ticket_id)
            if locked is None:
                return None
            if await tx.fetchval(IS_THERE, tenant_id, ticket_id, given.id) is None:
                if locked["messages"] >= most:
                    return None
                pending = given.pending and locked["state"] not in OF_PEOPLE
                asked = Message(id=given.id, role="user", text=given.text, at=_NO_TIME, pending=pending)
                await _add(tx, tenant_id, ticket_id, locked["messages"] + 1, asked)
                await tx.execute(ASKED, tenant_id, ticket_id, given.end_user, given.email)
            return await _thread(tx, tenant_id, ticket_id)

    async def answer(
        self, tenant_id: TenantId, ticket_id: UUID, message: Message, *, hand_off: HandOff | None
    ) -> Thread | None:
        async with self._store.tenant(tenant_id) as tx:
            locked = await tx.fetchrow(LOCK, tenant_id, ticket_id)
            if locked is None or await tx.fetchval(IS_THERE, tenant_id, ticket_id, message.answers) is None:
                return None
            if await tx.fetchval(IS_ANSWERED, tenant_id, ticket_id, message.answers) is None:
                await tx.fetchval(SETTLE, tenant_id, ticket_id, message.answers)
                await _add(tx, tenant_id, ticket_id, locked["messages"] + 1, message)
                await tx.execute(ANSWERED, tenant_id, ticket_id, hand_off)
            return await _thread(tx, tenant_id, ticket_id)

    async def give_up(self, tenant_id: TenantId, ticket_id: UUID, question_id: UUID) -> Thread | None:
        async with self._store.tenant(tenant_id) as tx:
            await tx.fetchrow(LOCK, tenant_id, ticket_id)
            if await tx.fetchval(SETTLE, tenant_id, ticket_id, question_id) is None:
                return None
            await tx.execute(ANSWERED, tenant_id, ticket_id, "failed")
            return await _thread(tx, tenant_id, ticket_id)

    async def hand_off(self, tenant_id: TenantId, ticket_id: UUID, why: HandOff) -> Thread | None:
        return await self._changed(HAND_OFF, tenant_id, ticket_id, why)

    async def claim(self, tenant_id: TenantId, ticket_id: UUID, who: str) -> Thread | None:
        return await self._changed(CLAIM, tenant_id, ticket_id, who)

    async def release(self, tenant_id: TenantId, ticket_id: UUID) -> Thread | None:
        return await self._changed(RELEASE, tenant_id, ticket_id)

    async def close(self, tenant_id: TenantId, ticket_id: UUID) -> Thread | None:
        return await self._changed(CLOSE, tenant_id, ticket_id)

    async def reply(self, tenant_id: TenantId, ticket_id: UUID, message: Message, *, most: int) -> Thread | None:
        async with self._store.tenant(tenant_id) as tx:
            locked = await tx.fetchrow(LOCK, tenant_id, ticket_id)
            if locked is None:
                return None
            if await tx.fetchval(IS_THERE, tenant_id, ticket_id, message.id) is None:
                if locked["messages"] >= most:
                    return None
                await _add(tx, tenant_id, ticket_id, locked["messages"] + 1, message)
                await tx.execute(REPLIED, tenant_id, ticket_id, message.author)
            return await _thread(tx, tenant_id, ticket_id)

    async def judge(
        self, tenant_id: TenantId, ticket_id: UUID, message_id: UUID, *, helpful: bool, comment: str
    ) -> Thread | None:
        async with self._store.tenant(tenant_id) as tx:
            await tx.fetchrow(LOCK, tenant_id, ticket_id)
            if await tx.fetchval(JUDGE, tenant_id, ticket_id, message_id, helpful, comment) is None:
                return None
            await tx.execute(JUDGED, tenant_id, ticket_id, helpful)
            return await _thread(tx, tenant_id, ticket_id)

    async def retoken(self, tenant_id: TenantId, ticket_id: UUID, token: bytes) -> None:
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(RETOKEN, tenant_id, ticket_id, token)

    async def find(self, tenant_id: TenantId, ticket_id: UUID) -> Thread | None:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return await _thread(tx, tenant_id, ticket_id)

    async def page(
        self,
        tenant_id: TenantId,
        *,
        states: Sequence[State],
        end_user: str | None,
        before: UUID | None,
        limit: int,
    ) -> list[Ticket]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return [_ticket(row) for row in await tx.fetch(PAGE, tenant_id, list(states), end_user, before, limit)]

    async def queue(self, tenant_id: TenantId, *, after: UUID | None, limit: int) -> list[Ticket]:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            return [_ticket(row) for row in await tx.fetch(QUEUE, tenant_id, after, limit)]

    async def counts(self, tenant_id: TenantId) -> QueueCounts:
        async with self._store.tenant(tenant_id, readonly=True) as tx:
            row = await tx.fetchrow(COUNTS, tenant_id)
        assert row is not None
        return QueueCounts(waiting=row["waiting"], claimed=row["claimed"])

    async def remove(self, tenant_id: TenantId, ticket_id: UUID) -> bool:
        async with self._store.tenant(tenant_id) as tx:
            return await tx.fetchval(REMOVE, tenant_id, ticket_id) is not None

    async def tenants_expired(self, keep_s: float) -> list[TenantId]:
        return await tenants_among(self._store, TENANTS_OLD, keep_s)

    async def expire(self, tenant_id: TenantId, keep_s: float, *, limit: int) -> int:
        async with self._store.tenant(tenant_id) as tx:
            count: int = await tx.fetchval(EXPIRE, tenant_id, keep_s, limit)
        return count

    async def _changed(self, query: str, tenant_id: TenantId, ticket_id: UUID, *args: str) -> Thread | None:
        async with self._store.tenant(tenant_id) as tx:
            await tx.execute(query, tenant_id, ticket_id, *args)
            return await _thread(tx, tenant_id, ticket_id)


async def _add(tx: Transaction, tenant_id: TenantId, ticket_id: UUID, number: int, message: Message) -> None:
    answer = None if message.answer is None else msgspec.to_builtins(message.answer)
    await tx.execute(
        ADD,
        tenant_id,
        ticket_id,
        number,
        message.id,
        message.role,
        message.text,
        message.author,
        message.pending,
        message.answers,
        answer,
    )
    await tx.execute(COUNT_ONE, tenant_id, ticket_id)


async def _thread(tx: ReadTransaction, tenant_id: TenantId, ticket_id: UUID) -> Thread | None:
    row = await tx.fetchrow(FIND, tenant_id, ticket_id)
    if row is None:
        return None
    said = await tx.fetch(MESSAGES, tenant_id, ticket_id)
    return Thread(ticket=_ticket(row), messages=[_message(each) for each in said])


def _ticket(row: Row) -> Ticket:
    told = dict(row)
    return Ticket(**told | {"tenant_id": TenantId(row["tenant_id"])})


def _message(row: Row) -> Message:
    judged = row["judged_at"]
    return Message(
        id=row["id"],
        role=row["role"],
        text=row["text"],
        at=row["created_at"],
        author=row["author"],
        answer=None if row["answer"] is None else msgspec.convert(row["answer"], AnswerEnd),
        answers=row["answers"],
        pending=row["pending"],
        feedback=None if judged is None else Feedback(helpful=row["helpful"], comment=row["comment"], at=judged),
    )
