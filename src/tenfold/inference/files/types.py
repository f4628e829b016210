"""The values of files. Values only."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from tenfold.core.ids import TenantId, id_named

CHUNK_BYTES = 256 * 1024
MAX_FILE_BYTES = 512 * 1024 * 1024
MAX_TENANT_BYTES = 4 * 1024 * 1024 * 1024  # of all files of a tenant
MAX_BATCH_BYTES = 200 * 1024 * 1024  # of the input of a batch
MAX_PAGE = 10_000

Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
PURPOSES: tuple[Purpose, ...] = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
BATCH: Purpose = "batch"
BATCH_OUTPUT = "batch_output"

BATCH_KEEP_S = 30 * 86_400  # of a batch's input and output, where nobody says
LEAST_KEEP_S, MOST_KEEP_S = 3_600, 30 * 86_400


class File(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    id: UUID
    filename: str
    purpose: str  # one of PURPOSES, or BATCH_OUTPUT
    bytes: int
    created_at: datetime
    expires_at: datetime | None  # None: it stays until it is deleted

    @property
    def public_id(self) -> str:
        return file_name(self.id)


class FilePage(Struct, frozen=True, kw_only=True):
    items: list[File]
    has_more: bool


Removal = Literal["gone", "in_use", "none"]
"""`in_use`: a batch that has not ended reads it. `none`: there is no such file."""


def file_name(file_id: UUID) -> str:
    """The id as it is seen outside."""
    return f"file-{file_id.hex}"


def file_id(name: str) -> UUID | None:
    """None: no file has such an id."""
    return id_named("file-", name)
