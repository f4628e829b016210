"""The rules of tenants and API keys: who may be created, what is shown once, what is refused for good.

It refuses to know SQL (`queries`), HTTP (`edge`, `console`) and passwords (`accounts`).
"""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from tenfold.access.names import display_name, installed_secret, key_origins, key_scopes, plan_name, tenant_slug
from tenfold.access.ports import KeyRows, TenantRows
from tenfold.access.secret_text import digest_of, new_api_key, shown_prefix
from tenfold.access.types import ApiKey, CreatedKey, Page, Tenant
from tenfold.core.clock import Clock
from tenfold.core.errors import Conflict, InvalidRequest, NotFound
from tenfold.core.ids import KeyId, TenantId, uuid7
from tenfold.core.principal import ALL_SCOPES, SCOPE_INFERENCE, Principal

DEFAULT_PAGE = 20
MAX_PAGE = 100


class Tenants:
    def __init__(self, rows: TenantRows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock

    async def create_tenant(self, slug: str, name: str) -> Tenant:
        """Raises InvalidRequest, Conflict (the slug is taken)."""
        tenant = Tenant(
            id=TenantId(uuid7()), slug=tenant_slug(slug), name=display_name(name), created_at=self._clock.now()
        )
        await self._rows.add_tenant(tenant)
        return tenant

    async def tenant(self, slug: str) -> Tenant:
        """Raises NotFound."""
        found = await self._rows.tenant_by_slug(tenant_slug(slug))
        if found is None:
            raise NotFound(f"There is no tenant '{slug}'.", param="slug")
        return found

    async def tenant_of(self, tenant_id: TenantId) -> Tenant:
        """Raises NotFound."""
        found = await self._rows.tenant_by_id(tenant_id)
        if found is None:
            raise NotFound("There is no such tenant.")
        return found

    async def calling_for(self, tenant_id: TenantId) -> Principal:
        """Who asks models for the tenant where nobody of its own does: at night, or for its index. Raises NotFound."""
        return (await self.tenant_of(tenant_id)).principal(frozenset({SCOPE_INFERENCE}))

    async def tenant_or_new(self, slug: str, name: str) -> Tenant:
        """The tenant of that slug, created when absent; safe to call from many processes at once."""
        found = await self._rows.tenant_by_slug(tenant_slug(slug))
        if found is not None:
            return found
        try:
            return await self.create_tenant(slug, name)
        except Conflict:  # another process was faster
            return await self.tenant(slug)

    async def set_plan(self, slug: str, plan: str | None) -> Tenant:
        """None: on no plan. Every process goes by it within a second. Raises InvalidRequest, NotFound."""
        wanted = None if plan is None else plan_name(plan)
        changed = await self._rows.set_plan((await self.tenant(slug)).id, wanted)
        if changed is None:
            raise NotFound(f"There is no tenant '{slug}'.", param="slug")
        return changed

    async def list_tenants(self, *, cursor: str | None = None, limit: int = DEFAULT_PAGE) -> Page[Tenant]:
        """In the order of their slugs."""
        limit = _page_size(limit)
        after = tenant_slug(cursor, param="cursor") if cursor else None
        found = await self._rows.tenants(after=after, limit=limit + 1)
        more = len(found) > limit
        return Page(items=found[:limit], cursor=found[limit - 1].slug if more else None)


class ApiKeys:
    def __init__(self, rows: KeyRows, tenants: Tenants, clock: Clock) -> None:
        self._rows = rows
        self._tenants = tenants
        self._clock = clock

    async def create_key(
        self,
        tenant_id: TenantId,
        name: str,
        scopes: Iterable[str] = ALL_SCOPES,
        expires_at: datetime | None = None,
        origins: Iterable[str] = (),
    ) -> CreatedKey:
        """The secret is in the result and nowhere else. Raises InvalidRequest, NotFound."""
        now = self._clock.now()
        if expires_at is not None and (expires_at.tzinfo is None or expires_at <= now):
            raise InvalidRequest("A key expires at a time to come, with its time zone.", param="expires_at")
        known_scopes = key_scopes(frozenset(scopes))
        secret = new_api_key()
        key = ApiKey(
            id=KeyId(uuid7()),
            tenant_id=tenant_id,
            name=display_name(name),
            prefix=shown_prefix(secret),
            scopes=known_scopes,
            created_at=now,
            expires_at=expires_at,
            origins=key_origins(frozenset(origins), known_scopes),
        )
        return CreatedKey(key=await self._rows.add_key(key, digest_of(secret)), secret=secret)

    async def install_key(self, slug: str, secret: str, name: str = "installed") -> ApiKey:
        """Makes a secret of the operator's choice a key of the tenant, which is created when absent. Doing it again
        changes nothing: a key revoked since stays revoked. Raises InvalidRequest, Conflict (another tenant's key)."""
        secret = installed_secret(secret)
        tenant = await self._tenants.tenant_or_new(slug, slug)
        key = ApiKey(
            id=KeyId(uuid7()),
            tenant_id=tenant.id,
            name=display_name(name),
            prefix=shown_prefix(secret),
            scopes=ALL_SCOPES,
            created_at=self._clock.now(),
        )
        return await self._rows.add_key(key, digest_of(secret))

    async def list_keys(
        self, tenant_id: TenantId, *, cursor: str | None = None, limit: int = DEFAULT_PAGE
    ) -> Page[ApiKey]:
        """The newest first, revoked ones included."""
        limit = _page_size(limit)
        before = KeyId(_uuid(cursor, "cursor")) if cursor else None
        found = await self._rows.keys(tenant_id, before=before, limit=limit + 1)
        more = len(found) > limit
        return Page(items=found[:limit], cursor=str(found[limit - 1].id) if more else None)

    async def key(self, tenant_id: TenantId, key_id: KeyId) -> ApiKey:
        """Raises NotFound, for another tenant's key too."""
        found = await self._rows.key(tenant_id, key_id)
        if found is None:
            raise NotFound("There is no such key.")
        return found

    async def revoke_key(self, tenant_id: TenantId, key_id: str | UUID) -> ApiKey:
        """Refused on every process within a second. Raises NotFound, for another tenant's key too."""
        try:
            known_id = KeyId(key_id if isinstance(key_id, UUID) else _uuid(key_id, "key_id"))
        except InvalidRequest:
            raise NotFound("There is no such key.") from None
        revoked = await self._rows.revoke_key(tenant_id, known_id, self._clock.now())
        if revoked is None:
            raise NotFound("There is no such key.")
        return revoked


def _page_size(limit: int) -> int:
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidRequest(f"A page has 1 to {MAX_PAGE} items.", param="limit")
    return limit


def _uuid(text: str, param: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidRequest("This is not an identifier.", param=param) from None
