"""Requests for embeddings on OpenAI's wire, joined into one and its reply split again."""

from collections.abc import Sequence
from operator import itemgetter

from msgspec import Raw, json
from msgspec.json import Decoder

from tenfold.core.usage_wire import openai_usage
from tenfold.providers.merging import Texts, shares
from tenfold.providers.openai.errors import UNREADABLE, error_of, malformed_reply
from tenfold.providers.ports import WireRequest

_MEMBERS = Decoder(dict[str, Raw])
_LIST = Decoder(list[Raw])
_ITEMS = Decoder(list[dict[str, Raw]])
_INDEX = Decoder(int)
_NAME = Decoder(str)

_PATH = "/embeddings"


class OpenAIMerge:
    """See `Merge`. `user`, a hint about one person, goes along where all name the same, and is left out elsewhere."""

    def name_of(self, upstream_model: str) -> str:
        return upstream_model

    def take(self, request: WireRequest) -> Texts | None:
        if request.path != _PATH:
            return None
        try:
            members = _MEMBERS.decode(request.body)
            model, inputs = _NAME.decode(members.pop("model")), _LIST.decode(members.pop("input"))
        except (*UNREADABLE, KeyError):
            return None
        if not inputs:
            return None
        user = members.pop("user", None)
        are_ids = bytes(inputs[0])[:1] == b"["
        return Texts(
            model=model,
            alike=(are_ids, *sorted((name, bytes(value)) for name, value in members.items())),
            user=user,
            inputs=tuple(inputs),
            weight=sum(bytes(one).count(b",") + 1 if are_ids else len(bytes(one)) for one in inputs),
        )

    def join(self, parts: Sequence[Texts]) -> WireRequest:
        first = parts[0]
        assert isinstance(first.alike, tuple)
        _, *options = first.alike
        body: dict[str, object] = {"model": first.model, "input": [one for part in parts for one in part.inputs]}
        body |= {name: Raw(value) for name, value in options}
        if first.user is not None and all(part.user == first.user for part in parts):
            body["user"] = first.user
        return WireRequest(path=_PATH, body=json.encode(body))

    def split(self, body: bytes, parts: Sequence[Texts]) -> list[bytes]:
        try:
            members = _MEMBERS.decode(body)
            if "data" not in members and "error" in members:
                raise error_of(json.decode(body))
            items = _in_order(_ITEMS.decode(members.pop("data")))
        except (*UNREADABLE, KeyError) as error:
            raise malformed_reply("a reply that is not a list of embeddings") from error
        if len(items) != sum(len(part.inputs) for part in parts):
            raise malformed_reply("embeddings of another number than was asked for")
        usage = openai_usage(bytes(members.pop("usage", b"null")))
        read = None if usage is None else shares(usage.input_tokens, parts)
        wrote = shares(usage.output_tokens if usage is not None else 0, parts)
        replies = []
        start = 0
        for number, part in enumerate(parts):
            own = items[start : start + len(part.inputs)]
            start += len(part.inputs)
            reply: dict[str, object] = {**members, "data": [_renumbered(item, at) for at, item in enumerate(own)]}
            if read is not None:
                reply["usage"] = _usage(read[number], wrote[number])
            replies.append(json.encode(reply))
        return replies


def _in_order(items: list[dict[str, Raw]]) -> list[dict[str, Raw]]:
    """By their index; where none has one they stand in order. Raises UpstreamError where one is missing."""
    if not any("index" in item for item in items):
        return items
    numbered = sorted(((_INDEX.decode(item["index"]), item) for item in items), key=itemgetter(0))
    if [index for index, _ in numbered] != list(range(len(items))):
        raise malformed_reply("embeddings that do not tell what they are of")
    return [item for _, item in numbered]


def _renumbered(item: dict[str, Raw], index: int) -> dict[str, Raw]:
    return item | {"index": Raw(b"%d" % index)} if "index" in item else item


def _usage(read: int, wrote: int) -> dict[str, int]:
    usage = {"prompt_tokens": read, "total_tokens": read + wrote}
    return usage | {"completion_tokens": wrote} if wrote else usage
