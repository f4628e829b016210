"""Answers to what is no request: the server gives them itself, as JSON in OpenAI's shape, and the connection ends."""

from dataclasses import dataclass
from http import HTTPStatus

from msgspec import json


@dataclass(frozen=True, kw_only=True)
class Refusal:
    status: HTTPStatus
    code: str
    message: str
    kind: str = "invalid_request_error"

    def reply(self, date_line: str) -> bytes:
        error = {"message": self.message, "type": self.kind, "param": None, "code": self.code}
        body = json.encode({"error": error})
        retry = "retry-after: 1\r\n" if self.status == HTTPStatus.SERVICE_UNAVAILABLE else ""
        head = (
            f"HTTP/1.1 {self.status.value} {self.status.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n{retry}{date_line}\r\n"
        )
        return head.encode() + body


class Refused(Exception):
    """Raised inside the parser's callbacks, which stops the parser."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


NOT_HTTP = Refusal(
    status=HTTPStatus.BAD_REQUEST,
    code="invalid_request",
    message="The bytes are not a valid HTTP/1.1 request.",
)
NO_HOST = Refusal(
    status=HTTPStatus.BAD_REQUEST,
    code="invalid_request",
    message="An HTTP/1.1 request has exactly one Host header.",
)
NO_TUNNEL = Refusal(
    status=HTTPStatus.BAD_REQUEST,
    code="invalid_request",
    message="This server is no proxy.",
)
UNKNOWN_FRAMING = Refusal(
    status=HTTPStatus.BAD_REQUEST,
    code="invalid_request",
    message="The only transfer coding this server takes is chunked, in HTTP/1.1.",
)
UNKNOWN_VERSION = Refusal(
    status=HTTPStatus.HTTP_VERSION_NOT_SUPPORTED,
    code="http_version_not_supported",
    message="This server speaks HTTP/1.1 and HTTP/1.0.",
)
HEAD_TOO_LARGE = Refusal(
    status=HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    code="headers_too_large",
    message="The request's headers are larger or more than this server takes.",
)
HEAD_TOO_SLOW = Refusal(
    status=HTTPStatus.REQUEST_TIMEOUT,
    code="request_timeout",
    message="The request's headers did not arrive in time.",
    kind="timeout_error",
)
TOO_MANY_CONNECTIONS = Refusal(
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    code="overloaded",
    message="This server has as many connections as it may have. Try again shortly.",
    kind="server_error",
)
