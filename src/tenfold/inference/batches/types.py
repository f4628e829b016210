"""The values of batches. Values only."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from tenfold.core.call import DEFAULT_OPTIONS, CallOptions, Operation
from tenfold.core.ids import TenantId, id_named
from tenfold.core.principal import Principal
from tenfold.inference.ports import ClientDialect

KIND = "batch"  # of the jobs that do batches
KIND_DEAD = "batch.dead"  # of the jobs that follow one that was given up

MAX_LINES = 50_000
MAX_ERRORS = 1_000  # told of a file that cannot be meant
MAX_CUSTOM_ID = 512
MAX_PAGE = 100
KEEP_S = 30 * 86_400.0  # an ended batch can be read for so long
LEAST_WINDOW_H, MOST_WINDOW_H = 1, 168

Status = Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]
Ended = Literal["failed", "completed", "expired", "cancelled"]
ENDED: frozenset[str] = frozenset({"failed", "completed", "expired", "cancelled"})


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """What lines may ask. `dialect` makes the one of a line: some keep what they said."""

    operation: Operation
    dialect: Callable[[], ClientDialect]


Endpoints = dict[str, Endpoint]  # by path, such as /v1/chat/completions


class Spec(Struct, frozen=True, kw_only=True):
    """What was asked for: the input of the job, and all that a batch needs to begin anew anywhere."""

    id: UUID
    job_id: UUID
    principal: Principal
    input_file_id: UUID
    input_bytes: int
    endpoint: str
    window: str  # as it was asked for: "24h"
    window_s: float
    output_keep_s: float
    metadata: dict[str, str] | None = None
    options: CallOptions = DEFAULT_OPTIONS  # of each line
    carried: int = 0  # lines that had results when this job went on from one that died


class LineError(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a file cannot be meant, or a batch failed."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class Tokens(Struct, frozen=True, kw_only=True):
    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0


class LineResult(Struct, frozen=True, kw_only=True):
    """`data` is the line of the output file, or, `failed`, of the error file; with its line end."""

    line: int  # of the input file, from 1
    failed: bool
    data: bytes
    tokens: Tokens = Tokens()
    cost_nano: int = 0


class Batch(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    spec: Spec
    status: Status
    model: str | None
    errors: list[LineError]
    output_file_id: UUID | None
    error_file_id: UUID | None
    total: int
    completed: int
    failed: int
    tokens: Tokens
    cost_nano: int  # of all lines so far, 10^-9 USD
    created_at: datetime
    expires_at: datetime  # the end of its window
    in_progress_at: datetime | None
    finalizing_at: datetime | None
    cancelling_at: datetime | None
    ended_at: datetime | None
    version: int  # grows with whatever is told of it: its ETag
    lapsed: bool  # lines are left that were not done in the window
    late: bool  # the window has closed
    running_s: float  # since it is in progress, until now or its end

    @property
    def id(self) -> UUID:
        return self.spec.id

    @property
    def public_id(self) -> str:
        return batch_name(self.spec.id)

    @property
    def ended(self) -> bool:
        return self.status in ENDED


class BatchPage(Struct, frozen=True, kw_only=True):
    items: list[Batch]
    has_more: bool


def line_key(batch: UUID, line: int) -> str:
    """The `Idempotency-Key` of a line's call, whichever job makes it."""
    return f"{batch_name(batch)}:line:{line}"


def batch_name(batch_id: UUID) -> str:
    """The id as it is seen outside."""
    return f"batch_{batch_id.hex}"


def batch_id(name: str) -> UUID | None:
    """None: no batch has such an id."""
    return id_named("batch_", name)
