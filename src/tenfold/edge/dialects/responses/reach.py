"""What a request lets the model read beside its text: pictures, documents. Facts for the bound."""

from collections.abc import Collection, Iterator

from tenfold.core.call import Reach
from tenfold.edge.dialects.openai.reach import HARMLESS, PICTURE, ROUNDS
from tenfold.edge.dialects.responses.schema import Body, Content, Item

_TEXTS = frozenset({"input_text", "output_text", "text", "refusal", "reasoning_text", "summary_text"})
_SAMPLING = frozenset({"frequency_penalty", "presence_penalty", "seed", "stop", "top_k"})
_MORE_HARMLESS = HARMLESS | _SAMPLING


def reach_of(body: Body, unknown: Collection[str]) -> Reach | None:
    """`unknown`: members of the body that Body has no field for. None: nothing beside its text."""
    if unknown and not _MORE_HARMLESS.issuperset(unknown):
        return Reach(windows=ROUNDS, rounds=ROUNDS)
    images = image_bytes = 0
    more = False
    for part in _media(body.input):
        url = part.image_url
        if part.type != "input_image" or url is None or not PICTURE.match(url):
            more = True
            continue
        images += 1
        if url.startswith("data:"):
            image_bytes += len(url)
    return Reach(images=images, image_bytes=image_bytes, windows=int(more)) if images or more else None


def _media(given: str | list[Item] | None) -> Iterator[Content]:
    for item in given if isinstance(given, list) else ():
        parts = item.content if isinstance(item.content, list) else item.output
        if isinstance(parts, list):
            yield from (part for part in parts if isinstance(part, Content) and part.type not in _TEXTS)
