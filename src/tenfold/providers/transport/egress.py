"""The egress guard: URLs that users give lead to public addresses, or to those the operator has allowed.

A name is looked up once for each connection, what is not public is struck out, and the connection goes to what is left;
so a name that answers otherwise a moment later changes nothing. It refuses to follow redirects, and knows no proxy: a
proxy would look names up by itself.
"""

import asyncio
import ipaddress
import re
import ssl
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from msgspec import Struct

from tenfold.core.errors import InvalidRequest, UpstreamError, UpstreamUnavailable
from tenfold.providers.ports import Exchange, Headers
from tenfold.providers.transport.client import HttpClient
from tenfold.providers.transport.connecting import Address, Resolve, tls_context
from tenfold.providers.transport.connecting import look_up as system_look_up
from tenfold.providers.transport.origin import InvalidOrigin, Origin, split_url
from tenfold.providers.transport.types import Limits, Timeouts

MAX_URL_CHARS = 2048
LOOK_UP_S = 5.0
# A name server of a user's may take its time: those who wait for it wait apart from those who look for providers.
LOOK_UPS_AT_ONCE = 8
FIRST_FREE_PORT = 1024  # ports below belong to services of the system: of them the scheme's own alone
_LIMITS = Limits(max_connections=1, max_waiting=0, max_idle=0, max_head_bytes=16 * 1024)

# https://www.iana.org/assignments/iana-ipv4-special-registry: what is not for everybody, and multicast.
_NOT_PUBLIC = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' own; 100.100.100.200 tells secrets of machines at Alibaba
        "127.0.0.0/8",
        "168.63.129.16/32",  # public by its number, and Azure's own in every machine there
        "169.254.0.0/16",  # 169.254.169.254 tells secrets of machines in most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# https://www.iana.org/assignments/ipv6-address-space: what is given out stands in 2000::/3, less these.
_GIVEN_OUT = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # Teredo, which wraps any IPv4 address, among others
        "2001:db8::/32",
        "2002::/16",  # 6to4, which wraps any IPv4 address
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: how hosts without IPv4 reach it

_ENDS_IN_A_NUMBER = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)\.?")  # https://url.spec.whatwg.org/#ends-in-a-number-checker

Network = IPv4Network | IPv6Network


class Answer(Struct, frozen=True, kw_only=True):
    """What came back. `body` is its beginning; a cut body is no error: the status was there."""

    status: int
    headers: Headers
    body: bytes


