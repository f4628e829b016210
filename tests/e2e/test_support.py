"""The support assistant of a real Tenfold without a provider: a ticket is answered by a job from the documentation,
mailed, told, judged and handed to a person."""

import os
import signal
import socket
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from typing import Any

import httpx
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.support.tenfold_process import KEY, TenfoldProcess
from tests.support.upstream_server import eventually

TICKETS = "/api/v1/support/tickets"
QUESTION = "How do I point the OpenAI SDK at Tenfold?"


class Mailbox:
    def __init__(self) -> None:
        self.letters: list[Envelope] = []

    async def handle_DATA(  # noqa: N802  (aiosmtpd names it)
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        self.letters.append(envelope)
        return "250 OK"


@pytest.fixture(scope="module")
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield box, port
    controller.stop()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, mailbox: tuple[Mailbox, int]) -> Iterator[TenfoldProcess]:
    config = f"""
        [smtp]
        host = "127.0.0.1"
        port = {mailbox[1]}
        sender = "help@acme.example"
        security = "none"

        [assistant]
        ticket_url = "https://acme.example/help/{{ticket}}"
    """
    with TenfoldProcess(tmp_path_factory.mktemp("support"), config, workers=2) as process:
        yield process


def test_a_ticket_from_its_question_to_a_person(alone: TenfoldProcess, mailbox: tuple[Mailbox, int]) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=alone.url, timeout=30, headers=headers) as client:
        asked = client.post(TICKETS, json={"question": QUESTION, "end_user": "ana", "email": "ana@example.com"})
        assert asked.status_code == 202, asked.text
        ticket = asked.json()["id"]
        told = _answered(client, ticket)
        answer = told["messages"][-1]
        assert (answer["answer"]["outcome"], answer["answer"]["model"]) == ("answered", "offline-extractive")
        assert answer["answer"]["citations"][0]["url"].startswith("/docs/")
        assert answer["answer"]["cost_usd"] == "0"

        follow = client.post(TICKETS, json={"question": "And with Anthropic's?", "ticket": ticket})
        assert follow.status_code == 202, follow.text
        told = _answered(client, ticket)
        assert [message["role"] for message in told["messages"]] == ["user", "assistant"] * 2

        judged = client.post(f"{TICKETS}/{ticket}/feedback", json={"helpful": True})
        assert judged.status_code == 200, judged.text
        outcomes = (client.get("/api/v1/outcomes/report")).json()
        assert outcomes["total"]["successes"] == 1, outcomes

        assert (client.post(f"{TICKETS}/{ticket}/handoff")).json()["state"] == "handed_off"
        reply = client.post(f"{TICKETS}/{ticket}/reply", json={"text": "A word from us.", "agent": "Zoe"})
        assert reply.json()["state"] == "replied"

        eventually(lambda: len(mailbox[0].letters) >= 3, "three letters", 60.0)
        texts = [_text(envelope) for envelope in mailbox[0].letters]
        assert sum("A word from us." in text for text in texts) == 1
        assert all(f"https://acme.example/help/{ticket}" in text and QUESTION not in text for text in texts)


def test_an_end_of_the_process_loses_no_question(alone: TenfoldProcess) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=alone.url, timeout=60, headers=headers) as client:
        asked = [client.post(TICKETS, json={"question": QUESTION, "end_user": f"u{n}"}) for n in range(4)]
        tickets = [each.json()["id"] for each in asked]
        for pid in alone.workers():
            os.kill(pid, signal.SIGKILL)
        for ticket in tickets:
            told = _answered(client, ticket)
            assert [message["role"] for message in told["messages"]] == ["user", "assistant"]


def _answered(client: httpx.Client, ticket: str) -> dict[str, Any]:
    told: dict[str, Any] = {}

    def is_answered() -> bool:
        nonlocal told
        try:
            response = client.get(f"{TICKETS}/{ticket}")
        except httpx.TransportError:
            return False
        told = response.json() if response.status_code == 200 else {}
        return told.get("state") not in (None, "waiting")

    eventually(is_answered, f"an answer in {ticket}", 60.0)
    return told


def _text(envelope: Envelope) -> str:
    content = envelope.content
    assert isinstance(content, bytes)
    payload = message_from_bytes(content, policy=default).get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode()
