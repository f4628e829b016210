"""Tickets of support for tests of the pages: asked, and answered as the assistant would."""

from tenfold.assistant.tickets.types import Message, Thread, ticket_id_of
from tenfold.assistant.types import AnswerEnd, CallSummary, Citation, HandOff
from tenfold.core.ids import uuid7
from tenfold.core.principal import Principal
from tests.support.console import FakeConsole

CITATION = Citation(
    number=1,
    title="manual.md",
    url="/knowledge/file-1?from=3&to=9#cited",
    heading="Pump > Filter",
    span=(3, 9),
    excerpt="Clean the filter every 30 days.",
)


async def answered(
    console: FakeConsole, principal: Principal, ticket: str, text: str, *, hand_off: HandOff | None = None
) -> Thread:
    """The assistant answers what waits for it."""
    ticket_id = ticket_id_of(ticket)
    assert ticket_id is not None
    before = await console.support_rows.find(principal.tenant_id, ticket_id)
    assert before is not None
    question = before.pending
    assert question is not None
    end = AnswerEnd(
        outcome="abstained" if hand_off else "answered",
        latency_ms=40,
        citations=[] if hand_off else [CITATION],
        nearest=[CITATION] if hand_off else [],
        notice="The documents do not answer this question." if hand_off else None,
        call=CallSummary(model="fake-model", provider="fake", cost_nano=12_000),
        confidence=0.8,
        prompt="support@1",
        hand_off=hand_off,
    )
    message = Message(id=uuid7(), role="assistant", text=text, at=console.clock.now(), answer=end, answers=question)
    thread = await console.support_rows.answer(principal.tenant_id, ticket_id, message, hand_off=hand_off)
    assert thread is not None
    return thread


async def principal_of(console: FakeConsole, secret: str) -> Principal:
    return console.keyring.authenticate(secret) or await console.keyring.load(secret)
