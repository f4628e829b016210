"""What a reply says, choice by choice, as far as a promise is concerned: of whole replies and of streams."""

import re
from collections.abc import Iterable

from msgspec import Struct

from tenfold.core.chat import (
    ChatEvent,
    ChatReply,
    Choice,
    Failed,
    Finished,
    FinishReason,
    OpaqueDelta,
    OpaquePart,
    RefusalDelta,
    RefusalPart,
    TextDelta,
    TextPart,
    ToolCallDelta,
    ToolCallPart,
)
from tenfold.inference.output.expected import MOST_TEXT, Expected, Invalid, check
from tenfold.inference.output.mend import mend
from tenfold.providers.ports import StreamDecoder

_END = re.compile(rb"^(?:data: ?\[DONE\]|event: ?(?:message_stop|response\.(?:completed|incomplete)$))", re.MULTILINE)
"""Text cannot look like it: line breaks inside JSON are escaped."""

_EXCUSED: frozenset[FinishReason] = frozenset({"tool_calls", "content_filter", "refusal", "pause"})


class Said(Struct, frozen=True, kw_only=True):
    """One choice. `excused`: it calls tools, refuses, was filtered or goes on later, so that its text promises nothing.
    `cut`: it ended because of its length limit. `too_long`: its text was let go of."""

    index: int
    text: str
    excused: bool = False
    cut: bool = False
    too_long: bool = False


def said_in(reply: ChatReply) -> list[Said]:
    return [_said(choice) for choice in reply.choices]


def faults(expected: Expected, said: Iterable[Said]) -> dict[int, Invalid]:
    """The choices that do not keep what was promised."""
    found: dict[int, Invalid] = {}
    for one in said:
        if one.excused:
            continue
        if one.too_long:
            found[one.index] = Invalid(("(root): is too long to be checked",), too_much=True)
            continue
        verdict = check(expected, one.text)
        if isinstance(verdict, Invalid):
            found[one.index] = verdict
        elif one.cut and one.text.rstrip()[-1:].isdigit():
            found[one.index] = Invalid(("(root): is a number that was cut short",))
    return found


def mended(expected: Expected, said: Iterable[Said], invalid: dict[int, Invalid]) -> dict[int, str] | None:
    """New texts for the invalid choices. None where one of them cannot be mended: then nothing is."""
    texts: dict[int, str] = {}
    for one in said:
        if one.index in invalid:
            text = None if invalid[one.index].too_much else mend(expected, one.text, cut=one.cut)
            if text is None:
                return None
            texts[one.index] = text
    return texts


def _said(choice: Choice) -> Said:
    text = "".join(part.text for part in choice.parts if isinstance(part, TextPart))
    excused = any(isinstance(part, ToolCallPart | RefusalPart) for part in choice.parts)
    if not text:
        excused = excused or any(isinstance(part, OpaquePart) for part in choice.parts)
    return Said(
        index=choice.index,
        text=text,
        excused=excused or choice.finish_reason in _EXCUSED,
        cut=choice.finish_reason == "length",
    )


class _Choice:
    __slots__ = ("excused", "opaque", "reason", "texts")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.excused = False
        self.opaque = False
        self.reason: FinishReason | None = None


class StreamText:
    """Collects the text of a stream that goes by. Of a translated stream it takes the events; of a passing one the raw
    frames, through a decoder of its own. One for each attempt. Past `most` characters it lets go of all."""

    def __init__(self, decoder: StreamDecoder | None = None, *, most: int = MOST_TEXT) -> None:
        self._decoder = decoder
        self._most = most
        self._size = 0
        self._choices: dict[int, _Choice] = {}
        self.failed = False  # an error event stood in it; the relay knows, and nothing is to be checked

    def feed(self, frames: bytes) -> None:
        """Raw bytes of a passing stream, cut anywhere."""
        assert self._decoder is not None
        self.take(self._decoder.feed(frames))

    def take(self, events: Iterable[ChatEvent]) -> None:
        for event in events:
            match event:
                case TextDelta():
                    self._text(event)
                case Finished():
                    self._of(event.choice).reason = event.reason
                case ToolCallDelta() | RefusalDelta():
                    self._of(event.choice).excused = True
                case OpaqueDelta():
                    self._of(event.choice).opaque = True
                case Failed():
                    self.failed = True

    def said(self) -> list[Said]:
        """Once, when the stream has ended."""
        if self._decoder is not None:
            self.take(self._decoder.finish())
        return [
            Said(
                index=index,
                text="".join(choice.texts),
                excused=choice.excused or choice.reason in _EXCUSED or (choice.opaque and not choice.texts),
                cut=choice.reason == "length",
                too_long=self._size > self._most,
            )
            for index, choice in sorted(self._choices.items())
        ]

    def _text(self, event: TextDelta) -> None:
        choice = self._of(event.choice)
        self._size += len(event.text)
        if self._size <= self._most:
            choice.texts.append(event.text)
        else:
            for each in self._choices.values():
                each.texts.clear()

    def _of(self, index: int) -> _Choice:
        return self._choices.setdefault(index, _Choice())


class EndHold:
    """Holds the protocol's own end of a stream back, until it is known whether it may be told: a text that broke its
    promise is followed by an error in place of it. Takes whole frames."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, frames: bytes) -> bytes:
        """What may go out now."""
        if self._held:
            self._held += frames
            return b""
        end = _END.search(frames)
        if end is None:
            return frames
        self._held = frames[end.start() :]
        return frames[: end.start()]

    def rest(self) -> bytes:
        """The end itself, once it may be told."""
        held, self._held = self._held, b""
        return held
