"""People: signing up, logging in and out, and their sessions. An unknown login behaves as a wrong password does."""

from datetime import timedelta

from tenfold.access.names import MAX_PASSWORD_CHARS, display_name, login_name, new_password, slug_from
from tenfold.access.passwords import Passwords
from tenfold.access.ports import AccountRows
from tenfold.access.secret_text import MAX_SECRET_CHARS, digest_of, new_session_token
from tenfold.access.throttle import Throttle
from tenfold.access.types import Session, SessionRow, SignedIn, Tenant, User
from tenfold.core.clock import Clock
from tenfold.core.errors import Conflict, InvalidRequest, Unauthenticated
from tenfold.core.ids import TenantId, UserId, uuid7
from tenfold.core.principal import ALL_SCOPES, Principal

IDLE = timedelta(hours=12)
ABSOLUTE = timedelta(days=14)
TOUCH_AFTER = timedelta(minutes=1)  # a busy page writes once a minute, not once a request

_WRONG = "The login or the password is wrong."


class Accounts:
    """`client` names where an attempt comes from (an address); attempts are limited by login and by client."""

    def __init__(self, rows: AccountRows, passwords: Passwords, clock: Clock) -> None:
        self._rows = rows
        self._passwords = passwords
        self._clock = clock
        self._by_login = Throttle(clock, burst=10, interval_s=30)
        self._by_client = Throttle(clock, burst=50, interval_s=5)
        self._sign_ups = Throttle(clock, burst=20, interval_s=30)

    async def sign_up(self, login: str, password: str, tenant_name: str, client: str = "") -> SignedIn:
        """A new tenant, its owner, and a session. Raises InvalidRequest, Conflict (login taken), RateLimited."""
        login = login_name(login)
        name = display_name(tenant_name, param="tenant_name")
        password = new_password(password, login)
        self._sign_ups.take(client)
        if await self._rows.user_by_login(login) is not None:  # before the costly hash; the insert decides
            raise Conflict("This login is taken.", param="login")
        now = self._clock.now()
        tenant = Tenant(id=TenantId(uuid7()), slug=slug_from(name), name=name, created_at=now)
        owner = User(
            id=UserId(uuid7()),
            tenant_id=tenant.id,
            login=login,
            password_hash=await self._passwords.hash(password),
            created_at=now,
        )
        await self._rows.add_tenant(tenant, owner)
        return await self._begin_session(tenant, owner)

    async def log_in(self, login: str, password: str, client: str = "") -> SignedIn:
        """Raises Unauthenticated, RateLimited."""
        try:
            login = login_name(login)
        except InvalidRequest:
            raise Unauthenticated(_WRONG) from None
        self._by_client.take(client)
        self._by_login.take(login)
        found = await self._rows.user_by_login(login)
        fits = await self._passwords.verify(
            found[0].password_hash if found else None, password[: MAX_PASSWORD_CHARS + 1]
        )
        if found is None or not fits:
            raise Unauthenticated(_WRONG)
        self._by_login.give_back(login)
        self._by_client.give_back(client)
        user, tenant = found
        if self._passwords.needs_rehash(user.password_hash):
            await self._rows.set_password_hash(user.tenant_id, user.id, await self._passwords.hash(password))
        return await self._begin_session(tenant, user)

    async def session(self, token: str) -> Session | None:
        """Who the cookie stands for; None when it is unknown, ended, idle for too long or too old."""
        if not token or len(token) > MAX_SECRET_CHARS:
            return None
        found = await self._rows.session(digest_of(token))
        if found is None:
            return None
        row, user, tenant = found
        now = self._clock.now()
        if now >= row.expires_at or now >= row.seen_at + IDLE:
            return None
        if now >= row.seen_at + TOUCH_AFTER:
            await self._rows.touch_session(row.tenant_id, row.digest, now)
        return _session(row, user, tenant)

    async def log_out(self, token: str) -> None:
        """Ends the session; an unknown token is no error."""
        await self._rows.end_session(digest_of(token))

    async def _begin_session(self, tenant: Tenant, user: User) -> SignedIn:
        now = self._clock.now()
        token = new_session_token()
        row = SessionRow(
            digest=digest_of(token),
            tenant_id=user.tenant_id,
            user_id=user.id,
            created_at=now,
            seen_at=now,
            expires_at=now + ABSOLUTE,
        )
        await self._rows.sweep_sessions(user.tenant_id, now, now - IDLE)
        await self._rows.add_session(row)
        return SignedIn(session=_session(row, user, tenant), token=token)


def _session(row: SessionRow, user: User, tenant: Tenant) -> Session:
    return Session(
        principal=Principal(
            tenant_id=tenant.id, tenant_slug=tenant.slug, user_id=user.id, scopes=ALL_SCOPES, plan=tenant.plan
        ),
        login=user.login,
        tenant_name=tenant.name,
        expires_at=row.expires_at,
    )
