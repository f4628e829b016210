"""Counting the tokens of a request: by the upstream where its dialect can, else by an estimate."""

from msgspec import json

from tenfold.core.chat import ChatRequest, Message, TextPart, ThinkingPart, ToolCallPart, ToolResultPart
from tenfold.inference.call import Question, failure
from tenfold.inference.route import Route
from tenfold.providers.ports import WireRequest

# English text in the vocabularies of 2023-2026 runs at 3.5 to 4.5 bytes a token; each message adds its role marks.
_BYTES_PER_TOKEN = 4
_PER_MESSAGE = 4
_PER_IMAGE = 800


async def count_tokens(question: Question, route: Route) -> int:
    """Input tokens of the request, for the first target of its route."""
    target = route.targets[0]
    call = question.call
    target.mark(call)
    wire = target.provider.wire
    request: WireRequest | None = wire.encode_count_tokens(question.canonical(), target.upstream_model)
    if request is None:
        call.estimated = True
        return estimate_input_tokens(question.canonical())
    exchange = await target.provider.send(request, [])
    try:
        if exchange.status >= 300:
            raise await failure(target, exchange)
        return wire.decode_count_tokens(await exchange.read())
    finally:
        exchange.abort()


def estimate_input_tokens(request: ChatRequest) -> int:
    """Tokens of the messages and tools, within about 25 % for English text."""
    tools = len(json.encode(request.tools)) if request.tools else 0
    return -(-tools // _BYTES_PER_TOKEN) + sum(_message_tokens(message) for message in request.messages)


def _message_tokens(message: Message) -> int:
    size = images = 0
    for part in message.parts:
        if isinstance(part, TextPart | ThinkingPart):
            size += len(part.text.encode())
        elif isinstance(part, ToolCallPart):
            size += len(part.name) + len(part.arguments.encode())
        elif isinstance(part, ToolResultPart):
            size += len(json.encode(part.content))
        else:
            images += 1
    return _PER_MESSAGE + -(-size // _BYTES_PER_TOKEN) + images * _PER_IMAGE
