"""Bytes to requests, by httptools (llhttp, strict). Holds the head being parsed and the request whose body arrives.

What llhttp lets pass and this server does not: see `on_headers_complete`.
"""

import logging
from typing import Protocol

import httptools

from tenfold.edge.http.limits import ServerLimits
from tenfold.edge.http.refusal import (
    HEAD_TOO_LARGE,
    NO_HOST,
    NO_TUNNEL,
    NOT_HTTP,
    UNKNOWN_FRAMING,
    UNKNOWN_VERSION,
    Refusal,
    Refused,
)
from tenfold.edge.http.request import Request, Wire

logger = logging.getLogger(__name__)


class Taker(Wire, Protocol):
    """The connection, as its parser sees it."""

    @property
    def stopping(self) -> bool: ...

    def head_begun(self) -> None: ...

    def arrived(self, request: Request) -> None:
        """The head of a request is complete."""
        ...

    def failed(self, refusal: Refusal, incoming: Request | None) -> None:
        """Nothing more can be understood, of the body of `incoming` neither; nothing more may be fed."""
        ...


class RequestParser:
    __slots__ = (
        "_fresh",
        "_headers",
        "_http",
        "_limits",
        "_replay",
        "_room",
        "_taker",
        "_target",
        "_tunnel",
        "_unframed",
        "client",
        "incoming",
    )

    def __init__(self, taker: Taker, limits: ServerLimits) -> None:
        self._taker = taker
        self._limits = limits
        self._http = httptools.HttpRequestParser(self)
        self.client = ""
        self.incoming: Request | None = None  # its body is still arriving
        # Of the request whose head is being parsed
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._room = 0  # for further headers
        self._fresh = 0  # length of the slice, while no request began in it
        self._unframed = 0  # bytes of a head, or since the last piece of a body; 0 between requests
        self._replay: bytes | None = None  # a head to parse again, without the offer to change the protocol
        self._tunnel: Request | None = None  # what comes behind it is not HTTP

    @property
    def in_head(self) -> bool:
        return self._unframed > 0 and self.incoming is None

    def feed(self, data: bytes | memoryview) -> None:
        if self._unframed or self.incoming is not None:
            if self._tunnel is not None:
                self._tunnel.feed(bytes(data))
                return
            self._unframed += len(data)
            self._fresh = 0
        else:
            self._fresh = len(data)
        behind: int | None = None
        try:
            self._http.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            behind = upgrade.args[0]
        except httptools.HttpParserError as error:
            self._fail(_refusal(error))
            return
        if behind is not None and self._tunnel is not None:
            self.incoming = self._tunnel
            if behind < len(data):
                self._tunnel.feed(bytes(data[behind:]))
        elif behind is not None:
            self._feed_again(bytes(data[behind:]))
        elif self._unframed > self._limits.max_head_bytes:
            self._fail(HEAD_TOO_LARGE)

    def close(self) -> None:
        """The parser of httptools holds this object's methods: a cycle that would wait for the garbage collector."""
        del self._http
        self._tunnel = self.incoming = None

    # -- httptools ---------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers = {}
        self._room = self._limits.max_headers
        self._unframed = self._fresh or 1
        self._fresh = 0
        self._taker.head_begun()

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        value = value.rstrip()
        headers = self._headers
        if len(headers) >= self._room:
            raise Refused(HEAD_TOO_LARGE)
        if name in headers:
            if name == b"host":
                raise Refused(NO_HOST)
            self._room -= 1
            value = headers[name] + (b"; " if name == b"cookie" else b", ") + value
        headers[name] = value

    def on_headers_complete(self) -> None:
        parser, target, headers = self._http, self._target, self._headers
        most = self._limits.max_head_bytes
        if self._unframed > most and _head_size(target, headers) > most:
            raise Refused(HEAD_TOO_LARGE)
        self._unframed = 0
        version = parser.get_http_version()
        http11 = version == "1.1"
        if not http11 and version != "1.0":
            raise Refused(UNKNOWN_VERSION)
        socket = False
        if b"upgrade" in headers and parser.should_upgrade():
            socket = http11 and parser.get_method() == b"GET" and _offers_websocket(headers)
            if not socket:
                self._replay = _without_upgrade(parser.get_method(), target, version, headers)
                return
        if http11 and b"host" not in headers:
            raise Refused(NO_HOST)
        if b"transfer-encoding" in headers:
            if not http11 or headers[b"transfer-encoding"].lower() != b"chunked":
                raise Refused(UNKNOWN_FRAMING)  # RFC 9112, section 6.1: it may hide another request
            self._headers = {}  # takes the trailers; nobody may add to a request that was let in
        if not target.startswith(b"/"):
            target = _origin_form(target, headers)
        path, _, query = target.decode("latin-1").partition("?")
        taker = self._taker
        request = self.incoming = Request(
            taker,
            method=parser.get_method().decode("latin-1"),
            path=path,
            query=query,
            headers=headers,
            http11=http11,
            keep_alive=parser.should_keep_alive() and not taker.stopping,
            client=self.client,
            max_unread=self._limits.max_unread_bytes,
        )
        if socket:
            request.offers_websocket = True
            request.keep_alive = False  # whether it is taken or not, no request comes behind it
            self._tunnel = request
        taker.arrived(request)

    def on_body(self, body: bytes) -> None:
        self._unframed = 0
        if self.incoming is not None:
            self.incoming.feed(body)

    def on_message_complete(self) -> None:
        self._unframed = 0
        request, self.incoming = self.incoming, None
        if request is not None:
            request.end_body()

    # -- inside ------------------------------------------------------------------------------

    def _fail(self, refusal: Refusal) -> None:
        incoming, self.incoming = self.incoming, None
        self._unframed = 0
        self._taker.failed(refusal, incoming)

    def _feed_again(self, rest: bytes) -> None:
        """No other protocol but WebSocket is spoken here, so the request is answered as what it is (RFC 9110, section
        7.8). llhttp gives its body up for the other protocol, hence the head comes a second time, to a new parser.
        Java's client offers HTTP/2 like this with every request."""
        head, self._replay = self._replay, None
        if head is None:
            self._fail(NO_TUNNEL)
            return
        self._http = httptools.HttpRequestParser(self)
        self.feed(head + rest)


