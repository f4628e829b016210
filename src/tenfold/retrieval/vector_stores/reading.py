"""The job that reads files into a store: their bytes become text, the text chunks and vectors; and what follows where
that job was given up.

However often and wherever it is begun anew, it goes on from what the rows say: they name the job whose turn a file is.
"""

import asyncio
import logging
from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct, json, structs

from tenfold.core.errors import Conflict, InvalidRequest, NotFound, Overloaded, TenfoldError
from tenfold.core.ids import TenantId
from tenfold.inference.files.handlers import Files
from tenfold.inference.files.types import file_name
from tenfold.jobs.ports import JobContext, Jobs
from tenfold.jobs.types import Result
from tenfold.retrieval.chunker import leading_title
from tenfold.retrieval.extract.types import Extracted, UnreadableFile
from tenfold.retrieval.types import SourceDocument
from tenfold.retrieval.vector_stores.file_handlers import job_of, patiently
from tenfold.retrieval.vector_stores.ports import Reader, Shelf, VectorStoreRows
from tenfold.retrieval.vector_stores.types import (
    KIND,
    KIND_DEAD,
    FileError,
    StoreFile,
    StoreLimits,
    ToRead,
    store_name,
)

logger = logging.getLogger(__name__)

POISON = "poison"  # the code of a job that several workers died with
FILES_AT_ONCE = 25  # of one job; then another goes on, behind those that wait for the same store
LARGE_BYTES = 8 * 1024 * 1024  # of these a process has one in memory
_TOGETHER = 8  # files that are cut, indexed and embedded together,
_CHARS_TOGETHER = 500_000  # or fewer where they are long
_PATIENCE_S = 90.0  # the lease of a writer that died is over by then


class _Read(Struct, frozen=True, kw_only=True):
    file: StoreFile
    extracted: Extracted

    @property
    def document(self) -> SourceDocument:
        text = self.extracted.text
        return SourceDocument(
            id=self.file.public_id,
            text=text,
            title=self.extracted.title or leading_title(text) or self.file.filename,
            metadata=dict(self.file.attributes),
            chunking=self.file.chunking,
        )


