"""What is kept of the semantic cache, as values: scopes, what is added to them, what is new in them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from tenfold.cache.semantic.types import Entry, Observation, ScopeStatus
from tenfold.core.call import Step
from tenfold.core.usage import Usage

SCOPE = "scope_"
"""Before the 32 hex digits of its id, in the name the outside knows a scope by."""

BEGINNING = "0"
"""The position of a follower who has read nothing yet."""

MAX_SCOPES = 500  # of one tenant; the least recently used give way


class ScopeFacts(Struct, frozen=True, kw_only=True):
    """`digest`: 32 bytes, of everything that has to be equal; the rest is told to people."""

    digest: bytes
    dialect: str
    model: str
    stream: bool
    max_false_hits: float


class ScopeAt(Struct, frozen=True):
    """A scope since its last reset."""

    id: UUID
    epoch: int


class Told(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who answered, and at what cost in tokens."""

    provider: str = ""
    model: str = ""
    upstream_model: str = ""
    target_model: str | None = None
    served_by: str = ""
    usage: Usage | None = None
    degraded: tuple[Step, ...] = ()


class NewEntry(Struct, frozen=True, kw_only=True):
    """`text` is the answer for comparing, `body` what the client got. `asked_s_ago`: how long before now the call
    began: no document may have changed since."""

    entry: Entry
    text: str
    body: bytes
    told: Told
    ttl_s: float
    asked_s_ago: float


class Seen(Struct, frozen=True):
    id: UUID
    observation: Observation


class KeptAnswer(Struct, frozen=True, kw_only=True):
    answer_id: UUID
    body: bytes
    told: Told
    age_s: float
    documents: frozenset[str] = frozenset()


class Since(Struct, frozen=True):
    """A follower of a scope, who has read up to here."""

    id: UUID
    position: str


class News(Struct, frozen=True, kw_only=True):
    """What is new in a scope: it may say again what was said before. `epoch` None: the scope is no more."""

    id: UUID
    epoch: int | None
    position: str
    entries: Sequence[Entry] = ()
    gone: Sequence[UUID] = ()
    seen: Sequence[Seen] = ()


class Uses(Struct, frozen=True):
    """Of a scope by one process since it told the last time."""

    at: ScopeAt
    hits: int
    checks: int


class KeptScope(Struct, frozen=True, kw_only=True):
    id: UUID
    facts: ScopeFacts
    status: ScopeStatus
    created_at: datetime
    used_at: datetime

    @property
    def name(self) -> str:
        return f"{SCOPE}{self.id.hex}"
