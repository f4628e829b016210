"""Documents in memory, for tests and demonstrations of the console: a file is read when `read` is called."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

from tenfold.console.knowledge_services import KnowledgeCounts, KnowledgeFile, KnowledgeList, KnowledgeText
from tenfold.core.errors import Conflict, InvalidRequest, NotFound, StoreUnavailable, TooLarge
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import Principal


class FakeKnowledge:
    """`kept` are the bytes of the files that are there, by their ids; `away` makes `counts` raise StoreUnavailable."""

    def __init__(self, max_upload_bytes: int = 1024 * 1024) -> None:
        self.away = False
        self._max_upload_bytes = max_upload_bytes
        self._files: dict[tuple[TenantId, str], KnowledgeFile] = {}
        self._texts: dict[str, KnowledgeText] = {}
        self.kept: dict[str, bytes] = {}

    @property
    def max_upload_bytes(self) -> int:
        return self._max_upload_bytes

    async def files(self, tenant_id: TenantId, *, cursor: str | None = None, limit: int = 20) -> KnowledgeList:
        newest_first = [file for (owner, _), file in reversed(self._files.items()) if owner == tenant_id]
        ids = [file.id for file in newest_first]
        if cursor is not None and cursor not in ids:
            raise InvalidRequest("This is not a cursor.", param="cursor")
        start = 0 if cursor is None else ids.index(cursor) + 1
        items = newest_first[start : start + limit]
        more = len(newest_first) > start + limit
        counts = await self.counts(tenant_id)
        return KnowledgeList(items=items, cursor=items[-1].id if more else None, counts=counts)

    async def counts(self, tenant_id: TenantId) -> KnowledgeCounts:
        if self.away:
            raise StoreUnavailable("The database is away.", retry_after_s=1)
        states = [file.state for (owner, _), file in self._files.items() if owner == tenant_id]
        return KnowledgeCounts(
            in_progress=states.count("in_progress"),
            completed=states.count("completed"),
            failed=states.count("failed"),
        )

    async def add(self, principal: Principal, name: str, pieces: AsyncIterator[bytes]) -> None:
        data = b"".join([piece async for piece in pieces])
        if not data:
            raise InvalidRequest("The file is empty.", param="file")
        if len(data) > self._max_upload_bytes:
            raise TooLarge(f"A file has at most {self._max_upload_bytes} bytes.")
        file_id = f"file-{uuid7().hex}"
        self.kept[file_id] = data
        self._files[principal.tenant_id, file_id] = KnowledgeFile(
            id=file_id, name=name, state="in_progress", bytes=0, added_at=datetime.now(UTC)
        )

    def read(self, *, pages: tuple[int, ...] = (), title: str = "") -> None:
        """What is in progress is completed; where it is not text, it fails."""
        for (owner, file_id), file in self._files.items():
            if file.state != "in_progress":
                continue
            try:
                text = self.kept[file_id].decode()
            except UnicodeDecodeError:
                told = replace(file, state="failed", error="This is not text. Save it as UTF-8 and upload it again.")
            else:
                told = replace(file, state="completed", bytes=len(text))
                self._texts[file_id] = KnowledgeText(file=told, title=title, text=text, pages=pages)
            self._files[owner, file_id] = told

    async def text(self, tenant_id: TenantId, file_id: str) -> KnowledgeText:
        file = self._files.get((tenant_id, file_id))
        if file is None:
            raise NotFound("There is no such document.")
        if file_id not in self._texts:
            raise Conflict("This document has not been read.")
        return self._texts[file_id]

    async def remove(self, principal: Principal, file_id: str) -> None:
        if self._files.pop((principal.tenant_id, file_id), None) is None:
            raise NotFound("There is no such document.")
        self._texts.pop(file_id, None)
        del self.kept[file_id]
