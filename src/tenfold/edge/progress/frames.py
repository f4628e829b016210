"""An event of a job as it goes out."""

from msgspec import DecodeError, Raw, json

from tenfold.jobs.types import JobEvent


def as_sse(event: JobEvent) -> bytes:
    """Its number is the id, which a client that comes again tells in `Last-Event-ID`."""
    data = b"".join(b"data: %b\n" % line for line in _lines(event.data))
    return b"id: %d\nevent: %b\n%b\n" % (event.seq, event.kind.encode(), data)


def as_message(event: JobEvent) -> bytes:
    """`{"id", "event", "data"}`; data that is no JSON object is a text."""
    data: Raw | str = Raw(event.data) if _is_object(event.data) else event.data.decode("utf-8", "replace")
    return json.encode({"id": event.seq, "event": event.kind, "data": data})


def _lines(data: bytes) -> list[bytes]:
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")


def _is_object(data: bytes) -> bool:
    if not data.startswith(b"{"):
        return False
    try:
        json.decode(data)
    except DecodeError:
        return False
    return True
