"""From the upstream's reply to the client's, whole or streamed: the way through stages 6 and 8."""

import time
from collections.abc import Callable
from contextlib import aclosing

from tenfold.core.errors import BrokenStream, UpstreamError, UpstreamUnavailable
from tenfold.inference import respond
from tenfold.inference.call import Question
from tenfold.inference.ports import Responder
from tenfold.inference.route import Target
from tenfold.inference.settle import price
from tenfold.inference.validate import PassingRelay, TranslatingRelay, check_stream_head, read_reply
from tenfold.providers.ports import Exchange

Keep = Callable[[list[bytes], bytes], list[bytes] | None]


async def relay_whole(question: Question, target: Target, exchange: Exchange, responder: Responder) -> bytes:
    """The body that was sent. Raises UpstreamError."""
    call = question.call
    body = await exchange.read()
    call.first_byte = time.perf_counter()
    call.stream_bytes = len(body)
    body = read_reply(question, target, body)
    price(call, target)
    respond.whole(call, body, responder)
    return body


async def relay_stream(
    question: Question, target: Target, exchange: Exchange, responder: Responder, keep: Keep | None
) -> bytes | None:
    """Forward as it comes. Once it has begun an error is an event of the stream: its status line is gone.

    `keep` takes what there is and what came, None when that is too much. Returns all that was sent, of a good stream
    that was kept. Raises UpstreamError before it has begun."""
    call = question.call
    await check_stream_head(question, target, exchange)
    sender = respond.begin_stream(call, responder)
    relay = (PassingRelay if question.speaks(target) else TranslatingRelay)(question, target, exchange)
    kept: list[bytes] | None = None if keep is None else []
    try:
        async with aclosing(relay.frames()) as stream:
            async for frames in stream:
                if kept is not None and keep is not None:
                    kept = keep(kept, frames)
                await sender.send_bytes(frames)
    except UpstreamError as error:
        # The transport cannot know that a reply had begun to reach somebody when its connection was lost.
        broken = error
        if isinstance(error, UpstreamUnavailable):
            broken = BrokenStream(error.message)
            broken.__cause__ = error
        call.status, call.error = "cut", broken
        await sender.send_bytes(question.dialect.error_frame(broken, call.request_id))
        return None
    finally:
        relay.left()
    if call.error is not None:  # the upstream told of its failure in its own words, which went through
        call.status = "cut"
        return None
    call.status = "ok"
    return None if kept is None else b"".join(kept)
