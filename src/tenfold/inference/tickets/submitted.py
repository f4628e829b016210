"""A call as a job that a tenant submits itself, or that a schedule makes: which of the model routes, and the body."""

from typing import Any

from msgspec import json

from tenfold.core.call import CallOptions, Operation
from tenfold.core.errors import InvalidRequest
from tenfold.core.principal import Principal
from tenfold.inference.tickets.types import KIND, LaterCall, job_of
from tenfold.jobs.types import NewJob

_PATHS: dict[str, tuple[Operation, str]] = {
    "/v1/chat/completions": ("chat", "openai"),
    "/v1/embeddings": ("embeddings", "openai"),
    "/v1/messages": ("chat", "anthropic"),
}
_LABELS = frozenset({"feature", "task", "user", "run"})  # as the headers name them
_MAX_LABEL = 200


class SubmittableCall:
    """Implements `jobs.submissions.Submittable`. The input: `{"path", "body", "feature", "task", "user", "run"}`."""

    kind = KIND

    def job(self, principal: Principal, asked: Any) -> NewJob:
        """Raises InvalidRequest. What is wrong with the body beyond that comes out when it is called."""
        if not isinstance(asked, dict):
            raise InvalidRequest("input: an object with `path` and `body` is needed.", param="input")
        unknown = sorted(str(name) for name in asked.keys() - {"path", "body", *_LABELS})
        if unknown:
            raise InvalidRequest(f"input: {unknown[0][:40]} is not known there.", param=f"input.{unknown[0][:40]}")
        path, body = asked.get("path"), asked.get("body")
        if not isinstance(path, str) or path not in _PATHS:
            raise InvalidRequest(f"input.path: one of {', '.join(_PATHS)}.", param="input.path")
        if not isinstance(body, dict) or not isinstance(body.get("model"), str):
            raise InvalidRequest("input.body: the body of such a call, with a `model`.", param="input.body")
        if body.get("stream"):
            raise InvalidRequest("input.body.stream: nobody listens to a job; leave it out.", param="input.body.stream")
        operation, dialect = _PATHS[path]
        options = CallOptions(
            feature=_label(asked, "feature"),
            task=_label(asked, "task"),
            end_user=_label(asked, "user"),
            run=_label(asked, "run"),
        )
        call = LaterCall(operation=operation, dialect=dialect, options=options, body=json.encode(body))
        return job_of(principal, call, body["model"])


def _label(asked: dict[str, Any], name: str) -> str | None:
    value = asked.get(name)
    if value is not None and not (isinstance(value, str) and 0 < len(value) <= _MAX_LABEL and value.isprintable()):
        raise InvalidRequest(f"input.{name}: at most {_MAX_LABEL} printable characters.", param=f"input.{name}")
    return value
