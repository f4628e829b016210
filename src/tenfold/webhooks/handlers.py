"""The rules of webhook endpoints: what may be subscribed to, where to, and how a secret is exchanged for another.

It delivers nothing (`delivery` does) and knows no SQL (`queries`). What was delivered is `log`.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from msgspec.structs import replace

from tenfold.core.clock import Clock
from tenfold.core.errors import Conflict, InvalidRequest, NotFound
from tenfold.core.ids import TenantId, id_named, uuid7
from tenfold.core.inputs import uuid_of
from tenfold.webhooks.names import ENDPOINT
from tenfold.webhooks.ports import Sender, WebhookRows
from tenfold.webhooks.signing import new_secret
from tenfold.webhooks.types import EVENT_TYPES, Endpoint, EndpointPage

DEFAULT_PAGE = 20
MAX_PAGE = 100
MAX_DESCRIPTION = 500
GRACE_S = 86_400.0
MAX_GRACE_S = 30 * 86_400.0

PATTERNS = ("*", *sorted({f"{each.partition('.')[0]}.*" for each in EVENT_TYPES}))
_CHANGED = "The endpoint was changed meanwhile by somebody else: look at it again."


class WebhookAdmin:
    """Every method raises StoreUnavailable. What one process writes, every process follows within a second."""

    def __init__(self, rows: WebhookRows, sender: Sender, clock: Clock) -> None:
        self._rows = rows
        self._sender = sender
        self._clock = clock

    async def create(
        self, tenant_id: TenantId, url: str, *, events: Sequence[str] = ("*",), description: str = ""
    ) -> Endpoint:
        """With its secret. Raises InvalidRequest (a URL that may not be called, an event nobody knows), Conflict (too
        many)."""
        now = self._clock.now()
        endpoint = Endpoint(
            tenant_id=tenant_id,
            id=uuid7(),
            url=url,
            events=_events(events),
            secret=new_secret(),
            created_at=now,
            updated_at=now,
            description=_description(description),
        )
        await self._sender.check(url)
        await self._rows.add_endpoint(endpoint)
        return endpoint

    async def change(
        self,
        tenant_id: TenantId,
        name: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        description: str | None = None,
        enabled: bool | None = None,
    ) -> Endpoint:
        """What is None stays. Raises NotFound, InvalidRequest, Conflict (somebody else changed it meanwhile)."""
        old = await self.show(tenant_id, name)
        disabled_by = old.disabled_by
        if enabled is not None:
            disabled_by = None if enabled else (old.disabled_by or "asked")
        endpoint = replace(
            old,
            url=old.url if url is None else url,
            events=old.events if events is None else _events(events),
            description=old.description if description is None else _description(description),
            disabled_by=disabled_by,
        )
        if url is not None:
            await self._sender.check(url)
        return old if endpoint == old else await self._changed(endpoint)

    async def rotate(self, tenant_id: TenantId, name: str, *, grace_s: float = GRACE_S) -> Endpoint:
        """With its new secret. For so long everything is signed with the old one as well; one older still signs no
        more. Raises NotFound, InvalidRequest, Conflict."""
        if not 0 <= grace_s <= MAX_GRACE_S:
            raise InvalidRequest(f"The grace is 0 to {MAX_GRACE_S:.0f} seconds.", param="grace_s")
        old = await self.show(tenant_id, name)
        return await self._changed(
            replace(
                old,
                secret=new_secret(),
                old_secret=old.secret if grace_s else None,
                old_secret_until=self._clock.now() + timedelta(seconds=grace_s) if grace_s else None,
            )
        )

    async def end(self, tenant_id: TenantId, name: str) -> None:
        """What waits to be delivered is dropped. Raises NotFound."""
        endpoint_id = id_named(ENDPOINT, name)
        if endpoint_id is None or not await self._rows.end_endpoint(tenant_id, endpoint_id):
            raise NotFound("There is no such webhook endpoint.")

    async def show(self, tenant_id: TenantId, name: str) -> Endpoint:
        """Raises NotFound."""
        endpoint_id = id_named(ENDPOINT, name)
        endpoint = None if endpoint_id is None else await self._rows.endpoint(tenant_id, endpoint_id)
        if endpoint is None:
            raise NotFound("There is no such webhook endpoint.")
        return endpoint

    async def list(self, tenant_id: TenantId, *, cursor: str | None = None, limit: int = DEFAULT_PAGE) -> EndpointPage:
        """The newest first. Raises InvalidRequest."""
        found = await self._rows.endpoints(tenant_id, before=before_of(cursor, limit), limit=limit + 1)
        return EndpointPage(items=found[:limit], cursor=str(found[limit - 1].id) if len(found) > limit else None)

    async def _changed(self, endpoint: Endpoint) -> Endpoint:
        changed = replace(endpoint, revision=endpoint.revision + 1, updated_at=self._clock.now())
        if not await self._rows.change_endpoint(changed):
            raise Conflict(_CHANGED)
        return changed


def before_of(cursor: str | None, limit: int) -> UUID | None:
    """Raises InvalidRequest."""
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidRequest(f"A page has 1 to {MAX_PAGE} items.", param="limit")
    before = uuid_of(cursor) if cursor else None
    if cursor and before is None:
        raise InvalidRequest("This is not a cursor.", param="cursor")
    return before


def _events(events: Sequence[str]) -> tuple[str, ...]:
    """Raises InvalidRequest that lists what there is."""
    known = (*EVENT_TYPES, *PATTERNS)
    if not events or not set(events) <= set(known):
        raise InvalidRequest(f"`events` are one or more of: {', '.join(known)}.", param="events")
    return tuple(dict.fromkeys(events))


def _description(text: str) -> str:
    if len(text) > MAX_DESCRIPTION or not text.replace("\n", " ").isprintable():
        raise InvalidRequest(f"A description has at most {MAX_DESCRIPTION} printable characters.", param="description")
    return text