def _head_size(target: bytes, headers: dict[bytes, bytes]) -> int:
    return len(target) + sum(len(name) + len(value) + 4 for name, value in headers.items())


def _without_upgrade(method: bytes, target: bytes, version: str, headers: dict[bytes, bytes]) -> bytes:
    lines = [b"%b: %b\r\n" % header for header in headers.items() if header[0] != b"upgrade"]
    return b"%b %b HTTP/%b\r\n%b\r\n" % (method, target, version.encode(), b"".join(lines))


def _offers_websocket(headers: dict[bytes, bytes]) -> bool:
    """Without a body, which would stand where the other protocol begins (RFC 6455, section 4.1)."""
    bodyless = b"transfer-encoding" not in headers and headers.get(b"content-length", b"0") == b"0"
    return bodyless and headers[b"upgrade"].lower() == b"websocket"


def _origin_form(target: bytes, headers: dict[bytes, bytes]) -> bytes:
    """Of a target in absolute form; its authority then counts, not the Host header (RFC 9112, section 3.2.2)."""
    if target == b"*":
        return target
    scheme, _, rest = target.partition(b"://")
    if not rest or scheme.lower() not in (b"http", b"https"):
        raise Refused(NO_TUNNEL)
    end = min((at for at in map(rest.find, (b"/", b"?", b"#")) if at >= 0), default=len(rest))
    headers[b"host"] = rest[:end].rpartition(b"@")[2]
    path = rest[end:]
    return path if path.startswith(b"/") else b"/" + path


def _refusal(error: httptools.HttpParserError) -> Refusal:
    cause = error.__context__
    if isinstance(cause, Refused):
        return cause.refusal
    if cause is not None:
        logger.error("a parser callback failed", exc_info=cause)
    return NOT_HTTP
