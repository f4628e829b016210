"""A client that sends any bytes, also such as no HTTP library would."""

import json
import select
import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

_PATIENCE_S = 20.0


@dataclass(frozen=True, kw_only=True)
class RawReply:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class RawClient:
    """One connection."""

    def __init__(self, url: str, *, patience_s: float = _PATIENCE_S) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=patience_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, *blocks: bytes) -> bool:
        """False when the server has closed the connection meanwhile."""
        try:
            for block in blocks:
                self._socket.sendall(block)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def close(self) -> None:
        self._socket.close()

    def end(self) -> None:
        """Nothing more will be sent; what is on its way can still be read."""
        self._socket.shutdown(socket.SHUT_WR)

    def has_news(self, wait_s: float) -> bool:
        """Whether the server said something, or closed the connection, within this time."""
        return bool(self._buffer) or bool(select.select([self._socket], [], [], wait_s)[0])

    def read_until(self, said: bytes) -> bytes:
        """What came up to and with these bytes. Fails when the connection ends before."""
        while said not in self._buffer:
            assert self._more(), f"{said!r} never came, but {self._buffer!r}"
        end = self._buffer.index(said) + len(said)
        found, self._buffer = self._buffer[:end], self._buffer[end:]
        return found

    def reply(self) -> RawReply | None:
        """The next reply, None when the server closed the connection instead."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._more():
                assert not self._buffer, f"half a reply: {self._buffer!r}"
                return None
        head = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
        status = int(head[0].split(" ")[1])
        return RawReply(status=status, headers=headers, body=self._body(status, headers))

    def is_closed(self) -> bool:
        """Waits until the server closes; False when it sends something instead."""
        return not self._buffer and not self._more()

    def _body(self, status: int, headers: dict[str, str]) -> bytes:
        if status < 200 or status in (204, 304):
            return b""
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.read_until(b"\r\n"), 16):
                body += self._exactly(size)
                self._exactly(2)
            self.read_until(b"\r\n")
            return body
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        while self._more():
            pass
        body, self._buffer = self._buffer, b""
        return body

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            assert self._more(), "the body was cut"
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def _more(self) -> bool:
        try:
            block = self._socket.recv(65536)
        except ConnectionResetError:
            return False
        self._buffer += block
        return bool(block)


def post(path: str, body: bytes, *, key: str | None = None, headers: bytes = b"") -> bytes:
    """A POST of JSON as bytes; `headers` are whole lines."""
    authorization = b"" if key is None else b"Authorization: Bearer %b\r\n" % key.encode()
    return (
        b"POST %b HTTP/1.1\r\nHost: tenfold.test\r\nContent-Type: application/json\r\n%b%bContent-Length: %d\r\n\r\n%b"
        % (path.encode(), authorization, headers, len(body), body)
    )


def exchange(url: str, *blocks: bytes) -> RawReply | None:
    """One reply to these bytes on a connection of their own."""
    with RawClient(url) as client:
        client.send(*blocks)
        return client.reply()
