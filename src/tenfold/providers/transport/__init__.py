"""HTTP/1.1 to upstreams: one client per origin behind the `Transport` seam, and a fake of it for tests."""

from tenfold.providers.transport.client import HttpClient
from tenfold.providers.transport.connecting import tls_context
from tenfold.providers.transport.headers import InvalidHeader, PreparedHeaders
from tenfold.providers.transport.origin import InvalidOrigin, Origin
from tenfold.providers.transport.ports import Transport
from tenfold.providers.transport.types import Limits, Stats, Timeouts

__all__ = [
    "HttpClient",
    "InvalidHeader",
    "InvalidOrigin",
    "Limits",
    "Origin",
    "PreparedHeaders",
    "Stats",
    "Timeouts",
    "Transport",
    "tls_context",
]
