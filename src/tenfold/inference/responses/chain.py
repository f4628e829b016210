"""What a response goes on from: the items of all before it, the oldest first. Bounded in length and in size; a chain
with a link missing is refused, since the model would be told half of a conversation.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import json

from tenfold.core.errors import InvalidRequest
from tenfold.inference.responses.types import MAX_CHAIN, MAX_INPUT_BYTES, JsonObject, Link, public_id

PARAM = "previous_response_id"

_decoder: json.Decoder[Any] = json.Decoder()
_WHOLE = frozenset({"completed", "incomplete"})


def history_of(
    links: Sequence[Link], asked: str, *, most: int = MAX_CHAIN, most_bytes: int = MAX_INPUT_BYTES
) -> list[JsonObject]:
    """`links` as `ResponseRows.chain` gives them for the same bounds; `asked` is the id the client named. Raises
    InvalidRequest."""
    _check(links, asked, most, most_bytes)
    items: list[JsonObject] = []
    for link in reversed(links):
        assert link.input is not None
        assert link.response is not None
        items += _decoder.decode(link.input)
        items += _decoder.decode(link.response)["output"]
    return items


def _check(links: Sequence[Link], asked: str, most: int, most_bytes: int) -> None:
    if not links:
        raise not_found(asked)
    if len({link.id for link in links}) < len(links):
        raise InvalidRequest(
            f"The response '{asked}' goes on from itself. Begin anew: send the items in `input`.", param=PARAM
        )
    last = links[-1]
    if last.input is None or last.response is None:
        raise InvalidRequest(
            f"What the response '{asked}' goes on from is larger than {most_bytes} bytes. Begin anew: send a summary"
            " of it in `input`.",
            param=PARAM,
        )
    if last.previous_id is not None and len(links) >= most:
        raise InvalidRequest(
            f"The response '{asked}' goes on from more than {most} others. Begin anew: send a summary of them in"
            " `input`.",
            param=PARAM,
        )
    if last.previous_id is not None:
        raise InvalidRequest(
            f"The response '{asked}' goes on from '{public_id(last.previous_id)}', which was deleted or has expired."
            " Begin anew: send the items in `input`.",
            param=PARAM,
        )
    for link in links:
        if link.status not in _WHOLE:
            raise InvalidRequest(
                f"The response '{public_id(link.id)}' cannot be gone on from: it is {link.status}."
                " Wait until it is completed, or go on from another.",
                param=PARAM,
            )


def not_found(asked: str) -> InvalidRequest:
    """As OpenAI has it: 400, since it is the request that names it."""
    return InvalidRequest(f"Previous response with id '{asked[:80]}' not found.", param=PARAM)
