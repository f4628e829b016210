"""The front door of the hot path: one pass over a Messages body that checks all of it and reads what routing needs.

What it lets pass can go to Anthropic as the bytes they are.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import UNSET, DecodeError, Raw, Struct
from msgspec.json import Decoder, Encoder

from tenfold.core.call import Reach
from tenfold.core.errors import InvalidRequest
from tenfold.core.json_guard import MAX_DEPTH, deeper, load_json, same_members
from tenfold.edge.dialects.anthropic.checks import check_request, fraction
from tenfold.edge.dialects.anthropic.reach import reach_of_json, reach_of_typed
from tenfold.edge.dialects.anthropic.schema import Body, Document, Image, Text, ToolResult, ToolUse, UserMessage

_BODY = Decoder(Body, float_hook=Raw)
_ENCODER = Encoder()
_TYPED_DEPTH = 8  # body, messages, message, content, block, content, block, member: the longest way to a free member


class Peek(Struct, frozen=True, kw_only=True):
    """What routing, admission and the cache need of a request; the fields other dialects give too."""

    model: str
    stream: bool = False
    include_usage: bool = True  # a stream of this API always tells its usage
    n: int = 1
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    user: str | None = None
    has_tools: bool = False
    has_media: bool = False  # images, documents: the length of the body says little about its tokens
    wants_json: bool = False
    reach: Reach | None = None  # what else the model may read; see `core.call.Reach`


def peek_messages(body: bytes, *, counting: bool = False) -> Peek:
    """`counting`: a count_tokens request. Raises InvalidRequest."""
    try:
        typed = _BODY.decode(body)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return _peek_slowly(body, counting=counting)
    if (typed.max_tokens is UNSET and not counting) or not _is_whole(typed, body):
        return _peek_slowly(body, counting=counting)
    temperature, _ = _fraction(typed.temperature, "temperature"), _fraction(typed.top_p, "top_p")
    tools = typed.tools or ()
    if len({tool.name for tool in tools}) != len(tools):
        raise InvalidRequest("tools: Tool names must be unique.", param="tools")
    config, metadata = typed.output_config or None, typed.metadata or None
    return Peek(
        model=typed.model,
        stream=typed.stream is True,
        max_tokens=None if typed.max_tokens is UNSET else typed.max_tokens,
        temperature=temperature,
        user=(metadata.user_id or None) if metadata is not None else None,
        has_tools=bool(tools),
        has_media=_has_media(typed),
        wants_json=config is not None and bool(config.format),
        reach=reach_of_typed(typed),
    )


def _peek_slowly(raw: bytes, *, counting: bool) -> Peek:
    body = check_request(load_json(raw), counting=counting)
    return Peek(
        model=body["model"],
        stream=body.get("stream") is True,
        max_tokens=body.get("max_tokens"),
        temperature=fraction(body.get("temperature"), "temperature"),
        user=(body.get("metadata") or {}).get("user_id") or None,
        has_tools=bool(body.get("tools")),
        has_media=_mentions_media(body["messages"]),
        wants_json=bool((body.get("output_config") or {}).get("format") or body.get("output_format")),
        reach=reach_of_json(body),
    )


def _is_whole(typed: Body, body: bytes) -> bool:
    """No key twice, none unknown, and not nested deeply. False sends the body to the slow look."""
    may_be_deep = body.count(b"{") + body.count(b"[") > MAX_DEPTH
    if may_be_deep and deeper([member for member in _free_members(typed) if member], MAX_DEPTH - _TYPED_DEPTH):
        return False
    return same_members(body, _ENCODER.encode(typed))


def _free_members(typed: Body) -> Iterator[Any]:
    """The members without a type, where nesting has no bound of its own. UNSET counts as false."""
    yield from (typed.cache_control, typed.container, typed.context_management)
    yield typed.output_config and typed.output_config.format
    for tool in typed.tools or ():
        yield from (tool.input_schema, tool.input_examples, tool.cache_control)
    for blocks in (typed.system, *(message.content for message in typed.messages)):
        if type(blocks) is list:
            for block in blocks:
                yield from _free_of(block)


def _free_of(block: Any) -> Iterator[Any]:
    if type(block) is ToolUse:
        yield from (block.input, block.caller, block.cache_control)
    elif type(block) is Text or type(block) is Document:
        yield from (block.citations, block.cache_control)
    elif type(block) is Image:
        yield block.cache_control
    elif type(block) is ToolResult:
        yield block.cache_control
        if type(block.content) is list:
            for inner in block.content:
                yield from _free_of(inner)


def _fraction(value: Any, path: str) -> float | None:
    if value is UNSET or value is None:
        return None
    return fraction(float(bytes(value)) if type(value) is Raw else value, path)


def _has_media(typed: Body) -> bool:
    return any(
        _is_media(block)
        for message in typed.messages
        if type(message) is UserMessage and type(message.content) is list
        for block in message.content
    )


def _is_media(block: Any) -> bool:
    kind = type(block)
    if kind is ToolResult and type(block.content) is list:
        return any(_is_media(inner) for inner in block.content)
    return kind is Image or kind is Document


def _mentions_media(content: Any) -> bool:
    """Media in messages, blocks, or the content of tool results."""
    if not isinstance(content, list):
        return False
    return any(
        isinstance(item, dict) and (item.get("type") in ("image", "document") or _mentions_media(item.get("content")))
        for item in content
    )
