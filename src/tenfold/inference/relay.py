"""From the upstream's reply to the client's, whole or streamed: the way through stages 5, 6 and 8, as often as the
policy lets an attempt that broke be made up for by another.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from tenfold.core.errors import BrokenStream, TenfoldError, UpstreamError, UpstreamTimeout, UpstreamUnavailable
from tenfold.inference import respond
from tenfold.inference.call import Attempts, Question
from tenfold.inference.ports import Responder, Sender
from tenfold.inference.route import Target
from tenfold.inference.settle import price
from tenfold.inference.structured import Structured
from tenfold.inference.validate import (
    PassingRelay,
    Relay,
    TranslatingRelay,
    check_stream_head,
    failure_in,
    read_reply,
)

Keep = Callable[[list[bytes], bytes], list[bytes] | None]


async def relay_whole(question: Question, attempts: Attempts, responder: Responder, structured: Structured) -> bytes:
    """The body that was sent. Raises UpstreamError."""
    call = question.call
    while True:
        target, exchange = await attempts.next()
        question.target = target
        try:
            raw = await exchange.read()
            call.first_byte = time.perf_counter()
            call.stream_bytes = len(raw)
            body = read_reply(question, target, raw)
            attempts.ended_well()
            if question.expected is not None:
                body = await structured.whole(question, attempts, target, raw, body)
            break
        except UpstreamError as error:
            exchange.abort()
            await attempts.failed(error)
        finally:
            attempts.let_go()
            exchange.abort()
    assert question.target is not None
    price(call, question.target)
    respond.whole(call, body, responder)
    return body


async def relay_stream(
    question: Question, attempts: Attempts, responder: Responder, structured: Structured, keep: Keep | None
) -> bytes | None:
    """Forward as it comes, from the first token on: what fails before it is made up for unseen. Once the stream has
    begun an error is an event of it: its status line is gone.

    `keep` takes what there is and what came, None when that is too much. Returns all that was sent, of a good stream
    that was kept. Raises UpstreamError before it has begun."""
    call = question.call
    stream = _Stream(question, attempts, responder, keep)
    try:
        while True:
            target, exchange = await attempts.next()
            question.target = target
            relay = (PassingRelay if question.speaks(target) else TranslatingRelay)(
                question, target, exchange, attempts.policy, structured.stream(question, target)
            )
            try:
                try:
                    await check_stream_head(question, target, exchange)
                    if question.sender is not None:
                        await stream.restart(target)
                    await stream.run(relay)
                finally:
                    relay.left()
                break
            except UpstreamError as error:
                exchange.abort()
                await attempts.failed(_broken(error, relay), has_begun=question.sender is not None)
            finally:
                attempts.let_go()
                exchange.abort()
    except TenfoldError as error:
        if question.sender is None:
            raise
        await cut(question, error, question.sender)
        return None
    if call.error is not None:  # the upstream told of its failure in its own words, which went through
        call.status = "cut"
        return None
    call.status = "ok"
    return None if stream.kept is None else b"".join(stream.kept)


async def cut(question: Question, error: TenfoldError, sender: Sender) -> None:
    """The typed end of a stream that has begun."""
    call = question.call
    call.status, call.error = "cut", error
    await sender.send_bytes(question.dialect.error_frame(error, call.request_id))


class _Stream:
    """What the client gets of the streams of one call."""

    def __init__(self, question: Question, attempts: Attempts, responder: Responder, keep: Keep | None) -> None:
        self._question = question
        self._attempts = attempts
        self._responder = responder
        self._keep = keep
        self.kept: list[bytes] | None = None if keep is None else []

    async def restart(self, target: Target) -> None:
        """The client is told to forget what it has of the reply: it comes anew, from another target."""
        question, sender = self._question, self._question.sender
        assert sender is not None
        question.call.degraded += ("restart",)
        self.kept = None
        await sender.send_bytes(question.dialect.restart_frame(target.provider.name, target.upstream_model))

    async def run(self, relay: Relay) -> None:
        """To the end of the upstream's stream. Raises UpstreamError when it breaks."""
        first_s, between_s = self._attempts.first_token_left_s(), self._attempts.policy.between_tokens_s
        if first_s is None and between_s is None:
            async with aclosing(relay.frames()) as frames:
                await self._begin(relay, frames)
                await self._pass_on(frames)
        else:
            try:
                async with (
                    asyncio.timeout(first_s) as timer,
                    aclosing(relay.frames()) as untimed,
                    aclosing(_in_time(relay, untimed, timer, between_s)) as frames,
                ):
                    await self._begin(relay, frames)
                    await self._pass_on(frames)
            except TimeoutError:
                raise UpstreamTimeout("The provider sent no token for longer than the route allows.") from None
        error = self._question.call.error
        if error is None:
            self._attempts.ended_well()
        else:
            self._attempts.broke(error)

    async def _begin(self, relay: Relay, frames: AsyncGenerator[bytes, None]) -> None:
        """Hold back what comes before the first token, and as many blocks more as the policy says."""
        question, hold = self._question, self._attempts.policy.hold_tokens
        if question.sender is not None:
            return
        held: list[bytes] = []
        async for block in frames:
            held.append(block)
            if relay.tokens > hold:
                break
        if question.call.error is not None:  # it began with an error
            raise failure_in(question, b"".join(held))
        self._attempts.answered()
        sender = question.sender = respond.begin_stream(question.call, self._responder)
        for block in held:
            if self.kept is not None and self._keep is not None:
                self.kept = self._keep(self.kept, block)
        if held:
            await sender.send_bytes(held[0] if len(held) == 1 else b"".join(held))

    async def _pass_on(self, frames: AsyncGenerator[bytes, None]) -> None:
        sender, keep, kept = self._question.sender, self._keep, self.kept
        assert sender is not None
        async for block in frames:
            if kept is not None and keep is not None:
                kept = self.kept = keep(kept, block)
            await sender.send_bytes(block)


async def _in_time(
    relay: Relay, frames: AsyncGenerator[bytes, None], timer: asyncio.Timeout, between_s: float | None
) -> AsyncGenerator[bytes, None]:
    """The frames. The timer, set for the first token, goes off when `between_s` after one no other has come; it stands
    still while the client takes what there is."""
    now = asyncio.get_running_loop().time
    seen, due = 0, timer.when()
    async for block in frames:
        came = now()
        if relay.tokens != seen:
            seen = relay.tokens
            due = None if between_s is None else came + between_s
        timer.reschedule(None)
        yield block
        if due is not None:
            due += now() - came
            timer.reschedule(due)


def _broken(error: UpstreamError, relay: Relay) -> UpstreamError:
    """The transport cannot know that a reply had begun when its connection was lost."""
    if not isinstance(error, UpstreamUnavailable) or not relay.size:
        return error
    broken = BrokenStream(error.message)
    broken.__cause__ = error
    return broken
