"""The shape of Responses bodies as msgspec reads them: types, required members, ranges. No meaning.

An item of the input is one struct for all kinds, as the member `type` that tells them may be absent.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

JsonObject = dict[str, Any]
Name = Annotated[str, Meta(min_length=1)]
Count = Annotated[int, Meta(ge=1)]

FILE_SEARCH = "file_search"
MAX_STORES = 10  # that one search looks through

ROLES = frozenset({"user", "assistant", "system", "developer"})

_TEXTS = frozenset({"input_text", "output_text", "text", "reasoning_text", "summary_text"})
_NEEDS = {
    "function_call": ("call_id", "name", "arguments"),
    "custom_tool_call": ("call_id", "name", "input"),
    "function_call_output": ("call_id", "output"),
    "custom_tool_call_output": ("call_id", "output"),
}


class Audio(Struct):
    data: str
    format: str


class Content(Struct):
    """A part of a message, of a tool's output or of a thought. Of the kinds known here it is whole."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    input_audio: Audio | None = None

    def __post_init__(self) -> None:
        kind = self.type
        if kind in _TEXTS:
            if self.text is None:
                raise ValueError("Missing required parameter: `text`")
        elif kind == "refusal":
            if self.refusal is None:
                raise ValueError("Missing required parameter: `refusal`")
        elif kind == "input_image":
            if self.image_url is None:  # a file's id alone is not looked up here
                raise ValueError("Missing required parameter: `image_url`")
        elif kind == "input_file":
            if self.file_data is None and self.file_url is None and self.file_id is None:
                raise ValueError("Missing required parameter: `file_data`")
        elif kind == "input_audio":
            if self.input_audio is None:
                raise ValueError("Missing required parameter: `input_audio`")
        else:
            raise ValueError(f"content of the type {kind[:60]!r} is not known here, send it as text, image or file")


class Item(Struct):
    """An item of the input. Without a `type` it is a message."""

    type: str | None = None
    role: str | None = None
    content: str | list[Content] | None = None
    id: str | None = None
    call_id: Name | None = None
    name: str | None = None
    arguments: str | None = None
    input: object = None
    output: Any = None  # of a function or custom tool: `Output`, once it was checked
    summary: list[Content] | None = None
    extra_content: object = None
    encrypted_content: str | None = None

    @property
    def kind(self) -> str:
        return self.type or "message"

    @property
    def thought_signature(self) -> str | None:
        """Gemini's signature of a call, where Google's OpenAI layer has it; it must come back with the call."""
        value: Any = self.extra_content
        for name in ("google", "thought_signature"):
            value = value.get(name) if isinstance(value, dict) else None
        return value if isinstance(value, str) else None

    def __post_init__(self) -> None:
        kind = self.kind
        if kind == "message":
            if self.role is None:
                raise ValueError("Missing required parameter: `role`")
            if self.role not in ROLES:
                raise ValueError(
                    f"the role {self.role[:40]!r} is none of 'user', 'assistant', 'system' and 'developer'"
                )
            if self.content is None:
                raise ValueError("Missing required parameter: `content`")
        for name in _NEEDS.get(kind, ()):
            if getattr(self, name) is None:
                raise ValueError(f"Missing required parameter: `{name}`")
        if kind == "custom_tool_call" and not isinstance(self.input, str):
            raise ValueError("the input of a custom tool's call is a string")


Output = str | list[Content]


class InputFormat(Struct):
    """Of a custom tool's input."""

    type: Literal["text", "grammar"]
    syntax: Literal["lark", "regex"] | None = None
    definition: str | None = None

    def __post_init__(self) -> None:
        if self.type == "grammar":
            for name in ("syntax", "definition"):
                if getattr(self, name) is None:
                    raise ValueError(f"Missing required parameter: `{name}`")


class Ranking(Struct):
    ranker: str | None = None
    score_threshold: Annotated[float, Meta(ge=0, le=1)] | None = None
    hybrid_search: object = None


class Tool(Struct):
    """A function, a custom tool, or a search of vector stores."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None
    format: InputFormat | None = None
    vector_store_ids: Annotated[list[Name], Meta(min_length=1, max_length=MAX_STORES)] | None = None
    max_num_results: Annotated[int, Meta(ge=1, le=50)] | None = None
    filters: JsonObject | None = None
    ranking_options: Ranking | None = None

    def __post_init__(self) -> None:
        if self.type == FILE_SEARCH:
            if self.vector_store_ids is None:
                raise ValueError("Missing required parameter: `vector_store_ids`")
        elif not self.name:
            raise ValueError("Missing required parameter: `name`")


class Format(Struct):
    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    description: str | None = None
    schema: JsonObject | None = None
    strict: bool | None = None

    def __post_init__(self) -> None:
        if self.type == "json_schema":
            for name in ("name", "schema"):
                if getattr(self, name) is None:
                    raise ValueError(f"Missing required parameter: `{name}`")


class Text(Struct):
    format: Format | None = None
    verbosity: str | None = None


class Reasoning(Struct):
    effort: str | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    mode: str | None = None
    context: str | None = None


class StreamOptions(Struct):
    include_obfuscation: bool | None = None


MetadataKey = Annotated[str, Meta(max_length=64)]
MetadataValue = Annotated[str, Meta(max_length=512)]


class Body(Struct):
    """CreateResponse of OpenAI's API description."""

    model: Name
    input: str | list[Item] | None = None
    instructions: str | None = None
    tools: list[Tool] | None = None
    tool_choice: str | JsonObject | None = None
    parallel_tool_calls: bool | None = None
    text: Text | None = None
    reasoning: Reasoning | None = None
    include: list[str] | None = None
    max_output_tokens: Count | None = None
    max_tool_calls: int | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    metadata: Annotated[dict[MetadataKey, MetadataValue], Meta(max_length=16)] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: JsonObject | None = None
    service_tier: str | None = None
    truncation: Literal["auto", "disabled"] | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: object = None
    prompt: object = None
    moderation: object = None
    context_management: object = None
