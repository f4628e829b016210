"""The conversation as the Messages API wants it: system text apart, turns that alternate, tool results first.

Rules of the API it keeps: the turns are the user's and the assistant's; the results of all tool calls of an assistant
turn stand at the head of the next user turn; no text is blank; the last assistant text has no trailing space.
"""

from tenfold.core.chat import JsonObject, Message, OpaquePart
from tenfold.core.errors import InvalidRequest
from tenfold.providers.anthropic.blocks import DIALECT, encode_content, own, plain
from tenfold.providers.anthropic.models import ModelFacts

_SYSTEM = ("system", "developer")


def encode_conversation(messages: list[Message], facts: ModelFacts) -> JsonObject:
    """The `system` and `messages` members of a request.

    System messages before the conversation become `system`. A later one stays where it was said: as a system turn
    where the model knows them and the place allows it, else as marked text of the user's turn.
    """
    start = 0
    while start < len(messages) and messages[start].role in _SYSTEM and not _stays(messages[start]):
        start += 1
    system = [block for message in messages[:start] for block in encode_content(message.parts)]
    turns = _Turns()
    for position in range(start, len(messages)):
        message = messages[position]
        if message.role not in _SYSTEM:
            role = "assistant" if message.role == "assistant" else "user"
            turns.add(role, encode_content(message.parts), own(message.native))
        elif _stays(message) or (facts.system_turns and turns.role == "user" and _ends_input(messages, position)):
            turns.add("system", encode_content(message.parts), own(message.native))
        else:
            turns.add("user", _as_user_text(encode_content(message.parts)))
    said = turns.finish()
    if not said:  # a system text alone is a question here, as other dialects allow it
        said, system = ([{"role": "user", "content": plain(system)}], []) if system else ([], system)
    if not said:
        raise InvalidRequest("messages: at least one message with content is required.", param="messages")
    return {"messages": said, **({"system": plain(system)} if system else {})}


def _stays(message: Message) -> bool:
    """Said by an Anthropic client inside the conversation."""
    if message.native is not None and message.native.dialect == DIALECT:
        return True
    return any(isinstance(part, OpaquePart) for part in message.parts)


def _ends_input(messages: list[Message], position: int) -> bool:
    """A system turn may stand only between what the user said and the reply to it."""
    later = (message.role for message in messages[position + 1 :] if message.role not in _SYSTEM)
    return next(later, "assistant") == "assistant"


def _as_user_text(blocks: list[JsonObject]) -> list[JsonObject]:
    return [
        {**block, "text": f"<system>\n{block['text']}\n</system>"} if block.get("type") == "text" else block
        for block in blocks
    ]


class _Turns:
    """Collects blocks into turns; a second turn of the same role continues the first."""

    def __init__(self) -> None:
        self._turns: list[JsonObject] = []

    @property
    def role(self) -> str | None:
        return self._turns[-1]["role"] if self._turns else None

    def add(self, role: str, blocks: list[JsonObject], members: JsonObject | None = None) -> None:
        members = members or {}
        if not blocks and not members:
            return
        if role == self.role and not members:
            self._turns[-1]["content"] += blocks
        else:
            self._turns.append({"role": role, "content": blocks, **members})

    def finish(self) -> list[JsonObject]:
        for turn in self._turns:
            blocks = turn["content"]
            if turn["role"] == "user" and any(block.get("type") == "tool_result" for block in blocks):
                blocks.sort(key=_results_first)
        self._trim_last()
        for turn in self._turns:
            turn["content"] = plain(turn["content"])
        return self._turns

    def _trim_last(self) -> None:
        if self.role == "assistant":
            last = self._turns[-1]["content"][-1]
            if last.get("type") == "text":
                last["text"] = last["text"].rstrip()


def _results_first(block: JsonObject) -> bool:
    return block.get("type") != "tool_result"
