"""Errors as a program reads them (RFC 9457, application/problem+json) and as a person does (a page)."""

from collections.abc import Sequence
from http import HTTPStatus

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import Response

from tenfold.core.errors import TenfoldError

API_PREFIXES = ("/api/", "/ofrep/")
"""Of what programs read; the rest is pages."""

_TITLES = {
    403: "This was refused",
    404: "There is nothing here",
    405: "That is not possible here",
    413: "That is too much at once",
    429: "A little slower, please",
    500: "Something went wrong on our side",
    503: "The service is not available at the moment",
}
CRASHED = "It was noted, with the reference below. Trying again may help."


def problem(request: Request, error: TenfoldError) -> Response:
    return problem_response(
        request, error.status, error.code, error.message, param=error.param, headers=error_headers(error)
    )


def problem_response(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    param: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request.state.request_id,
    }
    if param is not None:
        body["param"] = param
    return Response(
        msgspec.json.encode(body), status_code=status, media_type="application/problem+json", headers=headers
    )


def error_headers(error: TenfoldError) -> dict[str, str]:
    headers = {} if error.retry_after_s is None else {"retry-after": str(max(1, round(error.retry_after_s)))}
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    return headers


def page_title(status: int) -> str:
    return _TITLES.get(status, HTTPStatus(status).phrase)


def validation_detail(error: RequestValidationError) -> tuple[str, str | None]:
    """What is wrong with a JSON body, without repeating it, and where."""
    errors: Sequence[dict[str, object]] = error.errors()
    first = errors[0] if errors else {}
    location = first.get("loc")
    path = [str(step) for step in location if step != "body"] if isinstance(location, tuple | list) else []
    if first.get("type") == "json_invalid":
        return "The body is not valid JSON.", None
    return str(first.get("msg", "The request is not valid.")), ".".join(path) or None
