"""What a tenant may know of its frequent questions and of the runs over them, and what its visitors may."""

from uuid import UUID

from msgspec import Struct

from tenfold.assistant.precompute.daily import run_of
from tenfold.assistant.precompute.ports import QuestionRows
from tenfold.assistant.precompute.types import Ahead, Earned, Frequent, Policy, Run
from tenfold.core.errors import Conflict, InvalidRequest, NotFound
from tenfold.core.principal import SCOPE_INFERENCE, SCOPE_SUPPORT, Principal
from tenfold.jobs.names import job_id_of, job_name
from tenfold.jobs.ports import Jobs
from tenfold.jobs.types import Job

MAX_PAGE = 100
_MOST_OFFSET = 1_000_000


class QuestionPage(Struct, frozen=True, kw_only=True):
    items: list[Frequent]
    cursor: str | None


class RunPage(Struct, frozen=True, kw_only=True):
    items: list[Run]
    cursor: str | None


class Precompute:
    """Every method raises StoreUnavailable, and PermissionDenied where the key may not."""

    def __init__(self, rows: QuestionRows, jobs: Jobs, policy: Policy) -> None:
        self.policy = policy
        self._rows = rows
        self._jobs = jobs

    async def earned(self, who: Principal) -> Earned:
        who.require(SCOPE_INFERENCE)
        return await self._rows.earned(who.tenant_id)

    async def last(self, who: Principal) -> Run | None:
        who.require(SCOPE_INFERENCE)
        return next(iter(await self._rows.runs(who.tenant_id, limit=1)), None)

    async def runs(self, who: Principal, *, cursor: str | None = None, limit: int = 20) -> RunPage:
        """The latest first. Raises InvalidRequest for a cursor that is none."""
        who.require(SCOPE_INFERENCE)
        found = await self._rows.runs(who.tenant_id, limit=_size(limit) + 1, before=_run_at(cursor))
        more = len(found) > limit
        return RunPage(items=found[:limit], cursor=job_name(found[limit - 1].id) if more else None)

    async def questions(self, who: Principal, *, cursor: str | None = None, limit: int = 20) -> QuestionPage:
        """In their order, which moves as people ask. Raises InvalidRequest for a cursor that is none."""
        who.require(SCOPE_INFERENCE)
        offset = _offset_of(cursor)
        found = await self._rows.frequent(who.tenant_id, limit=_size(limit) + 1, offset=offset)
        more = len(found) > limit
        return QuestionPage(items=found[:limit], cursor=str(offset + limit) if more else None)

    async def run(self, who: Principal) -> Job:
        """Now, beside those of the nights. Raises Conflict (it is off), RateLimited, Overloaded."""
        who.require(SCOPE_INFERENCE)
        if not self.policy.enabled:
            raise Conflict("Nothing is answered ahead of time: the operator has not set enabled in [precompute].")
        return await self._jobs.enqueue(run_of(who))

    async def popular(self, who: Principal, *, limit: int = 20) -> list[Ahead]:
        """Raises NotFound: they are not public."""
        if SCOPE_SUPPORT not in who.scopes:
            who.require(SCOPE_INFERENCE)
        if not self.policy.public:
            raise NotFound("Popular questions are not public: the operator has not set public in [precompute].")
        return await self._rows.ahead(who.tenant_id, limit=_size(limit))


def _size(limit: int) -> int:
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidRequest(f"A page has 1 to {MAX_PAGE} items.", param="limit")
    return limit


def _run_at(cursor: str | None) -> UUID | None:
    found = None if cursor is None else job_id_of(cursor)
    if cursor is not None and found is None:
        raise InvalidRequest("This is not a cursor.", param="cursor")
    return found


def _offset_of(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit()) or len(cursor) > 7 or int(cursor) > _MOST_OFFSET:
        raise InvalidRequest("This is not a cursor.", param="cursor")
    return int(cursor)
