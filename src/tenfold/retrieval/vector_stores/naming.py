"""Pages of lists, and what is said of what is not there: the same for stores, files and batches. Pure."""

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from msgspec import structs

from tenfold.core.errors import InvalidRequest, NotFound
from tenfold.core.inputs import one_of
from tenfold.retrieval.vector_stores.types import MAX_PAGE, Place, VectorStore

_Item = TypeVar("_Item")


def place_of(
    known: Callable[[str], UUID | None],
    *,
    after: str | None = None,
    before: str | None = None,
    order: str = "desc",
    limit: int = 20,
) -> Place:
    """`known` tells ids by their public names. Raises InvalidRequest."""
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidRequest(f"`limit` is a number from 1 to {MAX_PAGE}.", param="limit")
    ids: dict[str, UUID | None] = {}
    for param, name in (("after", after), ("before", before)):
        ids[param] = None if name is None else known(name)
        if name is not None and ids[param] is None:
            raise InvalidRequest(f"`{param}` is an id, as a page ends or begins with.", param=param)
    ascending = one_of(order, ("asc", "desc"), "order") == "asc"
    return Place(after=ids["after"], before=ids["before"], ascending=ascending, limit=limit)


def one_more(place: Place) -> Place:
    """To tell whether there are more."""
    return structs.replace(place, limit=place.limit + 1)


def page_of(found: list[_Item], place: Place) -> tuple[list[_Item], bool]:
    """Of what was found at `one_more(place)`: the page, and whether there is more. Before something it is the first one
    that is too many."""
    more = len(found) > place.limit
    if more and place.ends_there:
        return found[1:], True
    return found[: place.limit], more


def no_store(name: str) -> NotFound:
    return NotFound(f"Vector store with id '{name[:80]}' not found.", param="vector_store_id")


def no_file(name: str, store: VectorStore) -> NotFound:
    return NotFound(f"No file found with id '{name[:80]}' in vector store '{store.public_id}'.", param="file_id")


def no_batch(name: str, store: VectorStore) -> NotFound:
    return NotFound(f"No file batch found with id '{name[:80]}' in vector store '{store.public_id}'.", param="batch_id")


def expired(store: VectorStore) -> InvalidRequest:
    return InvalidRequest(
        f"The vector store {store.public_id} has expired {store.expires_days} days after its last use, and nothing is"
        " left in it. Make a new one.",
        param="vector_store_id",
    )