class ReadFiles:
    """Implements `jobs.ports.Handler`. The input of the job is a `types.ToRead`."""

    kind = KIND
    after_death: str | None = KIND_DEAD

    def __init__(
        self,
        rows: VectorStoreRows,
        files: Files,
        shelf: Shelf,
        reader: Reader,
        *,
        limits: StoreLimits | None = None,
        at_once: int = FILES_AT_ONCE,
    ) -> None:
        self._rows = rows
        self._files = files
        self._shelf = shelf
        self._reader = reader
        self._limits = limits or StoreLimits()
        self._at_once = at_once
        self._large = asyncio.Semaphore(1)

    async def run(self, job: JobContext) -> Result:
        """Raises StoreUnavailable, Overloaded (another writer is at the store), UpstreamError (the embedder)."""
        work, principal = json.decode(job.work.input, type=ToRead), job.work.principal
        tenant_id = principal.tenant_id
        now, later = work.file_ids[: self._at_once], work.file_ids[self._at_once :]
        total = work.done + len(work.file_ids)
        texts: list[_Read] = []
        for number, file_id in enumerate(now, work.done):
            await job.progress("reading", number, total)
            read = await self._read(tenant_id, work, file_id)
            if read is not None:
                texts.append(read)
            if len(texts) == _TOGETHER or sum(len(each.extracted.text) for each in texts) > _CHARS_TOGETHER:
                await self._shelve(work, texts)
                texts = []
        await self._shelve(work, texts)
        await job.progress("reading", work.done + len(now), total)
        if not later:
            return Result(output=json.encode({"files": total}))
        rest = structs.replace(work, file_ids=later, done=work.done + len(now))
        return Result(then=(job_of(principal, rest),))

    async def _read(self, tenant_id: TenantId, work: ToRead, file_id: UUID) -> _Read | None:
        """None: nothing of it is to come into the store."""
        file = await self._rows.begin(tenant_id, work.store_id, file_id, work.job_id)
        if file is None:
            await self._undo(tenant_id, work, file_id)
            return None
        try:
            return _Read(file=file, extracted=await self._extracted(tenant_id, file))
        except TenfoldError as failure:
            await self._fail(work, file, failure)
            return None

    async def _shelve(self, work: ToRead, texts: Sequence[_Read]) -> None:
        """Several files together: the transactions and the embedder cost as much for one."""
        if not texts:
            return
        try:
            await self._ingest(work.store_id, texts)
        except TenfoldError as failure:
            if failure.retryable:
                raise
            if len(texts) == 1:
                await self._fail(work, texts[0].file, failure)
                return
            for one in texts:  # one of them is at fault: not all are to suffer for it
                await self._shelve(work, [one])
            return
        for one in texts:
            size = len(one.extracted.text.encode("utf-8", "replace"))
            await self._end(work, one.file, usage_bytes=size, pages=one.extracted.pages)

    async def _fail(self, work: ToRead, file: StoreFile, failure: TenfoldError) -> None:
        """Raises the failure where it may pass."""
        if isinstance(failure, UnreadableFile):
            error = FileError(code=failure.fault, message=failure.message)
        elif isinstance(failure, InvalidRequest):
            error = FileError(code="invalid_file", message=failure.message)
        elif failure.retryable:
            raise failure
        else:
            error = FileError(code="server_error", message=failure.message)
        # Of an earlier version nothing is found any more, either.
        await self._forget(file.tenant_id, work.store_id, file.file_id)
        logger.info("a file could not be read", extra={"file": file.public_id, "code": error.code})
        await self._end(work, file, error=error)

    async def _end(
        self,
        work: ToRead,
        file: StoreFile,
        *,
        error: FileError | None = None,
        usage_bytes: int = 0,
        pages: Sequence[int] = (),
    ) -> None:
        at = file.tenant_id, work.store_id, file.file_id
        if not await self._rows.end(*at, work.job_id, error=error, usage_bytes=usage_bytes, pages=pages):
            await self._undo(file.tenant_id, work, file.file_id)

    async def _extracted(self, tenant_id: TenantId, file: StoreFile) -> Extracted:
        """Raises UnreadableFile, StoreUnavailable."""
        try:
            kept = await self._files.find(tenant_id, file.public_id)
        except NotFound:
            raise _gone(file) from None
        if kept.bytes > self._limits.max_file_bytes:
            raise UnreadableFile(
                f"{file.filename} has {kept.bytes} bytes, and {self._limits.max_file_bytes} is the most that is read of"
                " one file. Split it.",
                "invalid_file",
            )
        if kept.bytes > LARGE_BYTES:
            async with self._large:
                extracted = await self._text(file, kept.bytes)
        else:
            extracted = await self._text(file, kept.bytes)
        if not extracted.text.strip():
            raise UnreadableFile(
                f"There is no text in {file.filename}. Pages that are pictures need text recognition (OCR) first.",
                "invalid_file",
            )
        return extracted

    async def _text(self, file: StoreFile, size: int) -> Extracted:
        data = bytearray()
        try:
            async for piece in self._files.content(file.tenant_id, file.file_id, size):
                data += piece
        except Conflict:
            raise _gone(file) from None
        return await self._reader.extract(bytes(data), filename=file.filename)

    async def _ingest(self, store_id: UUID, texts: Sequence[_Read]) -> None:
        tenant_id, kb = texts[0].file.tenant_id, store_name(store_id)
        documents = [one.document for one in texts]
        try:
            await patiently(lambda: self._shelf.ingest(tenant_id, kb, documents), patience_s=_PATIENCE_S)
            await patiently(lambda: self._shelf.embed(tenant_id, kb), patience_s=_PATIENCE_S)
        except Conflict as busy:
            raise Overloaded(busy.message) from None

    async def _undo(self, tenant_id: TenantId, work: ToRead, file_id: UUID) -> None:
        """It is not this job's turn, or not any more. Of a file that was taken out meanwhile nothing stays; to a
        store that is gone, tidying up sees."""
        if await self._rows.find(tenant_id, work.store_id) is None:
            return
        file = await self._rows.find_file(tenant_id, work.store_id, file_id)
        if file is not None and file.status in ("in_progress", "completed"):
            return  # another job's, or read before this one was begun anew
        await self._forget(tenant_id, work.store_id, file_id)

    async def _forget(self, tenant_id: TenantId, store_id: UUID, file_id: UUID) -> None:
        kb, document_id = store_name(store_id), file_name(file_id)
        if await self._shelf.document(tenant_id, kb, document_id) is None:
            return
        try:
            await patiently(lambda: self._shelf.delete(tenant_id, kb, [document_id]), patience_s=_PATIENCE_S)
        except Conflict as busy:
            raise Overloaded(busy.message) from None


class BuryFiles:
    """Implements `jobs.ports.Handler`: of a job that was given up the files that it had still to read have failed. But
    where workers died with it, only those it was at; another job reads the others."""

    kind = KIND_DEAD
    after_death: str | None = None

    def __init__(self, rows: VectorStoreRows, jobs: Jobs) -> None:
        self._rows = rows
        self._jobs = jobs

    async def run(self, job: JobContext) -> Result:
        """The input of the job is the id of the one that was given up. Raises StoreUnavailable."""
        tenant_id, dead_id = job.work.job.tenant_id, UUID(job.work.input.decode())
        asked = await self._jobs.input(tenant_id, dead_id)
        if asked is None:
            return Result()  # discarded, or redriven: files that nobody reads any more are found by tidying up
        work = json.decode(asked, type=ToRead)
        dead = await self._jobs.get(tenant_id, dead_id)
        if dead.error_code == POISON:
            error = FileError(
                code="server_error", message="Reading it broke off again and again. Try it in another format."
            )
            if await self._rows.fail(tenant_id, work.store_id, work.job_id, error, begun=True):
                return Result(then=(job_of(job.work.principal, work),))
        told = dead.error_message or "It could not be read just now. Add the file again."
        error = FileError(code="server_error", message=told)
        await self._rows.fail(tenant_id, work.store_id, work.job_id, error, begun=False)
        return Result()


def _gone(file: StoreFile) -> UnreadableFile:
    return UnreadableFile(f"The file {file.public_id} was deleted before it was read.", "invalid_file")
