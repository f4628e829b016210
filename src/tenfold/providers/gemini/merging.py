"""`batchEmbedContents` of several callers, joined into one and its reply split again."""

from collections.abc import Sequence

from msgspec import Raw, Struct, json
from msgspec.json import Decoder

from tenfold.core.usage_wire import gemini_usage
from tenfold.providers.gemini.errors import malformed_reply
from tenfold.providers.gemini.paths import model_path
from tenfold.providers.gemini.schema import UNREADABLE
from tenfold.providers.merging import Texts, shares
from tenfold.providers.ports import WireRequest

_MEMBERS = Decoder(dict[str, Raw])
_LIST = Decoder(list[Raw])


class _Part(Struct):
    text: str = ""


class _Content(Struct):
    parts: list[_Part]


class _Request(Struct):
    content: _Content


_REQUEST = Decoder(_Request)
_HEAD, _TAIL = "/v1beta/", ":batchEmbedContents"


class GeminiMerge:
    """See `Merge`. Each text has its options beside it, so those may differ."""

    def name_of(self, upstream_model: str) -> str:
        return model_path(upstream_model)

    def take(self, request: WireRequest) -> Texts | None:
        if not (request.path.startswith(_HEAD) and request.path.endswith(_TAIL)):
            return None
        try:
            members = _MEMBERS.decode(request.body)
            inputs = _LIST.decode(members.pop("requests"))
            weight = sum(_length(_REQUEST.decode(one)) for one in inputs)
        except (*UNREADABLE, KeyError):
            return None
        if not inputs:
            return None
        return Texts(
            model=request.path[len(_HEAD) : -len(_TAIL)],
            alike=tuple(sorted((name, bytes(value)) for name, value in members.items())),
            user=None,
            inputs=tuple(inputs),
            weight=weight,
        )

    def join(self, parts: Sequence[Texts]) -> WireRequest:
        first = parts[0]
        assert isinstance(first.alike, tuple)
        body: dict[str, object] = {"requests": [one for part in parts for one in part.inputs]}
        body |= {name: Raw(value) for name, value in first.alike}
        return WireRequest(path=f"{_HEAD}{first.model}{_TAIL}", body=json.encode(body))

    def split(self, body: bytes, parts: Sequence[Texts]) -> list[bytes]:
        try:
            members = _MEMBERS.decode(body)
            vectors = _LIST.decode(members.pop("embeddings"))
        except (*UNREADABLE, KeyError) as error:
            raise malformed_reply("embeddings that cannot be read") from error
        if len(vectors) != sum(len(part.inputs) for part in parts):
            raise malformed_reply("embeddings of another number than was asked for")
        usage = gemini_usage(bytes(members.pop("usageMetadata", b"null")))
        tokens = None if usage is None else shares(usage.input_tokens, parts)
        replies = []
        start = 0
        for number, part in enumerate(parts):
            reply: dict[str, object] = {**members, "embeddings": vectors[start : start + len(part.inputs)]}
            start += len(part.inputs)
            if tokens is not None:
                reply["usageMetadata"] = {"promptTokenCount": tokens[number]}
            replies.append(json.encode(reply))
        return replies


def _length(request: _Request) -> int:
    return sum(len(part.text.encode()) for part in request.content.parts)
