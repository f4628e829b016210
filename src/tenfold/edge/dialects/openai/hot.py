"""The front door of the hot path: one pass over a request body that checks all of it and reads what routing needs.

What it lets pass can go to an OpenAI-compatible upstream as the bytes they are.
"""

from msgspec import UNSET, Struct, UnsetType

from tenfold.core.call import Reach
from tenfold.core.errors import InvalidRequest
from tenfold.edge.dialects.openai.checks import check_embeddings, look_at_chat, number
from tenfold.edge.dialects.openai.reach import reach_of
from tenfold.edge.dialects.openai.schema import AssistantMessage, ChatBody, FunctionMessage

_MEDIA = frozenset({"image_url", "input_audio", "file", "video_url"})


class Peek(Struct, frozen=True, kw_only=True):
    """What routing, admission and the cache need of a request."""

    model: str
    stream: bool = False
    include_usage: bool = False
    n: int = 1
    max_tokens: int | None = None  # bound of the output of one choice
    temperature: float | None = None
    seed: int | None = None
    user: str | None = None
    has_tools: bool = False
    has_media: bool = False  # images, audio, documents: the length of the body says little about its tokens
    wants_json: bool = False
    reach: Reach | None = None  # what else the model may read; see `core.call.Reach`


def peek_chat(body: bytes) -> Peek:
    """Raises InvalidRequest."""
    chat, unknown = look_at_chat(body)
    temperature = number(chat.temperature, "temperature", 0, 2)
    number(chat.top_p, "top_p", 0, 1)
    number(chat.presence_penalty, "presence_penalty", -2, 2)
    number(chat.frequency_penalty, "frequency_penalty", -2, 2)
    if chat.logit_bias:
        _check_bias(chat.logit_bias)
    options = chat.stream_options or None
    response_format = chat.response_format or None
    return Peek(
        model=chat.model,
        stream=chat.stream is True,
        include_usage=options is not None and options.include_usage is True,
        n=_said(chat.n) or 1,
        max_tokens=_output_bound(chat),
        temperature=temperature,
        seed=_said(chat.seed),
        user=chat.user or None,
        has_tools=bool(chat.tools or chat.functions),
        has_media=_has_media(chat),
        wants_json=response_format is not None and response_format.type.startswith("json"),
        reach=reach_of(chat, unknown),
    )


def peek_embeddings(body: bytes) -> Peek:
    """Raises InvalidRequest."""
    embeddings = check_embeddings(body)
    given = embeddings.input
    if not given or (isinstance(given, list) and len({type(item) for item in given}) > 1):
        raise InvalidRequest(
            "Invalid 'input': expected a text, an array of texts, or an array of token ids.", param="input"
        )
    if isinstance(given, list) and "" in given:
        raise InvalidRequest("Invalid 'input': a text cannot be empty.", param="input")
    return Peek(model=embeddings.model, user=embeddings.user or None)


def _said(value: int | UnsetType | None) -> int | None:
    return None if value is UNSET else value


def _output_bound(chat: ChatBody) -> int | None:
    """An upstream may know only one of the two, so the larger one bounds."""
    old, new = _said(chat.max_tokens), _said(chat.max_completion_tokens)
    return max(old, new) if old is not None and new is not None else old if new is None else new


def _has_media(chat: ChatBody) -> bool:
    for message in chat.messages:
        if type(message) is not FunctionMessage and type(message.content) is list:
            for part in message.content:
                if part.type in _MEDIA:
                    return True
        if type(message) is AssistantMessage and message.audio:
            return True
    return False


def _check_bias(bias: dict[str, object]) -> None:
    for token, value in bias.items():
        number(value, f"logit_bias.{token[:80]}", -100, 100)
