"""Keys at the front door: missing, wrong, revoked, expired, without the scope, and another tenant's."""

import asyncio
import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.support.raw_client import RawReply, exchange, post
from tests.support.tenfold_process import TenfoldProcess
from tests.support.upstream_server import UpstreamServer, eventually

BODY = {"model": "gpt-4o-mini", "max_tokens": 5, "messages": [{"role": "user", "content": "hello"}]}
PATHS = ["/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens", "/v1/embeddings"]


def ask(tenfold: TenfoldProcess, key: str | None, path: str = PATHS[0], **headers: str) -> httpx.Response:
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    return httpx.post(f"{tenfold.url}{path}", json=BODY, headers=headers, timeout=20)


def create(tenfold: TenfoldProcess, **more: Any) -> dict[str, Any]:
    """A key made through the API, with its secret."""
    reply = httpx.post(
        f"{tenfold.url}/api/v1/keys",
        json={"name": f"k-{uuid.uuid4().hex[:8]}", **more},
        headers={"Authorization": f"Bearer {tenfold.key}"},
    )
    assert reply.status_code == 201, reply.text
    created: dict[str, Any] = reply.json()
    return created


def refused(reply: RawReply, path: str) -> bool:
    """As a wrong key is, in the dialect of the path."""
    kind = "authentication_error" if "messages" in path else "invalid_request_error"
    return reply.status == 401 and bool(reply.json["error"]["type"] == kind)


WRONG = ["", " ", "x", "tf_" + "a" * 50, "a" * 100_000, "tf-test-bootstrap-key-012345678", "ключ", "Bearer x", "'; --"]


@pytest.mark.parametrize("path", PATHS)
def test_no_key_and_wrong_keys(tenfold: TenfoldProcess, upstream: UpstreamServer, path: str) -> None:
    with upstream.recording() as seen:
        keyless = exchange(tenfold.url, post(path, json.dumps(BODY).encode()))
        assert keyless is not None
        assert refused(keyless, path)
        for key in WRONG:
            for scheme in ("Bearer ", "bearer ", "Basic ", "Token ", ""):
                line = f"Authorization: {scheme}{key}\r\n".encode()
                reply = exchange(tenfold.url, post(path, json.dumps(BODY).encode(), headers=line))
                assert reply is not None
                assert reply.status == 431 if len(key) > 60_000 else refused(reply, path), key[:50]
                assert len(key) < 8 or key[:40].encode() not in reply.body, "a key is never repeated"
    assert seen == []


def test_where_a_key_may_stand(tenfold: TenfoldProcess) -> None:
    assert ask(tenfold, tenfold.key).status_code == 200
    assert ask(tenfold, None, authorization=f"bearer {tenfold.key}").status_code == 200
    for path in PATHS[:2]:
        assert ask(tenfold, None, path, **{"x-api-key": tenfold.key}).status_code == 200
    assert httpx.get(f"{tenfold.url}/v1/models").status_code == 401
    assert httpx.get(f"{tenfold.url}/v1/models", headers={"x-api-key": tenfold.key}).status_code == 200


def test_a_revoked_key_is_refused_within_a_second(tenfold: TenfoldProcess) -> None:
    created = create(tenfold)
    assert ask(tenfold, created["secret"]).status_code == 200
    reply = httpx.delete(
        f"{tenfold.url}/api/v1/keys/{created['id']}", headers={"Authorization": f"Bearer {tenfold.key}"}
    )
    assert reply.status_code == 200
    eventually(lambda: ask(tenfold, created["secret"]).status_code == 401, "the key is refused", 1.0)


def test_a_key_revoked_by_another_process(tenfold: TenfoldProcess) -> None:
    made = json.loads(tenfold.cli("key", "create", "--name", "by-hand", "--json").stdout)
    eventually(lambda: ask(tenfold, made["secret"]).status_code == 200, "the new key works", 1.0)
    assert tenfold.cli("key", "revoke", made["key"]["id"]).returncode == 0
    eventually(lambda: ask(tenfold, made["secret"]).status_code == 401, "the key is refused", 1.0)


def test_a_key_expires(tenfold: TenfoldProcess) -> None:
    end = datetime.now(UTC) + timedelta(seconds=1.2)
    created = create(tenfold, expires_at=end.isoformat())
    assert ask(tenfold, created["secret"]).status_code == 200
    time.sleep(max(0.0, (end - datetime.now(UTC)).total_seconds()))  # the end is a time, not an event
    assert ask(tenfold, created["secret"]).status_code == 401


def test_a_key_without_the_scope(tenfold: TenfoldProcess, upstream: UpstreamServer) -> None:
    created = create(tenfold, scopes=["usage"])
    with upstream.recording() as seen:
        reply = ask(tenfold, created["secret"])
        assert (reply.status_code, reply.json()["error"]["type"]) == (403, "permission_error")
        reply = ask(tenfold, created["secret"], "/v1/messages")
        assert (reply.status_code, reply.json()["error"]["type"]) == (403, "permission_error")
    assert seen == []
    reply = httpx.get(f"{tenfold.url}/api/v1/keys", headers={"Authorization": f"Bearer {created['secret']}"})
    assert reply.status_code == 403


def test_keys_of_another_tenant_do_not_exist(tenfold: TenfoldProcess) -> None:
    slug = f"t-{uuid.uuid4().hex[:8]}"
    assert tenfold.cli("tenant", "create", slug).returncode == 0
    theirs = json.loads(tenfold.cli("key", "create", "--tenant", slug, "--json").stdout)
    ours = create(tenfold)
    headers = {"Authorization": f"Bearer {theirs['secret']}"}
    reply = httpx.delete(f"{tenfold.url}/api/v1/keys/{ours['id']}", headers=headers)
    assert reply.status_code == 404
    listed = httpx.get(f"{tenfold.url}/api/v1/keys", headers=headers).json()["data"]
    assert [key["id"] for key in listed] == [theirs["key"]["id"]]
    assert tenfold.cli("key", "revoke", ours["id"], "--tenant", slug).returncode == 1
    assert ask(tenfold, ours["secret"]).status_code == 200


async def test_many_wrong_keys_at_once_slow_nobody(tenfold: TenfoldProcess) -> None:
    async with httpx.AsyncClient(base_url=tenfold.url, timeout=20) as client:

        async def status(key: str) -> int:
            reply = await client.post(PATHS[0], json=BODY, headers={"Authorization": f"Bearer {key}"})
            return reply.status_code

        keys = [f"tf_wrong{number:045d}" for number in range(200)]
        statuses = await asyncio.gather(*(status(key) for key in [*keys, tenfold.key]))
    assert statuses == [401] * 200 + [200]


def test_secrets_are_nowhere_in_the_log(tenfold: TenfoldProcess) -> None:
    created = create(tenfold)
    ask(tenfold, created["secret"])
    ask(tenfold, created["secret"][:-4] + "wxyz")
    for secret in (created["secret"], tenfold.key, *UpstreamServer.keys.values()):
        assert secret not in tenfold.log()
        assert secret[:-4] not in tenfold.log()
