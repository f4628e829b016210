"""One form for what any of the three vendors is asked, and one for what is answered. Values only."""

from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]

FORCED_ANY = "*"
"""The `forced` of a request that demands a call of whichever tool."""

Finish = Literal["stop", "length", "stop_sequence", "tool_calls"]


class Refused(Exception):
    """The vendor's API would refuse this request: status and message, told in its own shape."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        details: Json | None = None,
    ) -> None:
        super().__init__(message)
        self.details = details
        self.message = message
        self.status = status
        self.param = param
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Offered:
    """A tool."""

    name: str
    description: str = ""
    schema: Json = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Called:
    id: str
    name: str
    arguments: Json


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What one side said. `media`: a word for each picture, file or sound ("image", "document", "audio").
    `results`: (name or id of the call, text) of tool results."""

    role: Literal["user", "assistant", "tool"]
    text: str = ""
    calls: tuple[Called, ...] = ()
    results: tuple[tuple[str, str], ...] = ()
    media: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Prompt:
    model: str
    turns: tuple[Turn, ...]
    system: str = ""
    tools: tuple[Offered, ...] = ()
    calling: bool = True  # False: tools are shown and may not be called
    forced: str | None = None  # the tool that must be called, or FORCED_ANY
    parallel: bool = True
    schema: Json | None = None  # of a JSON answer
    json_object: bool = False
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    n: int = 1
    logprobs: int | None = None  # alternatives to each token; None: none wanted
    thinks: bool = False
    shows_thoughts: bool = False
    stream: bool = False
    stream_usage: bool = True
    cached_prefix: str | None = None  # the text up to the mark where the client asks for caching

    @property
    def texts(self) -> list[str]:
        """Everything the model reads, in order."""
        said = [self.system]
        for turn in self.turns:
            said += [turn.text, *(text for _, text in turn.results)]
        return [text for text in said if text]

    @property
    def question(self) -> str:
        """The last that the user said."""
        return next((turn.text for turn in reversed(self.turns) if turn.role == "user" and turn.text), "")


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Tokens. `input` and `output` are totals; the others are parts of them."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0


@dataclass(frozen=True, kw_only=True)
class Said:
    """One choice of the answer."""

    text: str = ""
    thought: str = ""
    calls: tuple[Called, ...] = ()
    finish: Finish = "stop"
    stopped_by: str | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    id: str
    created: int
    choices: tuple[Said, ...]
    usage: Counted
    faulty_usage: bool = False  # the reply is to state none
