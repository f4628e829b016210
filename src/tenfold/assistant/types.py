"""What an answer is made of: passages found, text as it streams, and the end that says where it came from."""

from typing import Literal

from msgspec import Struct, field

from tenfold.core.call import CacheState

Outcome = Literal["answered", "abstained", "degraded"]


class Hit(Struct, frozen=True, kw_only=True):
    """A passage found. `url` leads to it for a person; `span` is its first and last-but-one character in the document;
    `relevance` is 0 (nothing in common) to 1 (says the same)."""

    title: str
    url: str
    text: str
    relevance: float
    heading: str = ""
    span: tuple[int, int] = (0, 0)


class Citation(Struct, frozen=True, kw_only=True):
    """A passage as the reader sees it; `number` is the mark [n] in the text."""

    number: int
    title: str
    url: str
    heading: str
    span: tuple[int, int]
    excerpt: str


class CallSummary(Struct, frozen=True, kw_only=True):
    """What the pipeline tells of a call once it is settled. `cost_nano` is None when no price is known; `degraded` are
    the steps of its fallback chain that were taken."""

    model: str
    provider: str | None = None
    cost_nano: int | None = None
    latency_ms: int = 0
    cache: CacheState = "bypass"
    degraded: tuple[str, ...] = ()


class AnswerDelta(Struct, frozen=True, kw_only=True, tag="delta", tag_field="event"):
    """The next piece of the text."""

    text: str


class AnswerEnd(Struct, frozen=True, kw_only=True, tag="end", tag_field="event"):
    """The last event. `citations` are the passages the text refers to; `nearest` stands in for them when the documents
    do not answer (abstained) or no model did (degraded), and `notice` then says so to a person.
    `latency_ms` is the whole of it, search included; `call` is None when no model was asked."""

    outcome: Outcome
    latency_ms: int
    citations: list[Citation] = field(default_factory=list)
    nearest: list[Citation] = field(default_factory=list)
    notice: str | None = None
    call: CallSummary | None = None


AskEvent = AnswerDelta | AnswerEnd


class Answer(Struct, frozen=True, kw_only=True):
    """The same, not streamed."""

    text: str
    end: AnswerEnd
