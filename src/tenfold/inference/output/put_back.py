"""Replies and requests with another text in them: what a mended reply becomes, how a model is asked to mend one."""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import structs

from tenfold.core.chat import (
    ChatEvent,
    ChatReply,
    ChatRequest,
    Choice,
    Ended,
    Finished,
    Message,
    Metered,
    OpaqueDelta,
    OpaquePart,
    Part,
    RefusalDelta,
    RefusalPart,
    Started,
    TextDelta,
    TextPart,
    ThinkingDelta,
    ThinkingPart,
    ToolCallDelta,
    ToolCallPart,
    ToolChoice,
)
from tenfold.inference.ports import ClientDialect
from tenfold.providers.ports import Wire

_MOST_SHOWN = 65_536  # characters of a bad reply that its model is shown
_STREAM_ONLY = ("stream_options",)


def with_texts(reply: ChatReply, texts: Mapping[int, str]) -> ChatReply:
    """The reply, choices named by their index saying these texts. Id, usage and all else stay; log probabilities and
    citations of the old text go with it. A choice mended is a whole one."""
    return structs.replace(reply, choices=[_with_text(choice, texts) for choice in reply.choices])


def body_with_texts(
    body: bytes, texts: Mapping[int, str], *, wire: Wire, dialect: ClientDialect, request: ChatRequest
) -> bytes:
    """The same for a body as the provider sent it; it is the client's body then. Raises UpstreamError for a body that
    is no reply."""
    return dialect.encode_reply(with_texts(wire.decode_chat(body), texts), request)


def _with_text(choice: Choice, texts: Mapping[int, str]) -> Choice:
    text = texts.get(choice.index)
    if text is None:
        return choice
    before = [part for part in choice.parts if isinstance(part, ThinkingPart)]
    after = [part for part in choice.parts if not isinstance(part, ThinkingPart | TextPart)]
    parts: list[Part] = [*before, TextPart(text=text), *after]
    reason = "stop" if choice.finish_reason == "length" else choice.finish_reason
    return structs.replace(choice, parts=parts, logprobs=None, finish_reason=reason)


def repair_request(request: ChatRequest, text: str, errors: Sequence[str]) -> ChatRequest:
    """The follow-up that asks for the same answer, right this time: what was asked, what was said, what is wrong with
    it. One choice, not streamed, no tools called; the format and everything else as before. It is larger than the
    request by at most 64 Ki characters of the reply and some 2,000 more: its own bound is to be reserved."""
    shown = text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + " [cut here]"
    messages = list(request.messages)
    if shown.strip():  # providers refuse an empty one
        messages.append(Message(role="assistant", parts=[TextPart(text=shown)]))
    messages.append(Message(role="user", parts=[TextPart(text=_complaint(errors))]))
    return structs.replace(
        request,
        messages=messages,
        tool_choice=ToolChoice(mode="none") if request.tools else request.tool_choice,
        n=1,
        logprobs=False,
        top_logprobs=None,
        stream=False,
        include_usage=False,
        native=_for_a_whole_reply(request.native),
    )


def _complaint(errors: Sequence[str]) -> str:
    listed = "\n".join(f"- {error}" for error in errors)
    return (
        "Your last reply is not the JSON that was asked for. What is wrong with it, by JSON pointer:\n"
        f"{listed}\n"
        "Reply with the whole corrected JSON and nothing else."
    )


def _for_a_whole_reply(native: OpaquePart | None) -> OpaquePart | None:
    """A dialect's own members less those that only a stream may have, and its own choice of a tool."""
    if native is None:
        return None
    dropped = (*_STREAM_ONLY, "tool_choice")
    value = {name: member for name, member in native.value.items() if name not in dropped}
    return structs.replace(native, value=value) if value else None


def events_of(reply: ChatReply) -> Iterator[ChatEvent]:
    """A whole reply as a stream has it, for a client that asked for one and a reply that was held back."""
    yield Started(
        id=reply.id,
        model=reply.model,
        created_s=reply.created_s,
        usage=reply.usage,
        system_fingerprint=reply.system_fingerprint,
        service_tier=reply.service_tier,
        native=reply.native,
    )
    for choice in reply.choices:
        slot = 0
        for block, part in enumerate(choice.parts):
            event = _event(part, choice, block, slot)
            slot += isinstance(part, ToolCallPart)
            if event is not None:
                yield event
        yield Finished(reason=choice.finish_reason or "stop", choice=choice.index, stop_sequence=choice.stop_sequence)
    if reply.usage is not None:
        yield Metered(usage=reply.usage)
    yield Ended()


def _event(part: Part, choice: Choice, block: int, slot: int) -> ChatEvent | None:
    match part:
        case TextPart():
            return TextDelta(
                text=part.text,
                choice=choice.index,
                logprobs=choice.logprobs,
                citations=part.citations,
                block=block,
            )
        case ThinkingPart():
            return ThinkingDelta(
                text=part.text, signature=part.signature, redacted=part.redacted, block=block, choice=choice.index
            )
        case RefusalPart():
            return RefusalDelta(text=part.text, choice=choice.index)
        case ToolCallPart():
            return ToolCallDelta(
                slot=slot,
                id=part.id,
                name=part.name,
                arguments=part.arguments,
                signature=part.signature,
                native=part.native,
                choice=choice.index,
            )
        case OpaquePart():
            return OpaqueDelta(part=part, choice=choice.index)
    return None
