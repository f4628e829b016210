"""The shape of OpenAI request bodies as msgspec reads them: types, required members, ranges. No meaning.

A member that is absent stays UNSET, so that encoding a decoded body gives back exactly the members it had; the
duplicate check in `checks` rests on that. Numbers that may have a fraction are `object`, because they are kept
as they were written and looked at by `checks`. Members that are not named here are skipped, and only members of
ChatBody are free-form: in the rest of a body the types bound the nesting.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

JsonObject = dict[str, Any]
Name = Annotated[str, Meta(min_length=1)]
OptionalText = str | None | UnsetType
OptionalFlag = bool | None | UnsetType
OptionalObject = JsonObject | None | UnsetType
Limit = Annotated[int, Meta(ge=1)] | None | UnsetType

# -- messages --------------------------------------------------------------------------------


class ImageUrl(Struct):
    url: str
    detail: OptionalText = UNSET


class InputAudio(Struct):
    data: str
    format: str


class FileRef(Struct):
    file_id: OptionalText = UNSET
    file_data: OptionalText = UNSET
    filename: OptionalText = UNSET


class ContentPart(Struct):
    """A part of any type. Those of OpenAI must be whole; others belong to some upstream and are left to it."""

    type: str
    text: OptionalText = UNSET
    image_url: ImageUrl | str | UnsetType = UNSET  # Mistral takes the bare URL
    input_audio: InputAudio | UnsetType = UNSET
    file: FileRef | UnsetType = UNSET
    refusal: str | UnsetType = UNSET

    def __post_init__(self) -> None:
        kind = self.type
        if kind == "text":
            if type(self.text) is not str:
                raise ValueError("Missing required parameter: `text`")
        elif kind in ("image_url", "input_audio", "file", "refusal") and getattr(self, kind) is UNSET:
            raise ValueError(f"Missing required parameter: `{kind}`")


Content = str | Annotated[list[ContentPart], Meta(min_length=1)]


class FunctionCall(Struct):
    name: str
    arguments: str | UnsetType = UNSET


class CustomCall(Struct):
    name: str
    input: str | UnsetType = UNSET


class ToolCall(Struct):
    id: str
    type: str | UnsetType = UNSET
    function: FunctionCall | UnsetType = UNSET
    custom: CustomCall | UnsetType = UNSET
    index: int | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        if self.function is UNSET and (self.type is UNSET or self.type == "function"):
            raise ValueError("Missing required parameter: `function`")


class AudioId(Struct):
    id: str


class UrlCitation(Struct):
    url: str
    title: OptionalText = UNSET
    start_index: int | UnsetType = UNSET
    end_index: int | UnsetType = UNSET


class Annotation(Struct):
    type: str
    url_citation: UrlCitation | UnsetType = UNSET


class SystemMessage(Struct, tag_field="role", tag="system"):
    content: Content
    name: OptionalText = UNSET


class DeveloperMessage(Struct, tag_field="role", tag="developer"):
    content: Content
    name: OptionalText = UNSET


class UserMessage(Struct, tag_field="role", tag="user"):
    content: Content
    name: OptionalText = UNSET


class AssistantMessage(Struct, tag_field="role", tag="assistant"):
    content: str | list[ContentPart] | UnsetType | None = UNSET
    tool_calls: list[ToolCall] | UnsetType | None = UNSET
    refusal: OptionalText = UNSET
    name: OptionalText = UNSET
    function_call: FunctionCall | UnsetType | None = UNSET
    audio: AudioId | UnsetType | None = UNSET
    annotations: list[Annotation] | UnsetType | None = UNSET
    reasoning_content: OptionalText = UNSET
    prefix: OptionalFlag = UNSET


class ToolMessage(Struct, tag_field="role", tag="tool"):
    content: Content
    tool_call_id: str
    name: OptionalText = UNSET


class FunctionMessage(Struct, tag_field="role", tag="function"):
    name: str
    content: str | None


Message = UserMessage | AssistantMessage | SystemMessage | ToolMessage | DeveloperMessage | FunctionMessage

# -- tools and formats -----------------------------------------------------------------------


class FunctionDef(Struct):
    name: Name
    description: OptionalText = UNSET
    parameters: OptionalObject = UNSET
    strict: OptionalFlag = UNSET


class Tool(Struct):
    """`type` is absent where clients of Mistral speak. Other types than `function` are left to the upstream."""

    type: str | UnsetType = UNSET
    function: FunctionDef | UnsetType = UNSET
    custom: OptionalObject = UNSET

    def __post_init__(self) -> None:
        if self.function is UNSET and (self.type is UNSET or self.type == "function"):
            raise ValueError("Missing required parameter: `function`")


class JsonSchemaFormat(Struct):
    name: Name
    description: OptionalText = UNSET
    schema: OptionalObject = UNSET
    strict: OptionalFlag = UNSET


class ResponseFormat(Struct):
    type: str
    json_schema: JsonSchemaFormat | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.type == "json_schema" and self.json_schema is UNSET:
            raise ValueError("Missing required parameter: `json_schema`")


class StreamOptions(Struct):
    include_usage: OptionalFlag = UNSET
    include_obfuscation: OptionalFlag = UNSET


# -- requests --------------------------------------------------------------------------------


class ChatBody(Struct):
    """CreateChatCompletionRequest of OpenAI's API description, and what LangChain, Mistral and others add to it."""

    model: Name
    messages: Annotated[list[Message], Meta(min_length=1)]
    temperature: object = UNSET
    max_tokens: Limit = UNSET
    stream: OptionalFlag = UNSET
    stream_options: StreamOptions | UnsetType | None = UNSET
    max_completion_tokens: Limit = UNSET
    tools: list[Tool] | UnsetType | None = UNSET
    tool_choice: Literal["none", "auto", "required", "any"] | JsonObject | UnsetType | None = UNSET
    parallel_tool_calls: OptionalFlag = UNSET
    response_format: ResponseFormat | UnsetType | None = UNSET
    top_p: object = UNSET
    stop: str | list[str] | UnsetType | None = UNSET
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | UnsetType | None = UNSET
    n: Annotated[int, Meta(ge=1, le=128)] | UnsetType | None = UNSET
    user: OptionalText = UNSET
    logprobs: OptionalFlag = UNSET
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | UnsetType | None = UNSET
    presence_penalty: object = UNSET
    frequency_penalty: object = UNSET
    logit_bias: OptionalObject = UNSET
    reasoning_effort: OptionalText = UNSET
    modalities: list[str] | UnsetType | None = UNSET
    metadata: OptionalObject = UNSET
    service_tier: OptionalText = UNSET
    store: OptionalFlag = UNSET
    verbosity: OptionalText = UNSET
    prompt_cache_key: OptionalText = UNSET
    prompt_cache_options: object = UNSET
    prompt_cache_retention: OptionalText = UNSET
    safety_identifier: OptionalText = UNSET
    audio: OptionalObject = UNSET
    prediction: OptionalObject = UNSET
    web_search_options: OptionalObject = UNSET
    moderation: object = UNSET
    functions: list[FunctionDef] | UnsetType | None = UNSET
    function_call: Literal["none", "auto"] | FunctionCall | UnsetType | None = UNSET
    top_k: Annotated[int, Meta(ge=-1)] | UnsetType | None = UNSET  # vLLM and others; -1 is off
    reasoning: object = UNSET  # OpenRouter
    provider: object = UNSET  # OpenRouter

    def free_form(self) -> tuple[object, ...]:
        """The members whose nesting no type bounds."""
        return (
            self.tools,
            self.tool_choice,
            self.response_format,
            self.metadata,
            self.logit_bias,
            self.audio,
            self.prediction,
            self.web_search_options,
            self.prompt_cache_options,
            self.moderation,
            self.functions,
            self.reasoning,
            self.provider,
        )


Tokens = Annotated[list[int], Meta(min_length=1)]


class EmbeddingsBody(Struct):
    """CreateEmbeddingRequest."""

    model: Name
    input: str | Annotated[list[str | int | Tokens], Meta(min_length=1, max_length=2048)]
    encoding_format: Literal["float", "base64"] | UnsetType | None = UNSET
    dimensions: Limit = UNSET
    user: OptionalText = UNSET
