"""The assistant's ways to a model, both the one path: `PathCaller` for somebody who waits, `JobCaller` for a job,
whose calls have keys, so that none is paid twice however often the job is begun."""

import hashlib
from collections.abc import AsyncGenerator
from typing import Any

from msgspec import json, structs

from tenfold.assistant.types import CallSummary, FromCache
from tenfold.core.call import Call, CallOptions
from tenfold.core.chat import ChatEvent, ChatRequest, Restarted
from tenfold.core.errors import BrokenStream
from tenfold.core.principal import Principal
from tenfold.inference.background import BackgroundCaller, Recorder
from tenfold.inference.canonical import CanonicalDialect, InsideCaller
from tenfold.inference.pipeline import Pipeline
from tenfold.jobs.ports import JobContext

_events: json.Decoder[Any] = json.Decoder(ChatEvent | Restarted)
_encoder = json.Encoder()


class PathCaller:
    """See `ports.ChatCaller`."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._inside = InsideCaller(pipeline)

    async def call(
        self, principal: Principal, request: ChatRequest, options: CallOptions
    ) -> AsyncGenerator[ChatEvent | FromCache | CallSummary, None]:
        async with self._inside.stream(principal, request, options) as reply:
            begun = False
            async for event in reply:
                if not begun and reply.call.cache_state == "hit":
                    yield FromCache(layer=layer_of(reply.call))
                begun = True
                yield event
        yield summary_of(reply.call)


class JobCaller:
    """See `ports.ChatCaller`; of one job. A call it has made before gives what it gave then. Nobody watches a job
    letter by letter: the events come when the reply is whole."""

    def __init__(self, caller: BackgroundCaller, job: JobContext) -> None:
        self._caller = caller
        self._job = job
        self._dialect = CanonicalDialect()

    async def call(
        self, principal: Principal, request: ChatRequest, options: CallOptions
    ) -> AsyncGenerator[ChatEvent | FromCache | CallSummary, None]:
        """What a call costs counts as spent by the job. Raises as `ports.ChatCaller`, and IdempotencyInFlight."""
        body = _encoder.encode(structs.replace(request, stream=True))
        recorder = Recorder()
        call = await self._caller.call(
            principal,
            "chat",
            self._dialect,
            body,
            recorder,
            key=self._job.key(f"ask-{_digest(body, options)}"),
            options=options,
            job=self._job,
            waited_s=self._job.work.job.waited_s,
        )
        self._job.spent(call.cost_nano or 0)
        if call.error is not None:
            raise call.error
        if call.cache_state == "hit":
            yield FromCache(layer=layer_of(call))
        for event in _events.decode_lines(recorder.body):
            if isinstance(event, Restarted):
                raise BrokenStream("The reply broke off and began anew elsewhere.")
            yield event
        yield summary_of(call)


def _digest(body: bytes, options: CallOptions) -> str:
    """Other passages, or another model, are another call: a document may have changed since the last attempt."""
    return hashlib.sha256(body + ",".join(sorted(options.cache)).encode()).hexdigest()[:16]


def layer_of(call: Call) -> str:
    """Of the cache, for a call that was answered by it."""
    return call.cache_layer


def summary_of(call: Call) -> CallSummary:
    usage = call.usage
    return CallSummary(
        model=call.upstream_model or call.model,
        provider=call.provider,
        cost_nano=call.cost_nano,
        latency_ms=round(((call.finished or call.started) - call.started) * 1000),
        cache=call.cache_state,
        degraded=call.degraded,
        input_tokens=usage.input_tokens if usage else 0,
        output_tokens=usage.output_tokens if usage else 0,
        layer=layer_of(call) if call.cache_state == "hit" else "",
    )
