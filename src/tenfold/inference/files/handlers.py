"""The rules of files: how large they may be, how long they are kept, and who may delete them when.

Content goes through in pieces: neither writing nor reading ever holds a whole file.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from tenfold.core.errors import Conflict, InvalidRequest, NotFound, StoreUnavailable, TooLarge
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.inputs import one_of
from tenfold.inference.files.ports import FileRows
from tenfold.inference.files.types import (
    BATCH,
    BATCH_KEEP_S,
    CHUNK_BYTES,
    LEAST_KEEP_S,
    MAX_BATCH_BYTES,
    MAX_FILE_BYTES,
    MAX_PAGE,
    MAX_TENANT_BYTES,
    MOST_KEEP_S,
    PURPOSES,
    File,
    FilePage,
    file_id,
)
from tenfold.store import expire

logger = logging.getLogger(__name__)

_CHUNKS_AT_ONCE = 4  # written, and read
_MAX_NAME = 255
_EXPIRED_AT_ONCE = 20  # files of a tenant in one transaction: each may be large


class Draft:
    """A file that is being written. `write` its bytes, then `finish`; see `Files.draft`."""

    def __init__(self, rows: FileRows, tenant_id: TenantId, *, most_bytes: int, most_of_tenant: int | None) -> None:
        self.id = uuid7()
        self.bytes = 0
        self._rows = rows
        self._tenant_id = tenant_id
        self._most_bytes = most_bytes
        self._most_of_tenant = most_of_tenant
        self._held = bytearray()
        self._written = 0  # chunks

    async def write(self, data: bytes) -> None:
        """Raises TooLarge (the file is, or the tenant's files together are), StoreUnavailable."""
        self.bytes += len(data)
        if self.bytes > self._most_bytes:
            raise TooLarge(f"The file is larger than {self._most_bytes} bytes, the most a file here may have.")
        self._held += data
        while len(self._held) >= CHUNK_BYTES * _CHUNKS_AT_ONCE:
            await self._append(CHUNK_BYTES * _CHUNKS_AT_ONCE)

    async def flush(self) -> None:
        """All that was written is in the database; nothing can be written after it."""
        if self._held:
            await self._append(len(self._held))

    async def finish(self, filename: str, purpose: str, keep_s: float | None) -> File:
        """It is whole, and seen from now on. Raises Conflict (it took so long that it is gone)."""
        await self.flush()
        file = await self._rows.finish(self._tenant_id, self.id, filename, purpose, keep_s=keep_s)
        if file is None:
            raise _gone()
        return file

    async def _append(self, size: int) -> None:
        piece = bytes(self._held[:size])
        del self._held[:size]
        chunks = [piece[at : at + CHUNK_BYTES] for at in range(0, len(piece), CHUNK_BYTES)]
        if not await self._rows.append(
            self._tenant_id, self.id, self._written, chunks, most_bytes=self._most_of_tenant
        ):
            if self._most_of_tenant is None:
                raise _gone()
            raise TooLarge(
                f"With this file your files would have more than {self._most_of_tenant} bytes together, the most they"
                " may have. Delete some, or let them expire sooner (expires_after)."
            )
        self._written += len(chunks)


class Files:
    def __init__(
        self, rows: FileRows, *, max_bytes: int = MAX_FILE_BYTES, max_tenant_bytes: int = MAX_TENANT_BYTES
    ) -> None:
        self.max_bytes = max_bytes
        self._rows = rows
        self._max_tenant_bytes = max_tenant_bytes

    @asynccontextmanager
    async def draft(self, tenant_id: TenantId, *, bounded: bool = True) -> AsyncIterator[Draft]:
        """A file to be written. If the block ends with an error, nothing is left of it. Not `bounded`: results that
        were paid for are kept, however many bytes the tenant has."""
        if bounded:
            draft = Draft(self._rows, tenant_id, most_bytes=self.max_bytes, most_of_tenant=self._max_tenant_bytes)
        else:
            draft = Draft(self._rows, tenant_id, most_bytes=1 << 62, most_of_tenant=None)
        await self._rows.begin(tenant_id, draft.id, "")
        try:
            yield draft
        except BaseException:
            await asyncio.shield(self.drop(tenant_id, draft.id))
            raise

    async def drop(self, tenant_id: TenantId, draft_id: UUID) -> None:
        """Of a draft nothing is left."""
        try:
            await self._rows.remove(tenant_id, draft_id)
        except StoreUnavailable:  # it is deleted in an hour
            logger.warning("a file that was broken off is left until it expires")

    async def find(self, tenant_id: TenantId, name: str) -> File:
        """By its public id. Raises NotFound, StoreUnavailable."""
        known = file_id(name)
        file = None if known is None else await self._rows.find(tenant_id, known)
        if file is None:
            raise _no_file(name)
        return file

    async def list(
        self,
        tenant_id: TenantId,
        *,
        purpose: str | None = None,
        after: str | None = None,
        order: str = "desc",
        limit: int = MAX_PAGE,
    ) -> FilePage:
        """Raises InvalidRequest, StoreUnavailable."""
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidRequest(f"`limit` is a number from 1 to {MAX_PAGE}.", param="limit")
        ascending = one_of(order, ("asc", "desc"), "order") == "asc"
        at = None if after is None else file_id(after)
        if after is not None and at is None:
            raise InvalidRequest("`after` is the id of a file, as the page before ended with.", param="after")
        if purpose is not None and "\0" in purpose:
            raise InvalidRequest("No purpose is named so.", param="purpose")
        found = await self._rows.page(tenant_id, purpose=purpose, after=at, ascending=ascending, limit=limit + 1)
        return FilePage(items=found[:limit], has_more=len(found) > limit)

    async def content(self, tenant_id: TenantId, file_id: UUID, size: int) -> AsyncGenerator[bytes, None]:
        """In pieces, also of a file that has expired and is not deleted yet. Raises Conflict where it is deleted
        meanwhile, StoreUnavailable."""
        read = number = 0
        while read < size:
            chunks = await self._rows.chunks(tenant_id, file_id, start=number, count=_CHUNKS_AT_ONCE)
            if not chunks:
                raise _gone()
            number += len(chunks)
            for chunk in chunks:
                read += len(chunk)
                yield chunk

    async def remove(self, tenant_id: TenantId, name: str) -> None:
        """With all its content. Raises NotFound, Conflict (a batch reads it), StoreUnavailable."""
        known = file_id(name)
        removal = "none" if known is None else await self._rows.remove(tenant_id, known)
        if removal == "none":
            raise _no_file(name)
        if removal == "in_use":
            raise Conflict("A batch that has not ended reads this file. Cancel the batch first, or wait for its end.")

    async def expire(self) -> int:
        """Deletes what has expired, of all tenants; how many files. Raises StoreUnavailable."""
        return await expire(self._rows, batch=_EXPIRED_AT_ONCE)


def keep_s_of(purpose: str, anchor: str | None, seconds: str | None) -> float | None:
    """How long a file is kept, from `expires_after`; None: until it is deleted. Raises InvalidRequest."""
    if anchor is None and seconds is None:
        return BATCH_KEEP_S if purpose == BATCH else None
    if anchor != "created_at":
        raise InvalidRequest("`expires_after[anchor]` is `created_at`.", param="expires_after[anchor]")
    is_number = seconds is not None and len(seconds) <= 12 and seconds.isascii() and seconds.isdigit()
    if seconds is None or not is_number or not LEAST_KEEP_S <= int(seconds) <= MOST_KEEP_S:
        raise InvalidRequest(
            f"`expires_after[seconds]` is a whole number from {LEAST_KEEP_S} to {MOST_KEEP_S}.",
            param="expires_after[seconds]",
        )
    return int(seconds)


def check_upload(draft: Draft, filename: str, purpose: str | None) -> tuple[str, str]:
    """Name and purpose of a file that a client hands in. Raises InvalidRequest, TooLarge."""
    if purpose is None:
        raise InvalidRequest("Missing required parameter: 'purpose'.", param="purpose")
    known = one_of(purpose, PURPOSES, "purpose")
    if known == BATCH and draft.bytes > MAX_BATCH_BYTES:
        raise TooLarge(f"The input of a batch has at most {MAX_BATCH_BYTES} bytes. Split it into several batches.")
    if not draft.bytes:
        raise InvalidRequest("The file is empty.", param="file")
    plain = "".join(sign for sign in filename.replace("\\", "/").rpartition("/")[2] if sign.isprintable())
    return plain[:_MAX_NAME] or "file", known


def _no_file(name: str) -> NotFound:
    return NotFound(f"No such File object: {name[:80]}", param="id")


def _gone() -> Conflict:
    return Conflict("The file was deleted meanwhile, or its upload took so long that it expired. Upload it again.")
