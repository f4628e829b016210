"""The exact cache: who is answered from memory, who is not, and at what cost."""

import json
import uuid
from typing import Any

import httpx
import pytest

from tests.e2e.calls import ask, every_dialect, every_vendor, receipts, whole_and_streamed
from tests.support.tenfold_process import TenfoldProcess
from tests.support.upstream_server import UpstreamServer


@every_dialect
@every_vendor
@whole_and_streamed
async def test_the_same_question_is_answered_from_memory(
    tenfold: TenfoldProcess, upstream: UpstreamServer, dialect: str, model: str, stream: bool
) -> None:
    mark = uuid.uuid4().hex
    question = f"Repeat: {mark}"
    replies = []
    with upstream.recording() as seen:
        for _ in range(3):
            headers = {"Tenfold-Feature": mark}
            replies.append(
                ask(tenfold, model, question, dialect=dialect, headers=headers, stream=stream, temperature=0)
            )
    assert len(seen) == 1
    assert len({reply.content for reply in replies}) == 1
    assert replies[0].headers["tenfold-cache"] == "miss"
    assert replies[1].headers["tenfold-cache"].startswith("hit; layer=memory; age=")
    assert replies[1].headers["x-request-id"] != replies[0].headers["x-request-id"]
    paid, *free = await receipts(tenfold, mark, 3)
    assert paid["cache"] == "miss"
    assert paid["total_nano"] > 0
    assert [(receipt["cache"], receipt["total_nano"]) for receipt in free] == [("hit", 0), ("hit", 0)]
    assert free[0]["output_tokens"] == paid["output_tokens"], "what it stands for is known"


def test_other_json_of_the_same_question(tenfold: TenfoldProcess, upstream: UpstreamServer) -> None:
    mark = uuid.uuid4().hex
    body = {"model": "gpt-4o-mini", "temperature": 0, "messages": [{"role": "user", "content": f"Repeat: {mark} é"}]}
    headers = {"Authorization": f"Bearer {tenfold.key}", "Content-Type": "application/json"}
    spellings = [
        json.dumps(body),
        json.dumps(body, indent=3),
        json.dumps(body, ensure_ascii=False),
        json.dumps(dict(reversed(body.items()))),
        json.dumps({**body, "user": "somebody"}),
    ]
    with upstream.recording() as seen:
        states = [
            httpx.post(f"{tenfold.url}/v1/chat/completions", content=spelling.encode(), headers=headers).headers[
                "tenfold-cache"
            ][:4]
            for spelling in spellings
        ]
    assert states == ["miss", "hit;", "hit;", "hit;", "hit;"]
    assert len(seen) == 1


def test_what_makes_another_question(tenfold: TenfoldProcess, upstream: UpstreamServer) -> None:
    mark = uuid.uuid4().hex

    def state(text: str = mark, model: str = "gpt-4o-mini", **more: Any) -> str:
        reply = ask(tenfold, model, f"Repeat: {text}", **{"temperature": 0, **more})
        assert reply.status_code == 200, reply.text
        return reply.headers["tenfold-cache"].split(";")[0]

    assert state() == "miss"
    assert state() == "hit"
    assert state(mark + " ") == "miss"
    assert state(model="claude-haiku-4-5") == "miss"
    assert state(max_tokens=299) == "miss"
    assert state(seed=1) == "miss"
    assert state(stream=True) == "miss"
    assert state(dialect="anthropic", model="claude-haiku-4-5") == "miss"
    assert state(temperature=0.1) == "bypass"
    assert state() == "hit"


def test_the_client_decides(tenfold: TenfoldProcess, upstream: UpstreamServer) -> None:
    mark = uuid.uuid4().hex

    def state(directive: str | None = None, **more: Any) -> str:
        headers = {"Tenfold-Cache-Control": directive} if directive else {}
        return ask(tenfold, "gpt-4o-mini", f"Repeat: {mark}", headers=headers, **more).headers["tenfold-cache"][:4]

    assert state("no-store", temperature=0) == "miss"
    assert state(temperature=0) == "miss"
    assert state("no-cache", temperature=0) == "miss"
    assert state(temperature=0) == "hit;"
    assert state("exact", temperature=1) == "miss"
    assert state("exact", temperature=1) == "hit;"
    assert state(temperature=1) == "bypa"
    assert ask(tenfold, "gpt-4o-mini", "x", headers={"Tenfold-Cache-Control": "forever"}).status_code == 400


def test_no_tenant_sees_another_tenants_answers(tenfold: TenfoldProcess, upstream: UpstreamServer) -> None:
    mark = uuid.uuid4().hex
    slug = f"t-{mark[:8]}"
    assert tenfold.cli("tenant", "create", slug).returncode == 0
    other = json.loads(tenfold.cli("key", "create", "--tenant", slug, "--json").stdout)["secret"]
    states = [
        ask(tenfold, "gpt-4o-mini", f"Repeat: {mark}", key=key, temperature=0).headers["tenfold-cache"][:4]
        for key in (tenfold.key, other, tenfold.key, other)
    ]
    assert states == ["miss", "miss", "hit;", "hit;"]


@pytest.mark.parametrize(
    ("fault", "stream"),
    [
        *((fault, True) for fault in ("cut 5", "end 5", "error-event 5", "status 500", "reset")),
        *((fault, False) for fault in ("cut", "status 500", "reset", "html", "garbage")),
    ],
)
def test_broken_answers_are_never_kept(
    tenfold: TenfoldProcess, upstream: UpstreamServer, fault: str, stream: bool
) -> None:
    mark = uuid.uuid4().hex
    with upstream.recording() as seen:
        for _ in range(2):
            reply = ask(tenfold, "gpt-4o-mini", f"Count to 30. {mark} [[{fault}]]", temperature=0, stream=stream)
            assert not reply.headers["tenfold-cache"].startswith("hit")
    assert len(seen) >= 2  # a request that a kept connection refused to carry is sent again on a new one


def test_embeddings_are_kept(tenfold: TenfoldProcess, upstream: UpstreamServer) -> None:
    body = {"model": "text-embedding-3-small", "input": uuid.uuid4().hex}
    headers = {"Authorization": f"Bearer {tenfold.key}"}
    with upstream.recording() as seen:
        replies = [httpx.post(f"{tenfold.url}/v1/embeddings", json=body, headers=headers) for _ in range(2)]
    assert len(seen) == 1
    assert replies[0].content == replies[1].content
    assert replies[1].headers["tenfold-cache"].startswith("hit")
