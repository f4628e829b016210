"""What an answer is made of: passages found, text as it streams, and the end that says where it came from."""

from typing import Literal

from msgspec import Struct, field

from tenfold.core.call import CacheState

Outcome = Literal["answered", "abstained", "degraded"]

HandOff = Literal["asked", "abstained", "degraded", "unsure", "unhelpful", "failed"]
"""Why a person should look: somebody asked for one; the documents do not answer; no model did; the answer is not
trusted; it did not help; the job that was to answer died."""


class Turn(Struct, frozen=True, kw_only=True):
    """What was said before the question, by whoever asks or by whoever answered."""

    role: Literal["user", "assistant"]
    text: str


class Hit(Struct, frozen=True, kw_only=True):
    """A passage found. `url` leads to it for a person; `span` is its first and last-but-one character in the document;
    `relevance` is 0 (nothing in common) to 1 (says the same); `document` names its version,
    "<knowledge base>/<document>@<version>", where an answer from it is to end with it."""

    title: str
    url: str
    text: str
    relevance: float
    heading: str = ""
    span: tuple[int, int] = (0, 0)
    document: str = ""


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
    the steps of its fallback chain that were taken; `layer` the one of the cache that answered it."""

    model: str
    provider: str | None = None
    cost_nano: int | None = None
    latency_ms: int = 0
    cache: CacheState = "bypass"
    degraded: tuple[str, ...] = ()
    input_tokens: int = 0
    output_tokens: int = 0
    layer: str = ""


class FromCache(Struct, frozen=True, kw_only=True):
    """Before its text: a reply that no model gives now. `layer` names where it was found."""

    layer: str


class AnswerDelta(Struct, frozen=True, kw_only=True, tag="delta", tag_field="event"):
    """The next piece of the text."""

    text: str


class AnswerEnd(Struct, frozen=True, kw_only=True, tag="end", tag_field="event"):
    """The last event. `citations` are the passages the text refers to; `nearest` stands in for them when the documents
    do not answer (abstained) or no model did (degraded), and `notice` then says so to a person.
    `latency_ms` is the whole of it, search included; `call` is the one whose text it is, None when no model was asked;
    `earlier` are those before it whose text was not trusted. `confidence` is 0 to 1; `prompt` names the version of the
    words given to the model; `documents` are the versions that were quoted to it; `hand_off` says why a person should
    look."""

    outcome: Outcome
    latency_ms: int
    citations: list[Citation] = field(default_factory=list)
    nearest: list[Citation] = field(default_factory=list)
    notice: str | None = None
    call: CallSummary | None = None
    earlier: list[CallSummary] = field(default_factory=list)
    confidence: float = 0.0
    prompt: str = ""
    documents: list[str] = field(default_factory=list)
    hand_off: HandOff | None = None

    @property
    def cost_nano(self) -> int | None:
        """Of all its calls; None when no model was asked, or no price is known."""
        calls = [*self.earlier, *([self.call] if self.call else [])]
        known = [call.cost_nano for call in calls if call.cost_nano is not None]
        return sum(known) if calls and len(known) == len(calls) else None


AskEvent = AnswerDelta | AnswerEnd


class Answer(Struct, frozen=True, kw_only=True):
    """The same, not streamed."""

    text: str
    end: AnswerEnd
