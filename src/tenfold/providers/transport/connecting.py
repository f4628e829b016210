"""Opening connections: name lookup, happy eyeballs (RFC 8305), a proxy's CONNECT, TLS. Errors are typed and safe."""

import asyncio
import ipaddress
import os
import re
import socket
import ssl
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from functools import partial
from itertools import chain, zip_longest
from typing import Any, TypeVar

from tenfold.core.errors import UpstreamTimeout, UpstreamUnavailable
from tenfold.providers.transport.origin import Origin, Proxy

HAPPY_EYEBALLS_DELAY_S = 0.25  # RFC 8305, section 5
_MAX_TUNNEL_HEAD_BYTES = 16 * 1024
_TLS_SHUTDOWN_S = 1.0

# A reply may take minutes to begin; a router on the way forgets a silent flow sooner (AWS NAT: 350 s).
_KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")

_P = TypeVar("_P", bound=asyncio.Protocol)
Address = tuple[int, Any]  # family, and what `sock_connect` takes for it
Resolve = Callable[[str, int], Awaitable[list[Address]]]
"""Where a host and port are reached. What it gives is connected to, and is not looked up again."""


def tls_context(ca_file: str | None = None) -> ssl.SSLContext:
    """Verifies certificate and host name against the system's authorities, or against `ca_file` (PEM) alone."""
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


async def open_connection(
    make: Callable[[], _P],
    *,
    origin: Origin,
    proxy: Proxy | None,
    tls: ssl.SSLContext | None,
    timeout_s: float,
    resolve: Resolve | None = None,
) -> _P:
    """A connected `make()`. Raises UpstreamUnavailable, UpstreamTimeout; what `resolve` raises."""
    host = origin.host
    try:
        async with asyncio.timeout(timeout_s):
            return await _open(make, origin, proxy, tls, resolve or look_up)
    except TimeoutError as error:
        raise UpstreamTimeout(f"connecting to {host} took longer than {timeout_s:g} s") from error
    except ssl.SSLCertVerificationError as error:
        raise UpstreamUnavailable(f"the certificate of {host} is not accepted: {error.verify_message}") from error
    except ssl.SSLError as error:
        raise UpstreamUnavailable(f"no TLS with {host}: {error.reason or 'handshake failed'}") from error
    except OSError as error:
        via = f" through the proxy {proxy.host}" if proxy else ""
        raise UpstreamUnavailable(f"cannot connect to {host}{via}: {_reason(error)}") from error


async def _open(
    make: Callable[[], _P], origin: Origin, proxy: Proxy | None, tls: ssl.SSLContext | None, resolve: Resolve
) -> _P:
    loop = asyncio.get_running_loop()
    next_hop = proxy or origin
    sock = await connect_first(loop, await resolve(next_hop.host, next_hop.port))
    try:
        _tune(sock)
        if proxy is not None and tls is not None:
            await _tunnel(loop, sock, origin, proxy)
    except BaseException:  # cancelled too: the socket must not outlive the attempt
        sock.close()
        raise
    # From here on the socket is the transport's, which closes it when the handshake fails.
    if tls is None:
        _, protocol = await loop.create_connection(make, sock=sock)
    else:
        _, protocol = await loop.create_connection(
            make, sock=sock, ssl=tls, server_hostname=origin.host, ssl_shutdown_timeout=_TLS_SHUTDOWN_S
        )
    return protocol


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        option = getattr(socket, name, None)  # not every system has each
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


# -- name lookup and happy eyeballs --------------------------------------------------------------


async def look_up(host: str, port: int, *, threads: Executor | None = None) -> list[Address]:
    """Addresses in the order to try them: the system's, with the families in turn (RFC 8305, section 4). In the event
    loop's own threads, or in these. Raises OSError."""
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:  # no thread for what needs no lookup
        return [(socket.AF_INET if literal.version == 4 else socket.AF_INET6, (host, port))]
    loop = asyncio.get_running_loop()
    if threads is None:
        told = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    else:
        told = await loop.run_in_executor(threads, partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM))
    found: list[Address] = [(family, address) for family, _, _, _, address in told]
    first = [entry for entry in found if entry[0] == found[0][0]]
    others = [entry for entry in found if entry[0] != found[0][0]]
    return [entry for entry in chain.from_iterable(zip_longest(first, others)) if entry is not None]


async def connect_first(loop: asyncio.AbstractEventLoop, addresses: list[Address]) -> socket.socket:
    """The first address that answers. The next one is tried when the last failed, or did not answer for a while."""
    if len(addresses) == 1:
        return await _connect_one(loop, addresses[0])
    attempts: set[asyncio.Task[socket.socket]] = set()
    untried = iter(addresses)
    failure: BaseException = OSError("the name has no address")
    try:
        while True:
            address = next(untried, None)
            if address is not None:
                attempts.add(loop.create_task(_connect_one(loop, address), name="tenfold.transport.connect"))
            elif not attempts:
                raise failure
            done, _ = await asyncio.wait(
                attempts,
                timeout=None if address is None else HAPPY_EYEBALLS_DELAY_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for attempt in done:
                attempts.discard(attempt)
                error = attempt.exception()
                if error is None:
                    return attempt.result()
                failure = error
    finally:
        await _give_up(attempts)


async def _connect_one(loop: asyncio.AbstractEventLoop, address: Address) -> socket.socket:
    family, where = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, where)
    except BaseException:  # cancelled too
        sock.close()
        raise
    return sock


async def _give_up(attempts: set[asyncio.Task[socket.socket]]) -> None:
    for attempt in attempts:
        attempt.cancel()
    for outcome in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(outcome, socket.socket):
            outcome.close()


# -- proxy ---------------------------------------------------------------------------------------


async def _tunnel(loop: asyncio.AbstractEventLoop, sock: socket.socket, origin: Origin, proxy: Proxy) -> None:
    """CONNECT (RFC 9110, section 9.3.6)."""
    where = origin.host_and_port.encode("ascii")
    authorization = b"Proxy-Authorization: %b\r\n" % proxy.authorization if proxy.authorization else b""
    await loop.sock_sendall(sock, b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (where, where, authorization))
    head = b""
    while b"\r\n\r\n" not in head:
        block = await loop.sock_recv(sock, 4096)
        head += block
        if not block or len(head) > _MAX_TUNNEL_HEAD_BYTES:
            raise UpstreamUnavailable(f"the proxy {proxy.host} gave no valid answer for {origin.host}")
    status = _STATUS_LINE.match(head)
    if status is None or (status[1].startswith(b"2") and not head.endswith(b"\r\n\r\n")):
        raise UpstreamUnavailable(f"the proxy {proxy.host} gave no valid answer for {origin.host}")
    if not status[1].startswith(b"2"):
        raise UpstreamUnavailable(f"the proxy {proxy.host} answered {status[1].decode()} for {origin.host}")


def _reason(error: OSError) -> str:
    """In fixed words: the text of an error may hold addresses."""
    if isinstance(error, socket.gaierror):
        return "the name does not resolve"
    return os.strerror(error.errno).lower() if error.errno else "the connection was lost"
