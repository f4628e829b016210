"""Mail goes to a real SMTP server on this machine, and nothing that people write becomes a header."""

import asyncio
import socket
from collections.abc import AsyncIterator
from email import message_from_bytes
from email.message import Message
from email.policy import default

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from hypothesis import given
from hypothesis import strategies as st

from tenfold.app.smtp import SmtpMailer, SmtpServer, written
from tenfold.assistant.tickets.types import Mail
from tenfold.core.errors import InvalidRequest, UpstreamUnavailable

MAIL = Mail(to="ana@example.com", subject="Your question has an answer", text="Press reset [1].\n\n– so it is ✓\n")


class Mailbox:
    """Takes mail; `refuses` answers a receiver with that, `then` the letter itself."""

    def __init__(self) -> None:
        self.letters: list[Envelope] = []
        self.refuses = ""
        self.then = "250 OK"

    async def handle_RCPT(  # noqa: N802  (aiosmtpd names it)
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.refuses:
            return self.refuses
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        self.letters.append(envelope)
        return self.then


def server(port: int) -> SmtpServer:
    return SmtpServer(
        host="127.0.0.1", port=port, sender="help@acme.example", sender_name="Acme Help", security="none", timeout_s=10
    )


@pytest.fixture
async def mailbox() -> AsyncIterator[tuple[Mailbox, SmtpMailer]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    await asyncio.to_thread(controller.start)
    try:
        yield box, SmtpMailer(server(port))
    finally:
        await asyncio.to_thread(controller.stop)


async def test_a_letter_arrives_as_it_was_written(mailbox: tuple[Mailbox, SmtpMailer]) -> None:
    box, mailer = mailbox
    await mailer.send(MAIL, key="k1")
    (envelope,) = box.letters
    assert (envelope.mail_from, envelope.rcpt_tos) == ("help@acme.example", ["ana@example.com"])
    letter = read(envelope)
    assert (letter["From"], letter["To"]) == ("Acme Help <help@acme.example>", "ana@example.com")
    assert (letter["Message-ID"], letter["Auto-Submitted"]) == ("<k1@acme.example>", "auto-replied")
    assert text_of(letter) == MAIL.text


@pytest.mark.parametrize(
    ("refuses", "then", "error"),
    [
        ("550 no such mailbox", "250 OK", InvalidRequest),
        ("451 later", "250 OK", UpstreamUnavailable),
        ("", "554 we take no such mail", InvalidRequest),
        ("", "452 full", UpstreamUnavailable),
    ],
)
async def test_what_may_go_later_is_told_from_what_never_will(
    refuses: str, then: str, error: type[Exception], mailbox: tuple[Mailbox, SmtpMailer]
) -> None:
    box, mailer = mailbox
    box.refuses, box.then = refuses, then
    with pytest.raises(error):
        await mailer.send(MAIL, key="k1")


async def test_a_server_that_is_away_may_come_back() -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(UpstreamUnavailable):
            await SmtpMailer(server(taken.getsockname()[1])).send(MAIL, key="k1")


ADDRESSES = st.text(max_size=60) | st.from_regex(r"\A[\x00-\x7f]{0,20}@[\x00-\x7f]{0,20}\Z")


@given(to=ADDRESSES, subject=st.text(max_size=60), text=st.text(max_size=200))
def test_nothing_that_is_written_becomes_a_header(to: str, subject: str, text: str) -> None:
    try:
        message = written(Mail(to=to, subject=subject, text=text), key="k1", server=server(25))
        sent = message.as_bytes()
    except (ValueError, InvalidRequest):
        return  # refused: `send` says so
    letter = message_from_bytes(sent, policy=default)
    assert sorted(name.lower() for name in letter if name.lower() not in MIME) == KNOWN
    assert len(letter.get_all("to", [])) == 1


MIME = {"content-type", "content-transfer-encoding", "mime-version"}
KNOWN = ["auto-submitted", "date", "from", "message-id", "subject", "to"]


def test_an_injected_header_is_refused() -> None:
    for mail in (
        Mail(to="ana@example.com\r\nBcc: eve@example.com", subject="x", text="x"),
        Mail(to="ana@example.com", subject="x\r\nBcc: eve@example.com", text="x"),
        Mail(to="ana@example.com, eve@example.com", subject="x", text="x"),
    ):
        with pytest.raises((InvalidRequest, ValueError)):
            written(mail, key="k1", server=server(25))


def read(envelope: Envelope) -> Message:
    content = envelope.content
    assert isinstance(content, bytes)
    return message_from_bytes(content, policy=default)


def text_of(letter: Message) -> str:
    payload = letter.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode().replace("\r\n", "\n")
