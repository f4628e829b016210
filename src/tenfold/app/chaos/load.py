"""Clients of the run: whole and streamed calls in two dialects, some of which hang up, and calls under an
`Idempotency-Key` that are tried until they are answered. Every request sent is kept for the audit.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Literal

from msgspec import Struct, json

from tenfold.app.chaos.bill import Mark
from tenfold.app.chaos.cast import CLIENT_MODELS, PlannedTenant
from tenfold.app.chaos.http_client import Answer, post

Kind = Literal["plain", "left", "keyed", "same"]

_TIMEOUT_S = 15.0
_TRIES = 60
_TRY_AGAIN_S = 0.25
_TWINS = 4  # identical calls at once
_KINDS: tuple[tuple[Kind, int], ...] = (("plain", 45), ("left", 15), ("keyed", 30), ("same", 10))


class Person(Struct, frozen=True, kw_only=True):
    """A tenant of the cast and the secrets of its keys."""

    tenant: PlannedTenant
    keys: tuple[str, ...]


class Sent(Struct, frozen=True, kw_only=True):
    """One HTTP request, and what came back. `key`: the place of the API key in its tenant."""

    kind: Kind
    tenant: str
    key: int
    model: str
    operation: str
    feature: str | None
    run: str | None
    idempotency_key: str | None
    status: int
    request_id: str | None
    complete: bool
    interrupted: bool  # a conflict that trying again does not end
    digest: str  # of the body


class _Operation(Struct, frozen=True, kw_only=True):
    """What a client wants, however often it must ask."""

    kind: Kind
    name: str
    tenant: str
    key: int
    model: str
    feature: str | None
    run: str | None
    path: str
    headers: dict[str, str]
    body: bytes
    idempotency_key: str | None


class Load:
    """`run` until `stop` is set; then calls under an `Idempotency-Key` are still brought to their answer."""

    def __init__(self, *, port: int, people: Sequence[Person], seed: int, clients: int) -> None:
        self.sent: list[Sent] = []
        self._port = port
        self._people = people
        self._clients = clients
        self._chance = random.Random(f"load {seed}")  # noqa: S311 - chance that can be repeated, not a secret
        self._prefix = f"{seed:x}"
        self._count = 0
        self._stop = asyncio.Event()

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as clients:
            for _ in range(self._clients):
                clients.create_task(self._client())

    async def _client(self) -> None:
        while not self._stop.is_set():
            operation = self._next()
            match operation.kind:
                case "plain":
                    await self._send(operation)
                case "left":
                    await self._send(operation, leave_after=self._chance.randrange(6000))
                case "same":
                    await asyncio.gather(*(self._send(operation) for _ in range(_TWINS)))
                case "keyed":
                    await self._keyed(operation)
            await asyncio.sleep(self._chance.uniform(0, 0.1))

    async def _keyed(self, operation: _Operation) -> None:
        chance = self._chance.random()
        if chance < 0.2:  # two at once under one key
            await asyncio.gather(self._until_answered(operation), self._until_answered(operation))
            return
        if chance < 0.4:  # hangs up first, and asks again
            await self._send(operation, leave_after=self._chance.randrange(3000))
        await self._until_answered(operation)
        if chance > 0.7:  # asks once more for what it has
            await self._send(operation)

    async def _until_answered(self, operation: _Operation) -> None:
        for _ in range(_TRIES):
            sent = await self._send(operation)
            if sent.complete and (sent.status in (200, 402) or sent.interrupted):
                return
            if sent.complete and sent.status >= 500 and sent.status != 503 and self._chance.random() < 0.5:
                return  # the provider failed, and the client leaves it at that
            await asyncio.sleep(_TRY_AGAIN_S * (1 + self._chance.random()))

    async def _send(self, operation: _Operation, *, leave_after: int | None = None) -> Sent:
        answer = await post(
            self._port,
            operation.path,
            operation.headers,
            operation.body,
            leave_after=leave_after,
            timeout_s=_TIMEOUT_S,
        )
        sent = _sent(operation, answer)
        self.sent.append(sent)
        return sent

    # -- what is asked

    def _next(self) -> _Operation:
        chance = self._chance
        person = chance.choice(self._people)
        kind = chance.choices([kind for kind, _ in _KINDS], [weight for _, weight in _KINDS])[0]
        self._count += 1
        name = f"{kind}-{self._prefix}-{self._count}"
        dialect = chance.choice(("openai", "anthropic"))
        key = chance.randrange(len(person.keys))
        model = chance.choice(CLIENT_MODELS)
        feature = chance.choice(person.tenant.features)
        run = f"run-{chance.randrange(person.tenant.runs)}-{self._count // 300}" if person.tenant.runs else None
        idempotency_key = f"key-{name}" if kind == "keyed" else None
        headers = {"content-type": "application/json", "authorization": f"Bearer {person.keys[key]}"}
        named = {
            "tenfold-feature": feature,
            "tenfold-run": run,
            "tenfold-task": name,
            "tenfold-user": f"user-{chance.randrange(4)}",
            "idempotency-key": idempotency_key,
        }
        return _Operation(
            kind=kind,
            name=name,
            tenant=person.tenant.slug,
            key=key,
            model=model,
            feature=feature,
            run=run,
            path="/v1/chat/completions" if dialect == "openai" else "/v1/messages",
            headers=headers | {header: value for header, value in named.items() if value is not None},
            body=json.encode(self._body(Mark(tenant=person.tenant.slug, operation=name), model, dialect, kind)),
            idempotency_key=idempotency_key,
        )

    def _body(self, mark: Mark, model: str, dialect: str, kind: Kind) -> dict[str, Any]:
        chance = self._chance
        text = f"{mark.text} {'lorem ' * chance.randrange(80)}"
        body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": text}]}
        if dialect == "anthropic" or chance.random() < 0.95:
            body["max_tokens"] = chance.choice((20, 60, 200))
        if chance.random() < 0.6:
            body["stream"] = True
            if dialect == "openai" and chance.random() < 0.5:
                body["stream_options"] = {"include_usage": True}
        body["temperature"] = 0 if kind == "same" else 1
        return body


def counts(sent: Sequence[Sent]) -> Counter[str]:
    """How many requests were answered, refused, failed or lost."""
    return Counter(_fate(one) for one in sent)


def _fate(sent: Sent) -> str:
    if sent.status == 0:
        return "lost"
    if sent.status == 200:
        return "answered" if sent.complete else "cut"
    return f"refused_{sent.status}" if sent.status in (402, 409, 429, 503) else "failed"


def _sent(operation: _Operation, answer: Answer) -> Sent:
    return Sent(
        kind=operation.kind,
        tenant=operation.tenant,
        key=operation.key,
        model=operation.model,
        operation=operation.name,
        feature=operation.feature,
        run=operation.run,
        idempotency_key=operation.idempotency_key,
        status=answer.status,
        request_id=answer.headers.get("x-request-id"),
        complete=answer.complete,
        interrupted=answer.status == 409 and answer.complete and "retry-after" not in answer.headers,
        digest=sha256(answer.body).hexdigest(),
    )
