"""Bounds, deadlines and counters of the transport: plain values, no I/O."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of one client, which serves one origin. Sizes are bytes."""

    max_connections: int = 4096  # open or being opened
    max_waiting: int = 4096  # requests that wait, first come first served, for one of them
    # Kept open between requests. When 2,000 calls end together, keeping 256 of their connections costs 112 us of CPU a
    # call for opening the others again, keeping all 35; the idle timeout is what shrinks the pool.
    max_idle: int = 4096
    idle_timeout_s: float = 30.0  # below the 60-75 s after which common servers and load balancers hang up
    max_head_bytes: int = 64 * 1024  # status line and headers, interim replies included; trailers alike
    max_body_bytes: int = 64 * 1024 * 1024  # of a body read whole, after content decoding
    max_buffered_bytes: int = 256 * 1024  # of a streamed body that nobody takes yet; then the socket is not read

    def __post_init__(self) -> None:
        for name in (
            "max_connections",
            "idle_timeout_s",
            "max_head_bytes",
            "max_body_bytes",
            "max_buffered_bytes",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")
        for name in ("max_waiting", "max_idle"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Deadlines in seconds. `connect_s` is exact; the others are checked by a sweep and fire up to
    `SWEEP_S` (or a quarter of the shortest deadline, when that is less) late."""

    connect_s: float = 5.0  # name lookup, TCP, proxy and TLS together
    acquire_s: float = 5.0  # waiting for a connection when all are in use
    first_byte_s: float = 600.0  # from the request written to the whole reply head; interim replies do not count
    between_bytes_s: float = 120.0  # silence inside the body; time in which nobody took the bytes does not count
    total_s: float = 1800.0  # from the request written to the last byte of the body

    def __post_init__(self) -> None:
        for name in ("connect_s", "acquire_s", "first_byte_s", "between_bytes_s", "total_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")


SWEEP_S = 0.25


@dataclass(frozen=True, kw_only=True)
class Stats:
    """A snapshot. The first four are gauges, the others count since the client was made."""

    open: int  # connections, idle and in use
    idle: int
    in_use: int
    waiting: int  # requests that wait for a connection
    created: int  # connections opened
    reused: int  # requests sent on a connection that had served one before
    retried: int  # requests sent again because the kept connection turned out to be closed
    failures: int  # requests that got no reply; cancelled ones do not count
