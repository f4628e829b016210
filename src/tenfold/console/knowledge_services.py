"""What the Knowledge page stands on, as it sees it; `app.support_pages` wires the real one, `fake_knowledge` is its
in-memory twin.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal

FileState = Literal["in_progress", "completed", "failed", "cancelled"]


@dataclass(frozen=True, kw_only=True)
class KnowledgeFile:
    """A document that the assistant answers from. `bytes`: of the text that was read from it, 0 until then; `error`
    says to a person why it could not be read."""

    id: str
    name: str
    state: FileState
    bytes: int
    added_at: datetime
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class KnowledgeCounts:
    in_progress: int = 0
    completed: int = 0
    failed: int = 0


@dataclass(frozen=True, kw_only=True)
class KnowledgeList:
    """The newest first; `cursor` asks for the page after this one. `counts` are of all."""

    items: list[KnowledgeFile]
    cursor: str | None
    counts: KnowledgeCounts


@dataclass(frozen=True, kw_only=True)
class KnowledgeText:
    """What was read from a file: Markdown. Spans of citations are characters of it; `pages` are those at which each
    page begins, empty where a file has none."""

    file: KnowledgeFile
    title: str
    text: str
    pages: tuple[int, ...] = ()


class KnowledgeService(Protocol):
    """Every method raises StoreUnavailable. What is asked of another tenant's file is NotFound."""

    @property
    def max_upload_bytes(self) -> int:
        """Of all files of one form together."""
        ...

    async def files(self, tenant_id: TenantId, *, cursor: str | None = None, limit: int = 20) -> KnowledgeList:
        """Raises InvalidRequest for a cursor that is none."""
        ...

    async def counts(self, tenant_id: TenantId) -> KnowledgeCounts: ...

    async def add(self, principal: Principal, name: str, pieces: AsyncIterator[bytes]) -> None:
        """Takes a file, which is read in the background. Raises InvalidRequest, TooLarge, RateLimited."""
        ...

    async def text(self, tenant_id: TenantId, file_id: str) -> KnowledgeText:
        """Raises NotFound; Conflict while it is being read, or where it could not be."""
        ...

    async def remove(self, principal: Principal, file_id: str) -> None:
        """With all that came of it; nothing is answered from it any more. Raises NotFound."""
        ...
