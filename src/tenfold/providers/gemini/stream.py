"""Streams of the Gemini API to canonical events.

The protocol has no last frame: a stream is complete when it closed cleanly after every candidate said why it finished
(or the prompt was blocked). Old models repeat a finish reason on every chunk, so the last one counts, at the close.
"""

from msgspec import Struct

from tenfold.core.chat import (
    ChatEvent,
    Ended,
    Failed,
    Finished,
    Metered,
    OpaqueDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
)
from tenfold.core.errors import UpstreamError
from tenfold.core.sse import SseOverflow
from tenfold.core.usage import Usage
from tenfold.core.usage_wire import gemini_usage
from tenfold.providers.gemini.arguments import ArgumentsWriter
from tenfold.providers.gemini.errors import error_of_object, malformed_reply
from tenfold.providers.gemini.frames import Frames
from tenfold.providers.gemini.parts import (
    CallIds,
    arguments_text,
    finish_reason,
    metadata_parts,
    openai_logprobs,
    raw_parts,
    read_part,
    reply_id,
    signature_part,
)
from tenfold.providers.gemini.replies import created_s, failed_candidate, service_tier
from tenfold.providers.gemini.schema import (
    RESPONSE,
    UNREADABLE,
    Candidate,
    FunctionCall,
    GenerateContentResponse,
)
from tenfold.providers.ports import StreamFacts


class _Choice(Struct):
    """What is known of one candidate so far."""

    index: int
    said: bool = False
    calls: int = 0
    writer: ArgumentsWriter | None = None  # of a call whose arguments are still coming
    reason: str | None = None
    message: str | None = None


class GeminiStreamDecoder:
    """One stream."""

    def __init__(self) -> None:
        self._frames = Frames()
        self._choices: dict[int, _Choice] = {}
        self._ids: CallIds | None = None
        self._usage: Usage | None = None
        self._blocked = False
        self._over = False

    def feed(self, block: bytes) -> list[ChatEvent]:
        events: list[ChatEvent] = []
        if not self._over:
            self._guarded(events, block)
        return events

    def finish(self) -> list[ChatEvent]:
        events: list[ChatEvent] = []
        if not self._over:
            self._guarded(events, None)
        if not self._over:
            self._over = True
            self._close(events)
        return events

    def _guarded(self, events: list[ChatEvent], block: bytes | None) -> None:
        """Reads the documents of a block (None: of the end of the stream); what cannot be read becomes Failed."""
        try:
            for document in self._frames.finish() if block is None else self._frames.feed(block):
                self._read(RESPONSE.decode(document), document, events)
        except UpstreamError as error:
            self._fail(error, events)
        except SseOverflow:
            self._fail(malformed_reply("an event that is too large"), events)
        except UNREADABLE:
            self._fail(malformed_reply("an event that is not a GenerateContentResponse"), events)

    def _fail(self, error: UpstreamError, events: list[ChatEvent]) -> None:
        self._over = True
        if self._usage is not None:
            events.append(Metered(usage=self._usage))
        events.append(Failed(message=error.message, kind=error.kind, code=error.upstream_code, status=error.status))

    def _read(self, response: GenerateContentResponse, document: bytes, events: list[ChatEvent]) -> None:
        if response.error is not None:
            raise error_of_object(response.error)
        usage = gemini_usage(response.usage_metadata)
        self._usage = usage or self._usage
        if self._ids is None:
            self._ids = CallIds(response.response_id, document)
            events.append(
                Started(
                    id=reply_id(response.response_id, document),
                    model=response.model_version or "",
                    created_s=created_s(response.create_time),
                    usage=usage,
                    service_tier=service_tier(response.usage_metadata),
                )
            )
        for candidate in response.candidates or []:
            self._read_candidate(candidate, self._ids, events)
        feedback = response.prompt_feedback
        if feedback is not None and feedback.blocked and not self._choices and not self._blocked:
            self._blocked = True
            if feedback.block_reason_message:
                events.append(RefusalDelta(text=feedback.block_reason_message))

    def _read_candidate(self, candidate: Candidate, ids: CallIds, events: list[ChatEvent]) -> None:
        index = candidate.index or 0
        choice = self._choices.setdefault(index, _Choice(index))
        before = len(events)
        logprobs = openai_logprobs(candidate.logprobs_result)
        for raw in raw_parts(candidate):
            part, opaque = read_part(raw)
            call = part.function_call
            if opaque is not None:
                events.append(OpaqueDelta(part=opaque, choice=index))
            elif call is not None:
                self._read_call(choice, call, part.thought_signature, ids, events)
            elif part.text and part.thought:
                events.append(ThinkingDelta(text=part.text, choice=index))
            else:
                if part.text:
                    events.append(TextDelta(text=part.text, choice=index, logprobs=logprobs))
                    logprobs = None
                if part.thought_signature:
                    events.append(OpaqueDelta(part=signature_part(part.thought_signature), choice=index))
        if logprobs is not None:
            events.append(TextDelta(text="", choice=index, logprobs=logprobs))
        choice.said = choice.said or len(events) > before
        events += [OpaqueDelta(part=part, choice=index) for part in metadata_parts(candidate)]
        if candidate.finish_reason:
            choice.reason, choice.message = candidate.finish_reason, candidate.finish_message
            _end_call(choice, events)

    def _read_call(
        self, choice: _Choice, call: FunctionCall, signature: str | None, ids: CallIds, events: list[ChatEvent]
    ) -> None:
        """A whole call in one part; or its name first, then pieces of its arguments, then a part that ends it."""
        if call.name:
            _end_call(choice, events)
            choice.writer = ArgumentsWriter()
            choice.calls += 1
            events.append(
                ToolCallDelta(
                    slot=choice.calls - 1,
                    id=call.id or ids.next(),
                    name=call.name,
                    signature=signature,
                    choice=choice.index,
                )
            )
        writer = choice.writer
        if writer is None:  # the end of a call that ended already
            return
        if call.args and writer.empty:
            choice.writer = None
            events.append(_arguments(choice, arguments_text(call.args)))
            return
        if text := "".join(writer.write(piece) for piece in call.partial_args or []):
            events.append(_arguments(choice, text))
        if not call.will_continue:
            _end_call(choice, events)

    def _close(self, events: list[ChatEvent]) -> None:
        """The upstream closed: what is known now is all there is."""
        complete = not self._frames.cut and (self._blocked or bool(self._choices))
        finished: list[ChatEvent] = []
        if self._blocked and not self._choices:
            finished.append(Finished(reason="content_filter"))
        for choice in self._choices.values():
            if choice.reason is None:
                complete = False
                continue
            reason = finish_reason(choice.reason, said_something=choice.said, called=choice.calls > 0)
            if reason is None:
                self._fail(failed_candidate(choice.reason, choice.message), events)
                return
            finished.append(Finished(reason=reason, choice=choice.index))
        events += finished
        if self._usage is not None:
            events.append(Metered(usage=self._usage))
        if complete:
            events.append(Ended())