class EgressGuard:
    """`allow` are networks, such as "10.1.0.0/16", that may be reached although they are not public: at any port, and
    without TLS; with `allow_http` public ones without TLS, too. Raises ValueError for what is no network. `look_up`
    raises OSError."""

    def __init__(
        self,
        *,
        allow: Iterable[str] = (),
        allow_http: bool = False,
        look_up: Callable[[str, int], Awaitable[list[Address]]] | None = None,
    ) -> None:
        self._allow: tuple[Network, ...] = tuple(ipaddress.ip_network(network) for network in allow)
        self._allow_http = allow_http
        threads = ThreadPoolExecutor(LOOK_UPS_AT_ONCE, "egress-look-up")
        self._look_up = look_up or partial(system_look_up, threads=threads)

    async def check(self, url: str) -> None:
        """Whether it may be called, as it stands and by where its name leads now. Raises InvalidRequest."""
        origin, _ = self.split(url)
        try:
            async with asyncio.timeout(LOOK_UP_S):
                await self.resolver(origin)(origin.host, origin.port)
        except UpstreamError as error:
            raise InvalidRequest(f"The URL cannot be called: {error.message}.", param="url") from None
        except (OSError, TimeoutError):
            raise InvalidRequest(f"The URL cannot be called: {self._nowhere(origin)}.", param="url") from None

    def split(self, url: str) -> tuple[Origin, str]:
        """Where it leads, and what is asked for there. Raises InvalidRequest."""
        try:
            if len(url) > MAX_URL_CHARS:
                raise InvalidOrigin(f"the URL has more than {MAX_URL_CHARS} characters")
            origin, target = split_url(url)
            if _ENDS_IN_A_NUMBER.fullmatch(origin.host) and not _is_address(origin.host):
                raise InvalidOrigin("an IPv4 address is four decimal numbers, such as 192.0.2.1")
        except (InvalidOrigin, ValueError) as error:
            raise InvalidRequest(f"The URL cannot be called: {error}.", param="url") from None
        if origin.scheme == "http" and not (self._allow or self._allow_http):
            raise InvalidRequest("The URL must begin with https://.", param="url")
        return origin, target

    def resolver(self, origin: Origin) -> Resolve:
        """For the connections to this origin. What it gives raises UpstreamUnavailable when nothing is left of the
        addresses, in the same words whether there were any: names of the inside are not told to the outside."""

        async def resolve(host: str, port: int) -> list[Address]:
            try:
                found = await self._look_up(host, port)
            except (OSError, UnicodeError):  # the latter of a label with more than 63 characters
                found = []
            left = [address for address in found if self._may(origin, address)]
            if not left:
                raise UpstreamUnavailable(self._nowhere(origin))
            return left

        return resolve

    def _may(self, origin: Origin, address: Address) -> bool:
        ip = _ip(address)
        if any(ip in network for network in self._allow):
            return True
        return (origin.scheme == "https" or self._allow_http) and _is_usual_port(origin) and is_public(ip)

    def _nowhere(self, origin: Origin) -> str:
        if origin.scheme == "http" and not self._allow_http:
            return f"{origin.host} leads to no address that may be called without TLS: use https"
        if not _is_usual_port(origin):
            return f"{origin.host} leads to no address that may be called at port {origin.port}"
        return f"{origin.host} leads to no public address"


class GuardedClient:
    """Calls URLs that users gave. Each call has a connection of its own; `tls` as of HttpClient."""

    def __init__(self, guard: EgressGuard, *, tls: ssl.SSLContext | None = None) -> None:
        self._guard = guard
        self._tls = tls or tls_context()

    async def check(self, url: str) -> None:
        """See `EgressGuard.check`."""
        await self._guard.check(url)

    async def post(self, url: str, headers: Headers, body: bytes, *, timeouts: Timeouts, most_bytes: int) -> Answer:
        """The answer whatever its status, with the first `most_bytes` of its body. Raises InvalidRequest,
        UpstreamUnavailable, UpstreamTimeout, UpstreamError."""
        origin, target = self._guard.split(url)
        client = HttpClient(
            origin, limits=_LIMITS, timeouts=timeouts, tls=self._tls, resolve=self._guard.resolver(origin)
        )
        try:
            exchange = await client.post(target, headers, body)
            return Answer(status=exchange.status, headers=exchange.headers, body=await _beginning(exchange, most_bytes))
        finally:
            await client.aclose()


def is_public(ip: IPv4Address | IPv6Address) -> bool:
    """Whether it is one of the internet's, given out to somebody."""
    if isinstance(ip, IPv6Address):
        if ip in _MAPPED or ip in _NAT64:
            return is_public(IPv4Address(int(ip) & 0xFFFF_FFFF))
        return ip in _GIVEN_OUT and not any(ip in network for network in _NOT_PUBLIC_6)
    return not any(ip in network for network in _NOT_PUBLIC)


def _ip(address: Address) -> IPv4Address | IPv6Address:
    _, where = address
    ip = ipaddress.ip_address(where[0])
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return mapped or ip


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_usual_port(origin: Origin) -> bool:
    return origin.port == (443 if origin.scheme == "https" else 80) or origin.port >= FIRST_FREE_PORT


async def _beginning(exchange: Exchange, most: int) -> bytes:
    beginning = b""
    try:
        async for block in exchange.blocks():
            beginning += block
            if len(beginning) >= most:
                break
    except UpstreamError:
        pass
    return beginning[:most]
