"""Reading a request body without trusting its size."""

from typing import Any

from tenfold.core.errors import TooLarge


async def read_body(proto: Any, content_length: str | None, limit: int) -> bytes:
    """The whole body. Raises TooLarge before reading a body that says it is too large, and at the first byte over
    the limit of one that does not say."""
    if content_length is not None:
        if content_length.isdigit() and int(content_length) > limit:
            raise _too_large(limit)
        body: bytes = await proto()  # the server gives no more than Content-Length says
        return body
    size, chunks = 0, []
    async for chunk in proto:
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The request body is larger than {limit} bytes, the most this server takes.")
