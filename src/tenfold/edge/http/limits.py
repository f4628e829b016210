"""What a client may take of this server. Plain values."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ServerLimits:
    """Sizes in bytes, times in seconds. Times are checked once a second."""

    max_head_bytes: int = 64 * 1024  # request line and headers; also what may stand between two pieces of a body
    max_headers: int = 100
    max_unread_bytes: int = 64 * 1024  # of a body nobody asked for yet, and of requests sent ahead
    head_s: float = 10.0  # from the first byte of a request to the end of its headers
    body_silence_s: float = 30.0  # between two pieces of a body
    body_s: float = 300.0  # for the whole body, from the first byte of its request
    idle_s: float = 75.0  # between requests, above the 60 s of common load balancers
    write_s: float = 60.0  # for a client that takes nothing of its reply
    linger_silence_s: float = 2.0  # reading on after an early reply, so that the client comes to read it
    linger_s: float = 30.0  # the same, for a client that goes on sending
    max_connections: int = 32_768
