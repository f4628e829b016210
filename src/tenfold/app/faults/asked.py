"""What is asked of the provider: the routes of three vendors, and what of a body decides the answer. Pure."""

import re
from typing import Any, Literal
from urllib.parse import unquote

from msgspec import DecodeError, Struct, ValidationError, json

from tenfold.app.faults.wires import Dialect

Operation = Literal["chat", "embeddings", "count", "models"]

MOST_TOKENS = 10_000
_MAX_TEXTS = 2048
_MAX_DIMENSIONS = 4096
_GEMINI = re.compile(r"/v1(?:beta)?/(?:models|tunedModels)/([^/:]+):(\w+)")
_GEMINI_OPERATIONS: dict[str, Operation] = {
    "generateContent": "chat",
    "streamGenerateContent": "chat",
    "countTokens": "count",
    "embedContent": "embeddings",
    "batchEmbedContents": "embeddings",
}
_POSTED: dict[str, tuple[Dialect, Operation]] = {
    "/v1/chat/completions": ("openai", "chat"),
    "/v1/embeddings": ("openai", "embeddings"),
    "/v1/messages": ("anthropic", "chat"),
    "/v1/messages/count_tokens": ("anthropic", "count"),
}


class NotServed(Exception):
    """No such route, or a body that is no call of it. `status`: 400 or 404."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Asked(Struct, frozen=True, kw_only=True):
    """`model` is "" where a route names none. `single`: of embeddings, Gemini's call for one text."""

    dialect: Dialect
    operation: Operation
    model: str = ""
    stream: bool = False
    include_usage: bool = False
    max_tokens: int | None = None
    text_bytes: int = 0  # of everything that was said
    schema: dict[str, Any] | None = None  # of the answer
    texts: int = 0  # to be embedded
    dimensions: int = 8
    single: bool = False


class _StreamOptions(Struct):
    include_usage: bool = False


class _Body(Struct):
    """The members of OpenAI's and Anthropic's bodies."""

    model: str
    messages: list[Any] = []
    system: Any = None
    tools: Any = None
    stream: bool | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream_options: _StreamOptions | None = None
    response_format: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    output_format: dict[str, Any] | None = None
    input: Any = None
    dimensions: int | None = None


class _GeminiBody(Struct, rename="camel"):
    contents: Any = None
    content: Any = None
    system_instruction: Any = None
    tools: Any = None
    generation_config: dict[str, Any] = {}
    requests: list[Any] = []


_BODY = json.Decoder(_Body)
_GEMINI_BODY = json.Decoder(_GeminiBody)


def read(method: str, path: str, headers: dict[str, str], body: bytes) -> Asked:
    """`path` without its query. Raises NotServed."""
    if method == "GET":
        if path == "/v1/models":
            return Asked(dialect="anthropic" if "anthropic-version" in headers else "openai", operation="models")
        if path == "/v1beta/models":
            return Asked(dialect="gemini", operation="models")
    elif method == "POST":
        try:
            if path in _POSTED:
                return _vendor(*_POSTED[path], _BODY.decode(body))
            found = _GEMINI.fullmatch(path)
            if found is not None and found[2] in _GEMINI_OPERATIONS:
                return _gemini(unquote(found[1]), found[2], _GEMINI_BODY.decode(body))
        except (DecodeError, ValidationError, UnicodeDecodeError, RecursionError) as error:
            raise NotServed(400, f"This is no such call: {error}") from None
    raise NotServed(404, "There is no such route.")


def _vendor(dialect: Dialect, operation: Operation, body: _Body) -> Asked:
    texts, said = 0, json.encode([body.system, body.messages, body.tools])
    if operation == "embeddings":
        is_one = not isinstance(body.input, list) or (bool(body.input) and isinstance(body.input[0], int))
        texts, said = 1 if is_one else len(body.input), json.encode(body.input)
    return Asked(
        dialect=dialect,
        operation=operation,
        model=body.model,
        stream=bool(body.stream),
        include_usage=body.stream_options is not None and body.stream_options.include_usage,
        max_tokens=_limit(body.max_completion_tokens or body.max_tokens),
        text_bytes=len(said),
        schema=_schema(body),
        texts=min(texts, _MAX_TEXTS),
        dimensions=_dimensions(body.dimensions),
    )


def _gemini(model: str, method: str, body: _GeminiBody) -> Asked:
    config = body.generation_config
    schema = config.get("responseJsonSchema", config.get("responseSchema"))
    limit = config.get("maxOutputTokens")
    first = body.requests[0] if body.requests and isinstance(body.requests[0], dict) else {}
    dimensions = first.get("outputDimensionality")
    return Asked(
        dialect="gemini",
        operation=_GEMINI_OPERATIONS[method],
        model=model,
        stream=method == "streamGenerateContent",
        include_usage=True,
        max_tokens=_limit(limit if isinstance(limit, int) else None),
        text_bytes=len(json.encode([body.contents, body.content, body.system_instruction, body.tools, body.requests])),
        schema=schema if isinstance(schema, dict) else None,
        texts=1 if method == "embedContent" else min(len(body.requests), _MAX_TEXTS),
        dimensions=_dimensions(dimensions if isinstance(dimensions, int) else None),
        single=method == "embedContent",
    )


def _schema(body: _Body) -> dict[str, Any] | None:
    """OpenAI: response_format.json_schema.schema; Anthropic: output_config.format.schema, or output_format.schema."""
    stated: Any = None
    if body.response_format is not None:
        if body.response_format.get("type") == "json_object":
            return {"type": "object"}
        stated = body.response_format.get("json_schema")
    elif body.output_config is not None:
        stated = body.output_config.get("format")
    elif body.output_format is not None:
        stated = body.output_format
    schema = stated.get("schema") if isinstance(stated, dict) else None
    return schema if isinstance(schema, dict) else None


def _limit(tokens: int | None) -> int | None:
    return None if tokens is None else min(max(tokens, 1), MOST_TOKENS)


def _dimensions(wanted: int | None) -> int:
    return 8 if wanted is None else min(max(wanted, 1), _MAX_DIMENSIONS)
