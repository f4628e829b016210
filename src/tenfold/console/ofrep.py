"""OFREP, the OpenFeature Remote Evaluation Protocol (github.com/open-feature/protocol, version 0.2): flags for any
OpenFeature SDK in any language. It refuses to evaluate anything itself.
"""

from hashlib import blake2b
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from msgspec import json
from starlette.requests import Request
from starlette.responses import Response

from tenfold.console.api_parts import PROBLEMS
from tenfold.console.services import ConsoleServices, FlagValues
from tenfold.core.errors import InvalidRequest, Unauthenticated
from tenfold.core.headers import still_holds
from tenfold.core.json_guard import load_json
from tenfold.core.principal import SCOPE_FLAGS, SCOPE_INFERENCE, Principal
from tenfold.rollout.evaluation import ErrorCode, Evaluation, problem_of

PATH = "/ofrep/v1/evaluate/flags"

_CONTEXT = {
    "requestBody": {
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "context": {"type": "object", "description": "Attributes, targetingKey among them."}
                    },
                }
            }
        }
    }
}


class _Refused(Exception):
    """Of the context."""

    def __init__(self, code: ErrorCode, details: str) -> None:
        self.body = {"errorCode": code, "errorDetails": details}


def ofrep_routes(services: ConsoleServices, flags: FlagValues) -> APIRouter:
    routes = APIRouter(responses=PROBLEMS, tags=["flags"])
    bearer = HTTPBearer(auto_error=False, description="An API key.")
    header = APIKeyHeader(name="X-API-Key", auto_error=False, description="An API key.")

    async def asker(
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
        api_key: Annotated[str | None, Depends(header)],
    ) -> Principal:
        key = api_key if credentials is None else credentials.credentials
        if key is None:
            raise Unauthenticated("An API key is needed: Authorization: Bearer <key>, or X-API-Key: <key>.")
        who = services.keyring.authenticate(key) or await services.keyring.load(key)
        if SCOPE_INFERENCE not in who.scopes:  # whoever may call models may know which
            who.require(SCOPE_FLAGS)
        return who

    caller = Annotated[Principal, Depends(asker)]

    @routes.post(f"{PATH}/{{key}}", summary="Evaluate a flag (OFREP)", openapi_extra=_CONTEXT)
    async def evaluate_flag(request: Request, key: str, who: caller) -> Response:
        try:
            context = await _context(request)
        except _Refused as refused:
            return _json(400, {"key": key, **refused.body})
        found = await flags.evaluate(who, key, context)
        status = {None: 200, "FLAG_NOT_FOUND": 404}.get(found.error_code, 400)
        return _json(status, _told(found))

    @routes.post(PATH, summary="Evaluate all flags (OFREP)", openapi_extra=_CONTEXT)
    async def evaluate_flags(request: Request, who: caller) -> Response:
        try:
            context = await _context(request)
        except _Refused as refused:
            return _json(400, refused.body)
        body = json.encode({"flags": [_told(found) for found in await flags.evaluate_all(who, context)]})
        etag = f'"{blake2b(body, digest_size=16).hexdigest()}"'
        headers = {"etag": etag, "cache-control": "private, no-cache"}
        if still_holds(request.headers.get("if-none-match"), etag):
            return Response(status_code=304, headers=headers)
        return Response(body, media_type="application/json", headers=headers)

    return routes


async def _context(request: Request) -> dict[str, Any]:
    """Raises _Refused."""
    try:
        body = load_json(await request.body() or b"{}")
    except InvalidRequest as error:
        raise _Refused("PARSE_ERROR", error.message) from None
    context = body.get("context") if isinstance(body, dict) else body
    if context is None:
        return {}
    if not isinstance(context, dict):
        raise _Refused("INVALID_CONTEXT", "The context is a JSON object.")
    problem = problem_of(context)
    if problem is not None:
        raise _Refused("INVALID_CONTEXT", problem)
    return context


def _told(found: Evaluation) -> dict[str, Any]:
    if found.error_code is not None:
        return {"key": found.key, "errorCode": found.error_code, "errorDetails": found.error_details}
    assert found.flag is not None
    return {
        "key": found.key,
        "value": found.value,
        "reason": found.reason,
        "variant": found.variant,
        "metadata": {"owner": found.flag.owner, "revision": found.flag.revision},
    }


def _json(status: int, body: object) -> Response:
    return Response(json.encode(body), status_code=status, media_type="application/json")
