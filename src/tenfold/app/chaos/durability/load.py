"""Jobs asked for: chat calls that may be answered later, each with an `Idempotency-Key` of its own, sent again until
Tenfold has said that it took it or that it did not."""

import asyncio
import time

from msgspec import Struct, json

from tenfold.app.chaos.bill import Mark
from tenfold.app.chaos.http_client import get, post

_PATIENCE_S = 30.0  # for one try
_PAUSE_S = 0.2
_GIVE_UP_S = 600.0


class Asked(Struct, frozen=True, kw_only=True):
    """One job; `ticket` "" : it was never accepted, and `last` is what was said. Seconds."""

    tenant: str
    operation: str
    ticket: str
    tries: int
    accepted_s: float  # how long the last try took
    last: str = ""


class Load:
    """`run` once. `keys`: an API key for each tenant, by slug."""

    def __init__(self, *, port: int, keys: dict[str, str], jobs: int, clients: int) -> None:
        self._port = port
        self._keys = keys
        self._next = iter([(slug, n) for n in range(-(-jobs // len(keys))) for slug in keys][:jobs])
        self._clients = clients
        self.asked: list[Asked] = []
        self.refused = ""  # what the last one was told that was not accepted at once

    async def run(self) -> None:
        async with asyncio.TaskGroup() as clients:
            for _ in range(self._clients):
                clients.create_task(self._client())

    async def _client(self) -> None:
        for slug, number in self._next:
            self.asked.append(await self._ask(slug, f"job-{number}"))

    async def _ask(self, slug: str, operation: str) -> Asked:
        mark = Mark(tenant=slug, operation=operation)
        message = {"role": "user", "content": f"{mark.text} Say something."}
        body = json.encode({"model": "m", "messages": [message], "max_tokens": 50})
        headers = {
            "authorization": f"Bearer {self._keys[slug]}",
            "content-type": "application/json",
            "prefer": "respond-async",
            "idempotency-key": operation,
        }
        took_s, last, tries = 0.0, "", 0
        until = time.monotonic() + _GIVE_UP_S
        while (began := time.monotonic()) < until:
            tries += 1
            answer = await post(self._port, "/v1/chat/completions", headers, body, timeout_s=_PATIENCE_S)
            took_s = time.monotonic() - began
            ticket = answer.headers.get("tenfold-ticket", "")
            if answer.complete and answer.status == 202 and ticket:
                return Asked(tenant=slug, operation=operation, ticket=ticket, tries=tries, accepted_s=took_s)
            last = self.refused = f"{answer.status} {answer.body[:300].decode('utf-8', 'replace')}"
            await asyncio.sleep(_PAUSE_S)
        return Asked(tenant=slug, operation=operation, ticket="", tries=tries, accepted_s=took_s, last=last)


class Outcome(Struct, frozen=True, kw_only=True):
    """What a ticket tells. `state` "": there is no such ticket."""

    state: str
    said: str
    error: str = ""


async def outcome(port: int, key: str, ticket: str) -> Outcome | None:
    """None: Tenfold cannot tell at the moment."""
    answer = await get(port, f"/api/v1/tickets/{ticket}", {"authorization": f"Bearer {key}"}, timeout_s=_PATIENCE_S)
    if answer.complete and answer.status == 404:
        return Outcome(state="", said="")
    if not answer.complete or answer.status != 200:
        return None
    told = json.decode(answer.body)
    try:
        said = told["reply"]["choices"][0]["message"]["content"]
    except (KeyError, TypeError, IndexError):
        said = ""
    return Outcome(state=told["state"], said=said, error=told.get("error_code") or "")
