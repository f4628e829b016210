"""HTTP/1.1 to clients: a server on the event loop itself, one coroutine a request."""

from tenfold.edge.http.request import ClientGone, Request
from tenfold.edge.http.server import HttpServer, ServerLimits

__all__ = ["ClientGone", "HttpServer", "Request", "ServerLimits"]
