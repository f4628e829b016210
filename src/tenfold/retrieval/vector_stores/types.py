"""The values of vector stores. Values only.

A store is a knowledge base: `VectorStore.kb` is that one's name, and the document of a file is named by the file's
public id ("file-...").
"""

from datetime import datetime
from typing import Literal, TypeVar
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType, field

from tenfold.core.ids import TenantId, id_named
from tenfold.core.principal import Principal
from tenfold.inference.files.types import file_name
from tenfold.retrieval.extract.types import FileFault
from tenfold.retrieval.types import Chunking, Filter, Scalar

KIND = "vector_store_file"
KIND_DEAD = "vector_store_file.dead"

MAX_PAGE = 100
MAX_BATCH_FILES = 2_000
MAX_CREATE_FILES = 500  # with which a store is made
MAX_FOUND = 50
MAX_TITLE = 256
MAX_DESCRIPTION = 512
MAX_EXPIRES_DAYS = 365

_Read = TypeVar("_Read")

StoreStatus = Literal["expired", "in_progress", "completed"]
FileStatus = Literal["in_progress", "completed", "failed", "cancelled"]
FILE_STATUSES: tuple[FileStatus, ...] = ("in_progress", "completed", "failed", "cancelled")
FileErrorCode = Literal["server_error"] | FileFault
Attributes = dict[str, Scalar]


class StoreLimits(Struct, frozen=True, kw_only=True):
    """Of a tenant. What is in use already counts."""

    max_stores: int = 1_000
    max_files: int = 10_000  # of a store
    max_bytes: int = 1024 * 1024 * 1024  # text of all stores together
    max_file_bytes: int = 64 * 1024 * 1024  # of a file that is to be read


class FileCounts(Struct, frozen=True, kw_only=True):
    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        return self.in_progress + self.completed + self.failed + self.cancelled


class NewStore(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    id: UUID
    title: str = ""
    description: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    expires_days: int | None = None


class StoreChanges(Struct, frozen=True, kw_only=True):
    """What is UNSET stays."""

    title: str | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType = UNSET
    expires_days: int | UnsetType | None = UNSET


class VectorStore(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    id: UUID
    title: str  # OpenAI's `name`; need not be unique
    description: str | None
    metadata: dict[str, str]
    expires_days: int | None  # after it was active last
    expires_at: datetime | None
    expired: bool
    created_at: datetime
    last_active_at: datetime
    counts: FileCounts
    usage_bytes: int  # of the text of its files
    idle: bool = False  # it was not used for a minute

    @property
    def public_id(self) -> str:
        return store_name(self.id)

    @property
    def kb(self) -> str:
        return store_name(self.id)

    @property
    def status(self) -> StoreStatus:
        if self.expired:
            return "expired"
        return "in_progress" if self.counts.in_progress else "completed"


class FileError(Struct, frozen=True, kw_only=True):
    code: FileErrorCode
    message: str


class StoreFile(Struct, frozen=True, kw_only=True):
    """A file of a store. `pages`: the characters of its text at which each page begins."""

    tenant_id: TenantId
    store_id: UUID
    file_id: UUID
    job_id: UUID
    filename: str
    attributes: Attributes
    chunking: Chunking | None  # None: by its structure
    status: FileStatus
    error: FileError | None
    usage_bytes: int
    pages: tuple[int, ...]
    created_at: datetime

    @property
    def public_id(self) -> str:
        return file_name(self.file_id)


class NewFile(Struct, frozen=True, kw_only=True):
    """A file that is to be in a store."""

    file_id: UUID
    filename: str = ""
    attributes: Attributes = field(default_factory=dict)
    chunking: Chunking | None = None


class Adding(Struct, frozen=True, kw_only=True):
    """Files that come into a store together, by one job; with a `batch_id`, as that batch."""

    principal: Principal
    store_id: UUID
    job_id: UUID
    files: tuple[NewFile, ...]
    batch_id: UUID | None = None


class ToRead(Struct, frozen=True, kw_only=True):
    """The input of the job: `job_id` is that of the first job for these files, which the rows name."""

    store_id: UUID
    job_id: UUID
    file_ids: tuple[UUID, ...]
    done: int = 0  # files that earlier jobs were through with


class FileBatch(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    id: UUID
    store_id: UUID
    created_at: datetime
    cancelled: bool
    counts: FileCounts

    @property
    def public_id(self) -> str:
        return batch_name(self.id)

    @property
    def status(self) -> FileStatus:
        if self.counts.in_progress:
            return "in_progress"
        if self.cancelled:
            return "cancelled"
        return "failed" if self.counts.failed and self.counts.failed == self.counts.total else "completed"


class StorePage(Struct, frozen=True, kw_only=True):
    items: list[VectorStore]
    has_more: bool


class StoreFilePage(Struct, frozen=True, kw_only=True):
    items: list[StoreFile]
    has_more: bool


class Place(Struct, frozen=True, kw_only=True):
    """A page of a list: after this one, or before that one, in this order. With `before` alone it is the page that ends
    there."""

    after: UUID | None = None
    before: UUID | None = None
    ascending: bool = False
    limit: int = 20

    @property
    def ends_there(self) -> bool:
        return self.before is not None and self.after is None

    @property
    def above(self) -> UUID | None:
        """Only what is younger."""
        return self.after if self.ascending else self.before

    @property
    def below(self) -> UUID | None:
        """Only what is older."""
        return self.before if self.ascending else self.after

    @property
    def upwards(self) -> bool:
        """Whether it is to be read from the oldest on."""
        return self.ascending != self.ends_there

    def told(self, read: list[_Read]) -> list[_Read]:
        """What was read so, in the order of the page."""
        return read[::-1] if self.ends_there else read


class Question(Struct, frozen=True, kw_only=True):
    """What is searched for in stores. `threshold`: only passages of at least this score, 0 to 1."""

    queries: tuple[str, ...]
    filters: Filter | None = None
    limit: int = 10
    threshold: float = 0.0
    max_tokens: int | None = None


class Found(Struct, frozen=True, kw_only=True):
    """A passage of a file. `score` is 0 to 1 and can be compared between searches: the relevance of the search's best
    passage, scaled by how far this one is behind it. `span`: characters of the file's text."""

    store_id: UUID
    file: StoreFile
    text: str
    heading: str
    span: tuple[int, int]
    score: float
    relevance: float
    document: str  # "<kb>/<document id>@<hash>", as in core.call.Grounds


class FileText(Struct, frozen=True, kw_only=True):
    """What was read from a file, in whole: spans of passages are of it. Blanks between chunks are newlines."""

    file: StoreFile
    title: str
    text: str
    hash: str  # of the version, as in Passage.document_hash

    def page_at(self, at: int) -> int | None:
        """The page (from 1) that has this character; None where the file has no pages."""
        return sum(1 for start in self.file.pages if start <= at) or None


def store_name(store_id: UUID) -> str:
    """The id as it is seen outside."""
    return f"vs_{store_id.hex}"


def store_id_of(name: str) -> UUID | None:
    """None: no store has such an id."""
    return id_named("vs_", name)


def batch_name(batch_id: UUID) -> str:
    return f"vsfb_{batch_id.hex}"


def batch_id_of(name: str) -> UUID | None:
    return id_named("vsfb_", name)
