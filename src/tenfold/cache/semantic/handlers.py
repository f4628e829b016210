"""What a tenant sees of the semantic cache and may do to it: its scopes, to reset one, to evict by document."""

from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

from tenfold.cache.grounds import MAX_CHARS, Document, named_by_caller
from tenfold.cache.semantic.ports import SemanticRows
from tenfold.cache.semantic.rows import SCOPE, KeptScope
from tenfold.core.errors import InvalidRequest, NotFound
from tenfold.core.ids import TenantId, id_named

DEFAULT_PAGE = 20
MAX_PAGE = 100
MAX_DOCUMENTS = 100  # evicted at a time


class ScopePage(Struct, frozen=True, kw_only=True):
    items: list[KeptScope]
    cursor: str | None


class CacheAdmin:
    """Every method raises StoreUnavailable."""

    def __init__(self, rows: SemanticRows) -> None:
        self._rows = rows

    async def list(self, tenant_id: TenantId, *, cursor: str | None = None, limit: int = DEFAULT_PAGE) -> ScopePage:
        """The newest first. Raises InvalidRequest."""
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidRequest(f"A page has 1 to {MAX_PAGE} items.", param="limit")
        before = id_named(SCOPE, cursor) if cursor else None
        if cursor and before is None:
            raise InvalidRequest("This is not a cursor.", param="cursor")
        found = await self._rows.page(tenant_id, before=before, limit=limit + 1)
        return ScopePage(items=found[:limit], cursor=found[limit - 1].name if len(found) > limit else None)

    async def show(self, tenant_id: TenantId, name: str) -> KeptScope:
        """Raises NotFound."""
        scope_id = id_named(SCOPE, name)
        found = None if scope_id is None else await self._rows.show(tenant_id, scope_id)
        if found is None:
            raise _missing()
        return found

    async def reset(self, tenant_id: TenantId, name: str) -> UUID:
        """All it holds goes, and all that was learnt in it. Raises NotFound."""
        scope_id = id_named(SCOPE, name)
        if scope_id is None or not await self._rows.reset(tenant_id, scope_id):
            raise _missing()
        return scope_id

    async def evict(self, tenant_id: TenantId, documents: Sequence[str]) -> int:
        """Documents of the caller's own, as `name` or `name@version`: what rests on them goes, and from the memory of
        every process within a second. How many entries of the semantic cache went. Raises InvalidRequest."""
        if not 1 <= len(documents) <= MAX_DOCUMENTS:
            raise InvalidRequest(f"Name 1 to {MAX_DOCUMENTS} documents.", param="documents")
        return await self._rows.evict(tenant_id, [_document(number, text) for number, text in enumerate(documents)])


def _document(number: int, text: str) -> Document:
    document = named_by_caller(text)
    if not document.name or not text.isprintable() or max(len(document.name), len(document.version)) > MAX_CHARS:
        raise InvalidRequest(
            f"A document is a name, or name@version, of at most {MAX_CHARS} printable characters.",
            param=f"documents[{number}]",
        )
    return document


def _missing() -> NotFound:
    return NotFound("There is no such scope; GET /api/v1/cache/scopes lists them.")