def _end_call(choice: _Choice, events: list[ChatEvent]) -> None:
    if choice.writer is not None:
        events.append(_arguments(choice, choice.writer.close()))
        choice.writer = None


def _arguments(choice: _Choice, text: str) -> ToolCallDelta:
    return ToolCallDelta(slot=choice.calls - 1, arguments=text, choice=choice.index)


def stream_facts(head: bytes, tail: bytes) -> StreamFacts:
    """From the first and the last bytes of a stream. Documents cut by the window are left out."""
    usage: Usage | None = None
    reasons: dict[int, str | None] = {}
    blocked = failed = False
    for response in [*_documents(head), *_documents(tail)]:
        failed = failed or response.error is not None
        usage = gemini_usage(response.usage_metadata) or usage
        blocked = blocked or (response.prompt_feedback is not None and response.prompt_feedback.blocked)
        for candidate in response.candidates or []:
            index = candidate.index or 0
            reasons[index] = candidate.finish_reason or reasons.get(index)
    finish_reasons = tuple(reason for _, reason in sorted(reasons.items()) if reason)
    complete = bool(reasons) and len(finish_reasons) == len(reasons)
    return StreamFacts(
        complete=not failed and (complete or (blocked and not reasons)),
        usage=usage,
        finish_reasons=finish_reasons,
        failed=failed,
    )


def _documents(window: bytes) -> list[GenerateContentResponse]:
    frames = Frames()
    try:
        documents = frames.feed(window) + frames.finish()
    except SseOverflow:
        return []
    responses: list[GenerateContentResponse] = []
    for document in documents:
        try:
            responses.append(RESPONSE.decode(document))
        except UNREADABLE:
            continue  # the window cut it
    return responses
