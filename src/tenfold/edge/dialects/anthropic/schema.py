"""The common shape of a Messages request, as types that msgspec checks in one pass.

It is narrower than what is allowed: a body that does not fit is looked at again by `checks`, which knows all rules and
says what is wrong. Every member is held, free ones undecoded in meaning, so that a body written again is whole.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

Object = dict[str, Any]
Name = Annotated[str, Meta(min_length=1, max_length=128)]
_MaybeObject = Object | UnsetType | None
_MaybeText = str | UnsetType | None


class Text(Struct, tag_field="type", tag="text"):
    text: str
    cache_control: _MaybeObject = UNSET
    citations: list[Object] | UnsetType | None = UNSET


class Base64Source(Struct, tag_field="type", tag="base64"):
    media_type: str
    data: str


class UrlSource(Struct, tag_field="type", tag="url"):
    url: str


class Image(Struct, tag_field="type", tag="image"):
    source: Base64Source | UrlSource
    cache_control: _MaybeObject = UNSET


class TextSource(Struct, tag_field="type", tag="text"):
    media_type: str
    data: str


class Document(Struct, tag_field="type", tag="document"):
    source: Base64Source | UrlSource | TextSource
    title: _MaybeText = UNSET
    context: _MaybeText = UNSET
    citations: _MaybeObject = UNSET
    cache_control: _MaybeObject = UNSET


class Thinking(Struct, tag_field="type", tag="thinking"):
    thinking: str
    signature: str


class RedactedThinking(Struct, tag_field="type", tag="redacted_thinking"):
    data: str


class ToolUse(Struct, tag_field="type", tag="tool_use"):
    id: str
    name: str
    input: Object
    cache_control: _MaybeObject = UNSET
    caller: _MaybeObject = UNSET


class ToolResult(Struct, tag_field="type", tag="tool_result"):
    tool_use_id: str
    content: str | list[Text | Image | Document] | UnsetType = UNSET
    is_error: bool | UnsetType = UNSET
    cache_control: _MaybeObject = UNSET


class UserMessage(Struct, tag_field="role", tag="user"):
    content: str | list[Text | Image | Document | ToolResult]


class AssistantMessage(Struct, tag_field="role", tag="assistant"):
    content: str | list[Text | ToolUse | Thinking | RedactedThinking]


class CustomTool(Struct):
    name: Name
    input_schema: Object
    type: Literal["custom"] | UnsetType | None = UNSET
    description: str | UnsetType = UNSET
    strict: bool | UnsetType = UNSET
    cache_control: _MaybeObject = UNSET
    defer_loading: bool | UnsetType = UNSET
    eager_input_streaming: bool | UnsetType | None = UNSET
    input_examples: list[Object] | UnsetType = UNSET


class Auto(Struct, tag_field="type", tag="auto"):
    disable_parallel_tool_use: bool | UnsetType = UNSET


class AnyTool(Struct, tag_field="type", tag="any"):
    disable_parallel_tool_use: bool | UnsetType = UNSET


class OneTool(Struct, tag_field="type", tag="tool"):
    name: str
    disable_parallel_tool_use: bool | UnsetType = UNSET


class NoTool(Struct, tag_field="type", tag="none"):
    pass


class ThinkingOn(Struct, tag_field="type", tag="enabled"):
    budget_tokens: Annotated[int, Meta(ge=1024)]
    display: _MaybeText = UNSET


class ThinkingAdaptive(Struct, tag_field="type", tag="adaptive"):
    display: _MaybeText = UNSET


class ThinkingOff(Struct, tag_field="type", tag="disabled"):
    pass


class Metadata(Struct):
    user_id: _MaybeText = UNSET


class OutputConfig(Struct):
    format: _MaybeObject = UNSET
    effort: _MaybeText = UNSET


class Body(Struct):
    """`temperature` and `top_p` are Raw or int: a fraction keeps the client's own text."""

    model: Annotated[str, Meta(min_length=1)]
    messages: Annotated[list[UserMessage | AssistantMessage], Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    system: str | list[Text] | UnsetType = UNSET
    stream: bool | UnsetType = UNSET
    temperature: Any = UNSET
    top_p: Any = UNSET
    top_k: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    stop_sequences: list[str] | UnsetType = UNSET
    tools: list[CustomTool] | UnsetType = UNSET
    tool_choice: Auto | AnyTool | OneTool | NoTool | UnsetType = UNSET
    thinking: ThinkingOn | ThinkingAdaptive | ThinkingOff | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    output_config: OutputConfig | UnsetType = UNSET
    service_tier: Literal["auto", "standard_only"] | UnsetType = UNSET
    cache_control: _MaybeObject = UNSET
    container: Any = UNSET
    context_management: Any = UNSET
    inference_geo: _MaybeText = UNSET
    speed: _MaybeText = UNSET
