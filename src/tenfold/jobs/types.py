"""The values of durable work. Values only."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct, field

from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import Principal

State = Literal["queued", "running", "done", "failed", "cancelled"]
"""`failed` is the dead letter: it stays with its cause until it is redriven or discarded, or its time is over."""

Ended = Literal["done", "failed", "cancelled"]
ENDED: frozenset[str] = frozenset({"done", "failed", "cancelled"})

KEEP_S = 7 * 86_400.0
KEEP_DEAD_S = 30 * 86_400.0
MAX_INPUT_BYTES = 4 * 1024 * 1024
MAX_RESULT_BYTES = 16 * 1024 * 1024
MAX_CRASHES = 6  # workers that died with the job: then it is poison
SUSPECT_CRASHES = 2  # then no worker begins two such jobs within SUSPECT_S: who only stood by is not taken for poison
SUSPECT_S = 30.0
MAX_PRIORITY = 9
USUAL_PRIORITY = 4
AGED_S = 60.0  # of a tenant's claimed jobs every AGED_EVERY-th is the one that was due longest, if it was for so long
AGED_EVERY = 4


class NewJob(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is asked for. `input` means something to the handler of `kind` alone."""

    kind: str  # of the handler that does it, at most 40 characters
    principal: Principal  # on whose behalf; the job is its tenant's
    input: bytes = b""
    id: UUID = field(default_factory=uuid7)  # added twice, it is there once
    subject: str | None = None  # the public id of what it works on (resp_..., batch_...)
    facts: dict[str, str] = field(default_factory=dict)  # what may be told of it beside; small
    priority: int = USUAL_PRIORITY  # 0 to 9; the larger goes first, inside its tenant (see AGED_S)
    delay_s: float = 0.0  # not before so long
    max_attempts: int = 5  # attempts that end in an error which may pass
    give_up_s: float | None = None  # after its creation no attempt begins; None: as long as there are attempts
    first_retry_s: float = 1.0  # doubles with each attempt, with jitter
    most_retry_s: float = 300.0
    dedup: str | None = None  # of jobs of a tenant and kind with the same one there is one, as long as it is kept
    order_key: str | None = None  # jobs of a tenant with the same one are done one after the other, in the order of ids
    keep_s: float = KEEP_S  # how long it can be read once it has ended


class Progress(Struct, frozen=True, kw_only=True):
    """How far it is. `total` None: not known; then nothing tells when it will be ready."""

    stage: str = ""
    done: int = 0
    total: int | None = None


class Job(Struct, frozen=True, kw_only=True):
    """A job as it is now. `attempts`: how often it was begun. `waited_s`: from when it was due to its (last) start."""

    tenant_id: TenantId
    id: UUID
    kind: str
    state: State
    subject: str | None
    priority: int
    created_at: datetime
    run_at: datetime  # queued: not before this
    started_at: datetime | None  # the last attempt
    ended_at: datetime | None
    expires_at: datetime | None  # ended: deleted after this
    attempts: int
    max_attempts: int
    crashes: int  # attempts that ended with their worker
    progress: Progress
    cost_nano: int  # of all attempts so far, 10^-9 USD
    cancel_requested: bool
    version: int  # grows with whatever is told of it: its ETag
    facts: dict[str, str] = field(default_factory=dict)  # as it was asked for
    error_code: str | None = None  # of the last attempt that failed
    error_message: str | None = None
    eta_s: float | None = None  # running, with a total: what is left at the rate so far

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def waited_s(self) -> float:
        """From when it was due to the start of its last attempt."""
        return 0.0 if self.started_at is None else max(0.0, (self.started_at - self.run_at).total_seconds())


class Work(Struct, frozen=True, kw_only=True):
    """A claimed job: what a worker needs to do it. `fence` is the number of the claim: whoever has an older one has
    lost the job, and nothing it writes is kept."""

    job: Job
    principal: Principal
    input: bytes
    fence: int
    new: NewJob  # as it was asked for: attempts, delays; without its input, which stands above
    events: int = 0  # the number of its last event so far


class Held(Struct, frozen=True, kw_only=True):
    """That a worker has a job."""

    tenant_id: TenantId
    job_id: UUID
    fence: int
    cancel_requested: bool


class DeadLetters(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    count: int
    oldest_age_s: float  # since it failed


class JobEvent(Struct, frozen=True, kw_only=True):
    """What was told while the job ran, numbered from 1 without gaps. `kind` is "progress", "output" or "ended"."""

    seq: int
    kind: str
    data: bytes


class Result(Struct, frozen=True, kw_only=True):
    """What came of an attempt. `then` are jobs (of the same tenant) that are there if, and only if, this end is."""

    output: bytes = b""
    cost_nano: int = 0
    then: tuple[NewJob, ...] = ()


class JobPage(Struct, frozen=True, kw_only=True):
    items: list[Job]
    cursor: str | None  # of the next page


class Room(Struct, frozen=True, kw_only=True):
    """How many more jobs a worker takes: of the tenants whose jobs it does already, and of each other one."""

    of: dict[TenantId, int]
    others: int

    def left(self, tenant_id: TenantId) -> int:
        return self.of.get(tenant_id, self.others)


class QueueState(Struct, frozen=True, kw_only=True):
    """How full the queues are. `drain_per_s`: jobs that all workers together ended a second, of late."""

    waiting: int  # due, and nobody works on them
    later: int  # not due yet
    running: int
    workers: int
    slots: int
    drain_per_s: float
    oldest_wait_s: float
    dead: int  # dead letters, of the tenant asked for
