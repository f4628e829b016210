"""The semantic cache of a real Tenfold: asked for by a header, seen by the API, silent before it has seen enough; and
documents that are evicted."""

import uuid
from typing import Any

import httpx

from tests.e2e.calls import ask
from tests.support.tenfold_process import TenfoldProcess
from tests.support.upstream_server import UpstreamServer, eventually

BY_MEANING = {"Tenfold-Cache-Control": "semantic, max-false-hits=0.05", "Tenfold-Explain": "cache"}
REFUND = "How do I get a refund?"


def test_a_scope_is_made_and_learns_before_it_answers(tenfold: TenfoldProcess, upstream: UpstreamServer) -> None:
    seed = uuid.uuid4().int % 10**6  # a scope of this test's own
    api = httpx.Client(base_url=f"{tenfold.url}/api/v1/cache", headers={"Authorization": f"Bearer {tenfold.key}"})

    def why(question: str) -> str:
        reply = ask(tenfold, "gpt-4o-mini", question, headers=BY_MEANING, seed=seed)
        assert reply.status_code == 200, reply.text
        assert reply.headers["tenfold-cache"] == "miss"
        return reply.headers["tenfold-cache-why"].split(";")[0]

    def scopes() -> dict[str, dict[str, Any]]:
        return {each["id"]: each for each in api.get("/scopes").json()["data"]}

    with api:
        before = scopes()
        eventually(lambda: why(REFUND) == "empty", "the scope is read", 30)
        (made,) = scopes().keys() - before.keys()
        eventually(lambda: scopes()[made]["entries"] > 0, "its first answer is kept", 30)
        assert why(f"{REFUND} Please.") in ("bound", "guard", "neighbours", "uncertain", "far")
        assert api.get(f"/scopes/{made}").json()["state"] == "learning"
        assert api.post(f"/scopes/{made}/reset").status_code == 204
        eventually(lambda: why(REFUND) == "empty", "the reset is heard of", 30)


def test_an_answer_in_memory_goes_with_the_document_that_it_rests_on(
    tenfold: TenfoldProcess, upstream: UpstreamServer
) -> None:
    mark = uuid.uuid4().hex

    def state(version: int) -> str:
        headers = {"Tenfold-Documents": f"{mark}@{version}"}
        reply = ask(tenfold, "gpt-4o-mini", f"Repeat: {mark}", headers=headers, temperature=0)
        return reply.headers["tenfold-cache"].split(";")[0]

    eventually(lambda: state(7) == "hit", "the answer by version 7 is kept", 30)
    assert state(8) == "miss"
    evicted = httpx.post(
        f"{tenfold.url}/api/v1/cache/evict",
        json={"documents": [f"{mark}@7"]},
        headers={"Authorization": f"Bearer {tenfold.key}"},
    )
    assert evicted.json() == {"evicted": 0}  # it was in memory only
    eventually(lambda: state(7) == "miss", "version 7 is gone", 30)
    assert [state(7) for _ in range(3)] == ["miss"] * 3
    eventually(lambda: state(8) == "hit", "the answer by version 8 is kept", 30)
