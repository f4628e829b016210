"""What every reply and every form has for its safety: headers, body limits, cookies, and proof that a form is ours.

It refuses to decide who someone is; that is `visitors`.
"""

import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable, Collection, Mapping
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tenfold.core.errors import PermissionDenied
from tenfold.core.ids import uuid7

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 64 * 1024  # the longest form holds a question of 2,000 characters

_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors "
)
_HEADERS = {
    "content-security-policy": _CONTENT_SECURITY_POLICY + "'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with no-referrer, browsers would send forms with `Origin: null`
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_HSTS = "max-age=31536000"


def embeddable(request: Request, ancestors: Collection[str] | None = None) -> None:
    """The reply to this request may be used by pages of other sites: as a script, say, or, with `ancestors`, in a frame
    of these origins."""
    request.state.embeddable = True
    if ancestors is not None:
        request.state.frame_ancestors = " ".join(["'self'", *sorted(ancestors)])


class SafeReplies:
    """Around everything: a request id and the security headers on every reply, a limit on every body (`larger`: of
    paths where it is another than MAX_BODY_BYTES), HEAD for every GET, and a reply also when a handler crashes."""

    def __init__(
        self, app: ASGIApp, on_crash: Callable[[Request], Response], larger: Mapping[str, int] | None = None
    ) -> None:
        self._app = app
        self._on_crash = on_crash
        self._larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        reply = _Reply(scope, send)
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        try:
            most_bytes = self._larger.get(scope["path"], MAX_BODY_BYTES)
            await self._app(scope, _limited(receive, most_bytes), reply.send)
        except Exception:  # the edge of the process: a bug is logged and becomes a 500, not a closed connection
            logger.exception("a page crashed", extra={"request_id": reply.request_id, "path": scope["path"]})
            if reply.begun:
                raise
            await self._on_crash(Request(scope))(scope, receive, reply.send)


class _Reply:
    def __init__(self, scope: Scope, send: Send) -> None:
        self.begun = False
        self._state: dict[str, Any] = scope.setdefault("state", {})
        self.request_id: str = self._state.setdefault("request_id", f"req_{uuid7().hex}")
        self._send = send
        self._no_body = scope["method"] == "HEAD"
        self._https = scope["scheme"] == "https"

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            if self._state.get("embeddable"):
                headers["cross-origin-resource-policy"] = "cross-origin"
            if ancestors := self._state.get("frame_ancestors"):
                headers["content-security-policy"] = _CONTENT_SECURITY_POLICY + ancestors
                del headers["x-frame-options"]  # it knows no list of origins
            headers.setdefault("cache-control", "no-store")
            headers["x-request-id"] = self.request_id
            if self._https:
                headers["strict-transport-security"] = _HSTS
        elif self._no_body and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)


def _limited(receive: Receive, most_bytes: int) -> Receive:
    size = 0

    async def limited_receive() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most_bytes:
            raise HTTPException(413, f"A request here has at most {most_bytes // 1024} KiB.")
        return message

    return limited_receive


class Cookies:
    """The session, and the visitor that anonymous forms are bound to. Over https the names carry `__Host-`, so that
    no other host of the domain can plant them."""

    def __init__(self, *, always_secure: bool) -> None:
        self._always_secure = always_secure

    def session(self, request: Request) -> str:
        return request.cookies.get(self._name(request, "session"), "")

    def set_session(self, request: Request, response: Response, token: str, max_age_s: int) -> None:
        self._set(request, response, "session", token, max_age_s)

    def end_session(self, request: Request, response: Response) -> None:
        response.delete_cookie(
            self._name(request, "session"), secure=self._secure(request), httponly=True, samesite="lax"
        )

    def visitor(self, request: Request) -> str:
        return request.cookies.get(self._name(request, "visitor"), "")

    def set_visitor(self, request: Request, response: Response, token: str) -> None:
        self._set(request, response, "visitor", token, None)

    def _set(self, request: Request, response: Response, kind: str, value: str, max_age_s: int | None) -> None:
        response.set_cookie(
            self._name(request, kind),
            value,
            max_age=max_age_s,
            secure=self._secure(request),
            httponly=True,
            samesite="lax",
        )

    def _name(self, request: Request, kind: str) -> str:
        return f"__Host-tenfold_{kind}" if self._secure(request) else f"tenfold_{kind}"

    def _secure(self, request: Request) -> bool:
        return self._always_secure or request.url.scheme == "https"


def new_visitor() -> str:
    return secrets.token_urlsafe(24)


def form_token(cookie: str) -> str:
    """What a form must hold to be ours: derived from a cookie that other sites can neither read nor set."""
    return hashlib.sha256(b"tenfold form " + cookie.encode("utf-8", "surrogatepass")).hexdigest()


def check_form(request: Request, cookie: str, presented: str) -> None:
    """Raises PermissionDenied for a form that another site made (OWASP: token bound to the session, and the origin)."""
    fits = hmac.compare_digest(form_token(cookie).encode(), presented.encode("utf-8", "surrogatepass"))
    if not cookie or not fits or not same_origin(request):
        raise PermissionDenied("This form has expired or was not sent from here. Please go back and try again.")


def same_origin(request: Request) -> bool:
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    if origin is None:  # older browsers leave it out
        return True
    _, _, host = origin.partition("://")
    return host == request.headers.get("host")  # the scheme differs where TLS ends before us
