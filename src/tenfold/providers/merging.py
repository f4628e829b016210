"""Several requests for embeddings as one, its reply as several, what each of them pays: the seam a dialect fills."""

from collections.abc import Hashable, Sequence
from typing import Protocol

from msgspec import Raw, Struct

from tenfold.providers.ports import WireRequest


class Texts(Struct, frozen=True, kw_only=True):
    """What one request wants embedded. Requests of one `model` that are `alike` differ in their inputs alone."""

    model: str  # as `Merge.name_of` tells it
    alike: Hashable
    user: Raw | None  # the end user, where the dialect tells one; the joined request names it if all name the same
    inputs: tuple[Raw, ...]  # JSON
    weight: int  # about how much of the joined request it is; bytes, or token ids

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(len(bytes(one)) for one in self.inputs)


class Merge(Protocol):
    """How one dialect joins and splits. Pure."""

    def name_of(self, upstream_model: str) -> str:
        """What `Texts.model` says of requests for this model."""
        ...

    def take(self, request: WireRequest) -> Texts | None:
        """None: it asks for something else, or in a way that nothing is known about."""
        ...

    def join(self, parts: Sequence[Texts]) -> WireRequest:
        """`parts`, which are alike, in their order."""
        ...

    def split(self, body: bytes, parts: Sequence[Texts]) -> list[bytes]:
        """A reply for each of them: its own vectors, byte for byte, and its share of the usage (`shares`). Raises
        UpstreamError for a reply that is none, or not of so many inputs."""
        ...


def shares(total: int, parts: Sequence[Texts]) -> list[int]:
    """`total` tokens, split so that the sum is exact: one for each input where there are that many, and the rest by
    weight. Nobody's share is 0 where there is a token for each."""
    each = [len(part.inputs) for part in parts]
    if total < sum(each):
        each = [int(total >= len(parts))] * len(parts)
    rest, weight = total - sum(each), sum(part.weight for part in parts)
    given = so_far = 0
    for number, part in enumerate(parts):
        so_far += part.weight
        upto = rest * so_far // weight if weight else rest * (number + 1) // len(parts)
        each[number] += upto - given
        given = upto
    return each
