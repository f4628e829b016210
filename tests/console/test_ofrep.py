"""OFREP, against the shapes of its published description: single and bulk, ETags, keys, and contexts that are none."""

from typing import Any

import httpx
import pytest

from tests.console.test_api import bearer
from tests.support.console import FakeConsole

PATH = "/ofrep/v1/evaluate/flags"
OPERATOR: dict[str, Any] = {"actor": "operator:ada", "by": "operator"}


async def flagged(console: FakeConsole) -> None:
    tenant = await console.tenants.tenant_or_new("acme", "acme")
    await console.flags.create(None, "beta", type="boolean", **OPERATOR)
    rules = [{"conditions": [{"attribute": "user", "equals": "ada"}], "variant": "large"}]
    sizes = {"small": 1, "large": 2.5}
    await console.flags.create(
        tenant.id, "size", type="number", variants=sizes, default_variant="small", rules=rules, actor="a"
    )
    split = [{"split": {"weights": {"on": 1}}}]
    await console.flags.create(tenant.id, "split", type="boolean", rules=split, actor="a")
    await console.flag_book.start()


@pytest.mark.parametrize("scope", ["inference", "flags"])
async def test_one_flag(console: FakeConsole, api: httpx.AsyncClient, scope: str) -> None:
    await flagged(console)
    headers = await bearer(console, scope)
    told = await api.post(f"{PATH}/size", json={"context": {"targetingKey": "u1", "user": "ada"}}, headers=headers)
    assert (told.status_code, told.headers["content-type"]) == (200, "application/json")
    assert told.json() == {
        "key": "size",
        "value": 2.5,
        "reason": "TARGETING_MATCH",
        "variant": "large",
        "metadata": {"owner": "tenant", "revision": 1},
    }
    told = await api.post(f"{PATH}/beta", json={}, headers=headers)
    assert (told.json()["value"], told.json()["reason"]) == (False, "STATIC")
    assert (await api.post(f"{PATH}/beta", headers=headers)).json() == told.json()  # without a body


async def test_all_flags_and_their_etag(console: FakeConsole, api: httpx.AsyncClient) -> None:
    await flagged(console)
    headers, body = await bearer(console, "inference"), {"context": {"targetingKey": "u1"}}
    told = await api.post(PATH, json=body, headers=headers)
    assert told.status_code == 200
    assert [(flag["key"], flag["value"]) for flag in told.json()["flags"]] == [
        ("beta", False),
        ("size", 1),
        ("split", True),
    ]
    etag = told.headers["etag"]
    for named in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        same = await api.post(PATH, json=body, headers=headers | {"if-none-match": named})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    other = await api.post(
        PATH, json={"context": {"targetingKey": "u1", "user": "ada"}}, headers=headers | {"if-none-match": etag}
    )
    assert other.status_code == 200
    await console.flags.change(None, "beta", enabled=False, **OPERATOR)
    await console.flag_book.start()
    changed = await api.post(PATH, json=body, headers=headers | {"if-none-match": etag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag


async def test_a_flag_that_fails_does_not_keep_the_others(console: FakeConsole, api: httpx.AsyncClient) -> None:
    await flagged(console)
    flags = (await api.post(PATH, json={"context": {}}, headers=await bearer(console, "inference"))).json()["flags"]
    assert [flag["key"] for flag in flags] == ["beta", "size", "split"]
    assert flags[2]["errorCode"] == "TARGETING_KEY_MISSING"
    assert set(flags[2]) == {"key", "errorCode", "errorDetails"}


@pytest.mark.parametrize(
    ("key", "body", "status", "code"),
    [
        ("none", b'{"context": {}}', 404, "FLAG_NOT_FOUND"),
        ("a%00b", b'{"context": {}}', 404, "FLAG_NOT_FOUND"),
        ("split", b'{"context": {}}', 400, "TARGETING_KEY_MISSING"),
        ("size", b'{"context": []}', 400, "INVALID_CONTEXT"),
        ("size", b'{"context": {"targetingKey": 1}}', 400, "INVALID_CONTEXT"),
        ("size", b"[]", 400, "INVALID_CONTEXT"),
        ("size", b"{", 400, "PARSE_ERROR"),
        ("size", b"\xff", 400, "PARSE_ERROR"),
        ("size", b'{"context": {"a": NaN}}', 400, "PARSE_ERROR"),
        ("size", b'{"context": {"a": 1, "a": 2}}', 400, "PARSE_ERROR"),
        ("size", b'{"context": ' + b"[" * 30_000, 400, "PARSE_ERROR"),
    ],
)
async def test_what_cannot_be_evaluated(
    console: FakeConsole, api: httpx.AsyncClient, key: str, body: bytes, status: int, code: str
) -> None:
    await flagged(console)
    headers = await bearer(console, "inference")
    told = await api.post(f"{PATH}/{key}", content=body, headers=headers)
    assert (told.status_code, told.json()["errorCode"]) == (status, code)
    assert told.json()["key"] == key.replace("%00", "\x00")
    if code in ("INVALID_CONTEXT", "PARSE_ERROR"):
        bulk = await api.post(PATH, content=body, headers=headers)
        assert (bulk.status_code, set(bulk.json())) == (400, {"errorCode", "errorDetails"})


async def test_keys(console: FakeConsole, api: httpx.AsyncClient) -> None:
    await flagged(console)
    good = (await bearer(console, "inference"))["authorization"].removeprefix("Bearer ")
    assert (await api.post(PATH, json={}, headers={"x-api-key": good})).status_code == 200
    for headers in ({}, {"x-api-key": "tf_wrong"}, {"authorization": "Bearer tf_wrong"}, {"authorization": "Basic x"}):
        refused = await api.post(PATH, json={}, headers=headers)
        assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")
    refused = await api.post(f"{PATH}/beta", json={}, headers=await bearer(console, "usage"))
    assert (refused.status_code, refused.headers["content-type"]) == (403, "application/problem+json")
    missing = await api.post("/ofrep/v1/nothing", json={}, headers={"x-api-key": good})
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")


async def test_another_tenant(console: FakeConsole, api: httpx.AsyncClient) -> None:
    await flagged(console)
    others = await bearer(console, "inference", slug="globex")
    body = {"context": {"tenant": "acme", "targetingKey": "u1"}}
    assert (await api.post(f"{PATH}/size", json=body, headers=others)).status_code == 404
    told = (await api.post(PATH, json=body, headers=others)).json()["flags"]
    assert [flag["key"] for flag in told] == ["beta"]


async def test_too_large_a_context(console: FakeConsole, api: httpx.AsyncClient) -> None:
    headers = await bearer(console, "inference")
    assert (await api.post(PATH, json={"context": {"a": "x" * 70_000}}, headers=headers)).status_code == 413
