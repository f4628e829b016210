"""The HTTP/1.1 client of the hot path: one origin, kept connections, no task, timer or lock per request."""

import asyncio
import ssl

from tenfold import __version__
from tenfold.core.errors import UpstreamError
from tenfold.core.write_batch import WriteBatch
from tenfold.providers.ports import NEVER_SENT, Headers
from tenfold.providers.transport.connecting import Resolve, open_connection, tls_context
from tenfold.providers.transport.connection import Connection
from tenfold.providers.transport.exchange import HttpExchange
from tenfold.providers.transport.headers import PreparedHeaders, encode, encode_target
from tenfold.providers.transport.origin import Origin, Proxy
from tenfold.providers.transport.pool import Pool
from tenfold.providers.transport.types import Limits, Stats, Timeouts

USER_AGENT = f"tenfold/{__version__}".encode()
_KEPT_TARGETS = 64


class HttpClient:
    """Implements `Transport`. Belongs to the event loop of its first request.

    `tls`: for https origins; by default the system's authorities and the host name are verified (`tls_context`).
    `batch`: the writes of its event loop; an own one when nobody shares.
    `proxy`: `http://[user:password@]host[:port]`. The environment is not read.
    `resolve`: in place of the system's look-up, for each connection that is opened; of the proxy, where there is one.

    One retry is made here, of a GET: when a connection that had served before is found closed, within a second and
    before any byte of a reply. That is a server that hung up on an idle connection as the request was on its way. It
    may as well be one that worked on the request and died, so a POST is never sent twice (RFC 9112, section 9.3.1):
    whoever sent it is told that it went unanswered.
    """

    def __init__(
        self,
        origin: Origin,
        *,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
        batch: WriteBatch | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        self.origin = origin
        self._batch = batch
        self._resolve = resolve
        self._limits = limits or Limits()
        self._timeouts = timeouts or Timeouts()
        self._tls = (tls or tls_context()) if origin.scheme == "https" else None
        self._proxy = Proxy.parse(proxy) if proxy else None
        self._pool = Pool(self._connect, host=origin.host, limits=self._limits, timeouts=self._timeouts)
        self._target_prefix = self._request_target_prefix()
        self._fixed: Headers = self._fixed_headers()
        self._bare = self.prepared([])
        self._targets: dict[str, bytes] = {}
        self._retried = 0
        self._failures = 0

    # -- Transport -----------------------------------------------------------------------------

    def prepared(self, headers: Headers) -> PreparedHeaders:
        """See `Transport.prepared`."""
        return PreparedHeaders.of(self._fixed, headers)

    async def post(
        self,
        path: str,
        headers: Headers,
        body: bytes,
        *,
        prepared: PreparedHeaders | None = None,
        timeouts: Timeouts | None = None,
    ) -> HttpExchange:
        """See `Transport`."""
        lines = self._lines(headers, prepared or self._bare)
        head = b"POST %b HTTP/1.1\r\n%bcontent-length: %d\r\n\r\n" % (self._target(path), lines, len(body))
        return await self._exchange(head, body, timeouts, again=False)

    async def get(
        self,
        path: str,
        headers: Headers,
        *,
        prepared: PreparedHeaders | None = None,
        timeouts: Timeouts | None = None,
    ) -> HttpExchange:
        """See `Transport`."""
        lines = self._lines(headers, prepared or self._bare)
        head = b"GET %b HTTP/1.1\r\n%b\r\n" % (self._target(path), lines)
        return await self._exchange(head, b"", timeouts, again=True)

    async def aclose(self) -> None:
        """See `Transport.aclose`."""
        await self._pool.aclose()

    @property
    def stats(self) -> Stats:
        pool = self._pool
        return Stats(
            open=pool.open,
            idle=pool.idle,
            in_use=pool.open - pool.idle,
            waiting=pool.waiting,
            created=pool.created,
            reused=pool.reused,
            retried=self._retried,
            failures=self._failures,
        )

    # -- sending -------------------------------------------------------------------------------

    async def _exchange(self, head: bytes, body: bytes, timeouts: Timeouts | None, *, again: bool) -> HttpExchange:
        if timeouts is None:
            timeouts = self._timeouts
        elif timeouts != self._timeouts:
            self._pool.heed(timeouts)
        try:
            connection = self._pool.take() or await self._acquire()
            exchange = connection.send(head, body, timeouts)
            await exchange.wait_head()
            if exchange.untouched and again:
                self._retried += 1
                connection = await self._acquire(fresh=True)
                exchange = connection.send(head, body, timeouts)
                await exchange.wait_head()
            if exchange.error is not None:
                raise exchange.error
        except UpstreamError:
            self._failures += 1
            raise
        return exchange

    async def _acquire(self, *, fresh: bool = False) -> Connection:
        try:
            return await self._pool.acquire(fresh=fresh)
        except asyncio.CancelledError as left:
            left.add_note(NEVER_SENT)
            raise

    async def _connect(self, pool: Pool) -> Connection:
        loop = asyncio.get_running_loop()
        batch = self._batch = self._batch or WriteBatch(loop)
        return await open_connection(
            lambda: Connection(pool, self.origin.host, self._limits, loop, batch),
            origin=self.origin,
            proxy=self._proxy,
            tls=self._tls,
            timeout_s=self._timeouts.connect_s,
            resolve=self._resolve,
        )

    # -- request heads -------------------------------------------------------------------------

    def _fixed_headers(self) -> Headers:
        fixed = [
            (b"host", self.origin.authority.encode("ascii")),
            (b"user-agent", USER_AGENT),
            (b"accept-encoding", b"identity"),
        ]
        if self._proxy is not None and self._proxy.authorization is not None and self._tls is None:
            fixed.append((b"proxy-authorization", self._proxy.authorization))
        return fixed

    def _request_target_prefix(self) -> str:
        """The absolute form when a proxy forwards plain HTTP (RFC 9112, section 3.2.2)."""
        if self._proxy is not None and self._tls is None:
            return f"http://{self.origin.authority}{self.origin.base_path}"
        return self.origin.base_path

    def _target(self, path: str) -> bytes:
        """Checked and encoded; the few paths that a client is used with are remembered."""
        target = self._targets.get(path)
        if target is None:
            target = self._target_prefix.encode("ascii") + encode_target(path)
            if len(self._targets) < _KEPT_TARGETS:
                self._targets[path] = target
        return target

    @staticmethod
    def _lines(headers: Headers, prepared: PreparedHeaders) -> bytes:
        if not headers:
            return prepared.block
        own = encode(headers)
        names = [name.lower() for name, _ in headers]
        return (prepared.block if prepared.names.isdisjoint(names) else prepared.without(names)) + own
