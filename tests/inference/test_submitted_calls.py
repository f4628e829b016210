"""Calls that are submitted as jobs: what may be, and what is kept of them."""

from typing import Any

import pytest
from msgspec import json

from tenfold.core.errors import InvalidRequest
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import Principal
from tenfold.inference.tickets.submitted import SubmittableCall
from tenfold.inference.tickets.types import LaterCall

WHO = Principal(tenant_id=TenantId(uuid7()), tenant_slug="acme")
BODY = {"model": "fast", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize(
    ("path", "operation", "dialect"),
    [
        ("/v1/chat/completions", "chat", "openai"),
        ("/v1/embeddings", "embeddings", "openai"),
        ("/v1/messages", "chat", "anthropic"),
    ],
)
def test_a_call_becomes_a_job(path: str, operation: str, dialect: str) -> None:
    asked = {"path": path, "body": BODY, "feature": "digest", "user": "Zoe", "run": "r1", "task": "t"}
    new = SubmittableCall().job(WHO, asked)
    kept = json.decode(new.input, type=LaterCall)
    assert (kept.operation, kept.dialect, json.decode(kept.body)) == (operation, dialect, BODY)
    assert (kept.options.feature, kept.options.end_user, kept.options.run, kept.options.task) == (
        "digest",
        "Zoe",
        "r1",
        "t",
    )
    assert (new.kind, new.principal, new.facts["model"], new.facts["feature"]) == ("call", WHO, "fast", "digest")
    again = SubmittableCall().job(WHO, asked)
    assert (again.input, again.facts) == (new.input, new.facts)
    assert again.id != new.id


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        (None, "input"),
        ([], "input"),
        ({}, "input.path"),
        ({"path": "/v1/models", "body": BODY}, "input.path"),
        ({"path": ["/v1/messages"], "body": BODY}, "input.path"),
        ({"path": "/v1/messages"}, "input.body"),
        ({"path": "/v1/messages", "body": "{}"}, "input.body"),
        ({"path": "/v1/messages", "body": {}}, "input.body"),
        ({"path": "/v1/messages", "body": {"model": 7}}, "input.body"),
        ({"path": "/v1/messages", "body": BODY | {"stream": True}}, "input.body.stream"),
        ({"path": "/v1/messages", "body": BODY, "url": "http://x"}, "input.url"),
        ({"path": "/v1/messages", "body": BODY, "feature": 7}, "input.feature"),
        ({"path": "/v1/messages", "body": BODY, "user": "a\nb"}, "input.user"),
        ({"path": "/v1/messages", "body": BODY, "run": "x" * 201}, "input.run"),
    ],
)
def test_what_cannot_be(asked: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        SubmittableCall().job(WHO, asked)
    assert refused.value.param == param
