"""The seams of this part: files at rest. `fake.FakeFileRows` is the in-memory twin of `queries.PostgresFileRows`, under
one contract suite.
"""

from typing import Protocol
from uuid import UUID

from tenfold.core.ids import TenantId
from tenfold.inference.files.types import File, Removal


class FileRows(Protocol):
    """Every method raises StoreUnavailable while the database is away. What is asked of another tenant's file finds
    nothing; nor does what is asked of one that is being written, but for `append`, `finish` and `remove`, or of
    one that has expired, but for `chunks`. All times are the database's."""

    async def begin(self, tenant_id: TenantId, file_id: UUID, filename: str) -> None:
        """A file that is being written: nobody sees it until it is finished. One that is left is deleted an hour after
        its last piece."""
        ...

    async def append(
        self, tenant_id: TenantId, file_id: UUID, number: int, chunks: list[bytes], *, most_bytes: int | None
    ) -> bool:
        """The chunks from this number on, each of CHUNK_BYTES but for the file's last one. False: with them the tenant
        would have more than `most_bytes` in all its files, or the file is gone; nothing is written."""
        ...

    async def finish(
        self, tenant_id: TenantId, file_id: UUID, filename: str, purpose: str, *, keep_s: float | None
    ) -> File | None:
        """It is whole. None: it is gone."""
        ...

    async def find(self, tenant_id: TenantId, file_id: UUID) -> File | None: ...

    async def page(
        self, tenant_id: TenantId, *, purpose: str | None, after: UUID | None, ascending: bool, limit: int
    ) -> list[File]:
        """By age, from after this one on."""
        ...

    async def chunks(self, tenant_id: TenantId, file_id: UUID, *, start: int, count: int) -> list[bytes]:
        """Of a whole file; fewer, or none, at its end."""
        ...

    async def remove(self, tenant_id: TenantId, file_id: UUID) -> Removal:
        """With all its content."""
        ...

    async def tenants_expired(self) -> list[TenantId]:
        """Where files have expired."""
        ...

    async def expire(self, tenant_id: TenantId, *, limit: int) -> int:
        """Deletes up to so many expired files that no batch needs; how many there were."""
        ...
