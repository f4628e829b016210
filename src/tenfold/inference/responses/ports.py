"""The seams of this part: responses at rest (`ResponseRows`; `fake.FakeResponseRows` is the in-memory twin of
`queries.PostgresResponseRows`, under one contract suite), and the little that is needed of the dialect (`Codec`)."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from tenfold.core.errors import TenfoldError
from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.inference.ports import ClientDialect
from tenfold.inference.responses.types import (
    Echo,
    FoundPassage,
    JsonObject,
    Keyed,
    Link,
    NewResponse,
    Status,
    StoredResponse,
)
from tenfold.jobs.types import JobEvent


class ResponseRows(Protocol):
    """Every method raises StoreUnavailable while the database is away; it may have done its work all the same, and can
    be called again. What is asked of another tenant's response finds nothing, and so does what has expired."""

    async def add(self, new: NewResponse, *, keep_s: float, key_s: float) -> StoredResponse:
        """The response, unless one of this id, or of this key, is there already: then that one. A key is known for
        `key_s`."""
        ...

    async def keyed(self, tenant_id: TenantId, key: bytes, *, key_s: float) -> Keyed | None: ...

    async def find(self, tenant_id: TenantId, response_id: UUID) -> StoredResponse | None: ...

    async def chain(self, tenant_id: TenantId, response_id: UUID, *, most: int, most_bytes: int) -> list[Link]:
        """This response, the one it goes on from, and so on, at most so many of them; with what they hold, as long as
        that is together no more than so many bytes, and one without it at the end where it is."""
        ...

    async def begin(self, tenant_id: TenantId, response_id: UUID) -> StoredResponse | None:
        """It is in progress, if it had not ended or had died of its job. As it is now; None: there is none."""
        ...

    async def finish(
        self,
        tenant_id: TenantId,
        response_id: UUID,
        status: Status,
        response: bytes | None,
        *,
        cost_nano: int = 0,
        died: bool = False,
    ) -> bool:
        """It has ended so. `response` None: the object stays as it is. False: it had ended before, or there is none,
        and nothing is written."""
        ...

    async def amend(self, tenant_id: TenantId, response_id: UUID, response: bytes, *, cost_nano: int) -> bool:
        """What came of one that was cancelled, until then."""
        ...

    async def remove(self, tenant_id: TenantId, response_id: UUID) -> StoredResponse | None:
        """As it was. None: there is none."""
        ...

    async def tenants_expired(self) -> list[TenantId]: ...

    async def expire(self, tenant_id: TenantId, *, limit: int) -> int:
        """Deletes up to so many that have expired; how many there were."""
        ...


class StreamEvent(Protocol):
    """One event of a stream. `frame`: as it goes over the wire."""

    @property
    def type(self) -> str: ...
    @property
    def sequence(self) -> int: ...
    @property
    def frame(self) -> bytes: ...


class Stamp(Protocol):
    """Puts on a reply whose it is, wherever it comes from: a provider, the cache, another call's flight."""

    @property
    def response(self) -> JsonObject | None:
        """The Response object as it was told last."""
        ...

    @property
    def ended(self) -> bool: ...
    @property
    def sequence(self) -> int:
        """The number of the next event."""
        ...

    @property
    def output_index(self) -> int:
        """That of the next item."""
        ...

    def whole(self, body: bytes) -> bytes:
        """A reply in one piece."""
        ...

    def events(self, data: bytes) -> Sequence[StreamEvent]:
        """The events that these bytes of a stream complete."""
        ...


class Codec(Protocol):
    """How responses are spoken. Pure; implemented in `edge.responses.codec`."""

    @property
    def dialect(self) -> ClientDialect: ...

    def stamp(self, echo: Echo, *, sequence: int = 0, output_index: int = 0, begun: bool = False) -> Stamp:
        """`sequence`, `output_index`: the numbers of the first event and item; `begun`: its beginning was told."""
        ...

    def input_items(self, request: JsonObject, salt: str) -> list[JsonObject]:
        """The input of a checked request as items with ids, as the API lists them."""
        ...

    def blank(
        self, echo: Echo, status: Status, error: TenfoldError | None = None, output: Sequence[JsonObject] = ()
    ) -> JsonObject:
        """A Response object without an answer, or with as much as there is."""
        ...

    def event(self, kind: str, number: int, members: JsonObject) -> bytes:
        """One event of a stream, as it goes over the wire."""
        ...


class EventRows(Protocol):
    """What was told of a job so far. See tenfold.jobs.ports.JobRows."""

    async def events(self, tenant_id: TenantId, job_id: UUID, *, after: int, limit: int) -> Sequence[JobEvent]: ...


class FileSearcher(Protocol):
    """What stands behind the tool `file_search`."""

    async def check(self, principal: Principal, store_ids: Sequence[str]) -> None:
        """Raises NotFound (a store that is not the tenant's), InvalidRequest (too many, one has expired),
        StoreUnavailable."""
        ...

    async def search(
        self,
        principal: Principal,
        store_ids: Sequence[str],
        queries: Sequence[str],
        *,
        filters: JsonObject | None = None,
        max_results: int = 20,
        ranking: JsonObject | None = None,
    ) -> list[FoundPassage]:
        """The best passages of those vector stores together, the best first; `filters` and `ranking` as OpenAI
        documents them. Raises NotFound (a store that is not the tenant's), InvalidRequest, StoreUnavailable."""
        ...
