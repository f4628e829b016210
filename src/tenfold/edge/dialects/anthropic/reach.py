"""What a Messages request lets the model read beside its text: pictures, documents, the web. Facts for the bound."""

from collections.abc import Iterator
from typing import Any

from tenfold.core.call import Reach
from tenfold.core.chat import JsonObject
from tenfold.edge.dialects.anthropic.schema import Base64Source, Body, Document, Image, TextSource, ToolResult

_ROUNDS = 10  # a server tool's loop ends there and hands the turn back as `pause_turn`
_HOSTED = Reach(windows=_ROUNDS, rounds=_ROUNDS)
_MEMBERS = frozenset(Body.__struct_fields__) - {"container"}
_MORE_MEMBERS = frozenset({"output_format"})
_CLIENT_TOOLS = ("custom", "bash_", "text_editor_", "computer_", "memory_")  # their client runs them
_OWN_BLOCKS = frozenset(
    {"text", "thinking", "redacted_thinking", "tool_use", "search_result", "tool_reference", "compaction"}
)


def reach_of_typed(typed: Body) -> Reach | None:
    """None: nothing beside its text. The common shape has no hosted tools."""
    if typed.container:
        return _HOSTED
    images = image_bytes = 0
    more = False
    for message in typed.messages:
        if type(message.content) is list:
            for block in _media(message.content):
                if type(block) is Image:
                    images += 1
                    if type(block.source) is Base64Source:
                        image_bytes += len(block.source.data)
                elif type(block.source) is not TextSource:
                    more = True
    return Reach(images=images, image_bytes=image_bytes, windows=int(more)) if images or more else None


def _media(blocks: list[Any]) -> Iterator[Image | Document]:
    for block in blocks:
        kind = type(block)
        if kind is Image or kind is Document:
            yield block
        elif kind is ToolResult and type(block.content) is list:
            yield from _media(block.content)


def reach_of_json(body: JsonObject) -> Reach | None:
    """The same for a body of any shape, checked already. What is not known here may reach anything."""
    tools = body.get("tools") or ()
    unknown = body.keys() - _MEMBERS - _MORE_MEMBERS
    if any(body[name] for name in unknown) or any(
        tool.get("type") and not tool["type"].startswith(_CLIENT_TOOLS) for tool in tools
    ):
        return _HOSTED
    seen = _Seen()
    for message in body["messages"]:
        seen.look(message.get("content"))
    if not seen.images and not seen.more:
        return None
    return Reach(images=seen.images, image_bytes=seen.image_bytes, windows=int(seen.more))


class _Seen:
    def __init__(self) -> None:
        self.images = self.image_bytes = 0
        self.more = False

    def look(self, content: Any) -> None:
        for block in content if isinstance(content, list) else ():
            kind = block.get("type")
            if kind in _OWN_BLOCKS:
                continue
            if kind == "tool_result":
                self.look(block.get("content"))
                continue
            source = block.get("source")
            source = source if isinstance(source, dict) else {}
            if kind == "image" and source.get("type") in ("base64", "url"):
                self.images += 1
                self.image_bytes += len(source["data"]) if source["type"] == "base64" else 0
            elif not (kind == "document" and source.get("type") == "text"):
                self.more = True
