"""The values of this part: tenants, keys, users, sessions, and a page of any of them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from tenfold.core.ids import KeyId, TenantId, UserId
from tenfold.core.principal import Principal

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Page(Generic[T]):
    """`cursor` asks for the page after this one; None on the last."""

    items: list[T]
    cursor: str | None = None


@dataclass(frozen=True, kw_only=True)
class Tenant:
    id: TenantId
    slug: str
    name: str
    created_at: datetime
    plan: str | None = None  # as the operator names it: which rules of routes hold

    def principal(self, scopes: frozenset[str]) -> Principal:
        """The operator on the tenant's behalf: nobody of its own, who may do this much."""
        return Principal(tenant_id=self.id, tenant_slug=self.slug, scopes=scopes, plan=self.plan)


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """What may be shown of a key: everything but the secret. `prefix` is how a person recognises it. With `origins` it
    is a publishable key, which stands in the web pages of these origins for everyone to read."""

    id: KeyId
    tenant_id: TenantId
    name: str
    prefix: str
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    origins: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class CreatedKey:
    """A new key with its secret, which exists nowhere else from here on."""

    key: ApiKey
    secret: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class KeyRecord:
    """A row of the key directory: all that authentication needs, found by the SHA-256 of the secret."""

    digest: bytes
    tenant_id: TenantId
    tenant_slug: str
    key_id: KeyId
    scopes: frozenset[str]
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    plan: str | None = None  # of the tenant


@dataclass(frozen=True, kw_only=True)
class KeyChanges:
    """Directory rows changed since a position of the feed (some may repeat), and the position to ask from next."""

    records: list[KeyRecord]
    position: int


@dataclass(frozen=True, kw_only=True)
class User:
    id: UserId
    tenant_id: TenantId
    login: str
    password_hash: str = field(repr=False)
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class SessionRow:
    """`digest` is the SHA-256 of the token in the cookie; `expires_at` is the absolute end."""

    digest: bytes
    tenant_id: TenantId
    user_id: UserId
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class Session:
    """A person signed in. The principal carries every scope: it is the tenant's owner."""

    principal: Principal
    login: str
    tenant_name: str
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class SignedIn:
    """A session that has just begun, with the token for the cookie."""

    session: Session
    token: str = field(repr=False)
