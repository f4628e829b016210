"""The rules of flags and kill switches: what may be set, by whom. It refuses to know SQL (`queries`) and HTTP.

The operator sets what holds for the whole installation, and may set, change and end what is one tenant's. A tenant sees
the operator's flags and switches as far as they hold for it, and changes its own alone. It may switch off features and
models for itself; whole tenants and providers are the operator's to switch off.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from msgspec import json
from msgspec.structs import replace

from tenfold.core.clock import Clock
from tenfold.core.errors import Conflict, InvalidRequest, NotFound, PermissionDenied
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.inputs import one_of, plain_subject, uuid_of
from tenfold.rollout.definitions import definition_of, flag_key, is_flag_key, rules_as_given, text_of
from tenfold.rollout.ports import MAY, RolloutRows
from tenfold.rollout.types import (
    MAX_WORD_CHARS,
    SCOPES,
    Action,
    Change,
    ChangePage,
    Definition,
    Flag,
    FlagPage,
    Kill,
    KillPage,
    Owner,
    Scope,
)

DEFAULT_PAGE = 20
MAX_PAGE = 100

_TENANT_SCOPES: tuple[Scope, ...] = ("feature", "model")

_Item = TypeVar("_Item", Flag, Kill, Change)


class FlagAdmin:
    """`tenant_id` is whose flag or switch it is, None the installation's; `by` is who asks, and `actor` its name in the
    log. What one process writes, every process follows within a second."""

    def __init__(self, rows: RolloutRows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock

    # -- flags -------------------------------------------------------------------------------

    async def create(
        self,
        tenant_id: TenantId | None,
        key: str,
        *,
        type: str,  # noqa: A002  # its name on the wire
        variants: Mapping[str, Any] | None = None,
        default_variant: str | None = None,
        rules: Sequence[object] = (),
        enabled: bool = True,
        description: str = "",
        reason: str = "",
        actor: str,
        by: Owner = "tenant",
    ) -> Flag:
        """For `rules` see `definitions`. Raises InvalidRequest, Conflict (the key is taken, too many), NotFound (no
        such tenant), PermissionDenied."""
        _check_owner(tenant_id, by)
        now = self._clock.now()
        definition = definition_of(
            type=type,
            variants=variants,
            default_variant=default_variant,
            rules=rules,
            enabled=enabled,
            description=description,
        )
        flag = Flag(
            id=uuid7(),
            key=flag_key(key),
            tenant_id=tenant_id,
            owner=by,
            definition=definition,
            created_at=now,
            updated_at=now,
        )
        if by == "tenant" and await self._rows.flag(None, key) is not None:
            raise Conflict(f"The operator has a flag '{key}', which goes before one of yours.", param="key")
        await self._rows.add_flag(flag, self._flag_change(flag, "created", None, flag, reason, actor, by))
        return flag

    async def change(
        self,
        tenant_id: TenantId | None,
        key: str,
        *,
        variants: Mapping[str, Any] | None = None,
        default_variant: str | None = None,
        rules: Sequence[object] | None = None,
        enabled: bool | None = None,
        description: str | None = None,
        reason: str = "",
        actor: str,
        by: Owner = "tenant",
    ) -> Flag:
        """What is None stays; the type of a flag does too. What changes nothing is no change, and is not logged. Raises
        InvalidRequest, NotFound, PermissionDenied (the operator's), Conflict (somebody else changed it meanwhile)."""
        old = await self._own(tenant_id, key, by)
        was = old.definition
        definition = definition_of(
            type=was.type,
            variants=was.variants if variants is None else variants,
            default_variant=was.default_variant if default_variant is None else default_variant,
            rules=rules_as_given(was) if rules is None else rules,
            enabled=was.enabled if enabled is None else enabled,
            description=was.description if description is None else description,
        )
        if _said(definition) == _said(was):
            return old
        flag = replace(old, definition=definition, revision=old.revision + 1, updated_at=self._clock.now())
        change = self._flag_change(flag, "changed", old, flag, reason, actor, by)
        if not await self._rows.change_flag(flag, change):
            raise Conflict("The flag was changed meanwhile by somebody else: look at it again.")
        return flag

    async def end(
        self, tenant_id: TenantId | None, key: str, *, reason: str = "", actor: str, by: Owner = "tenant"
    ) -> None:
        """It is gone: whoever asks for it is told FLAG_NOT_FOUND. Raises NotFound, PermissionDenied, Conflict (somebody
        else changed it meanwhile)."""
        flag = await self._own(tenant_id, key, by)
        if not await self._rows.end_flag(flag, self._flag_change(flag, "ended", flag, None, reason, actor, by)):
            raise Conflict("The flag was changed meanwhile by somebody else: look at it again.")

    async def show(self, tenant_id: TenantId | None, key: str) -> Flag:
        """The one that holds: see `evaluation.effective`. Raises NotFound."""
        if not is_flag_key(key):
            raise NotFound("There is no such flag.")
        own = await self._rows.flag(tenant_id, key)
        if tenant_id is not None and (own is None or own.owner == "tenant"):
            own = await self._rows.flag(None, key) or own
        if own is None:
            raise NotFound("There is no such flag.")
        return own

    async def list(
        self, tenant_id: TenantId | None, *, cursor: str | None = None, limit: int = DEFAULT_PAGE
    ) -> FlagPage:
        """The newest first; a tenant's and the installation's. Raises InvalidRequest."""
        items, more = await _newest(self._rows.flags, tenant_id, cursor, limit)
        return FlagPage(items=items, cursor=more)

    # -- switches ----------------------------------------------------------------------------

    async def kill(
        self,
        tenant_id: TenantId | None,
        *,
        scope: str,
        subject: str,
        reason: str = "",
        actor: str,
        by: Owner = "tenant",
    ) -> Kill:
        """The switch that stands: killed twice is killed once. Raises InvalidRequest, PermissionDenied, NotFound (no
        such tenant), Conflict (too many)."""
        _check_owner(tenant_id, by)
        known = one_of(scope, SCOPES, "scope")
        if by == "tenant" and known not in _TENANT_SCOPES:
            raise PermissionDenied("A tenant switches off features and models, for itself.")
        if known == "tenant" and tenant_id is None:
            raise InvalidRequest("A tenant is switched off by itself.", param="scope")
        kill = Kill(
            id=uuid7(),
            scope=known,
            subject=plain_subject(subject, MAX_WORD_CHARS),
            reason=text_of(reason, "reason"),
            tenant_id=tenant_id,
            owner=by,
            actor=actor,
            created_at=self._clock.now(),
        )
        return await self._rows.add_kill(kill, self._kill_change(kill, "created", reason, actor, by))

    async def end_kill(
        self, tenant_id: TenantId | None, kill_id: str | UUID, *, reason: str = "", actor: str, by: Owner = "tenant"
    ) -> None:
        """Raises NotFound, for another tenant's too; PermissionDenied for the operator's."""
        known_id = kill_id if isinstance(kill_id, UUID) else uuid_of(kill_id)
        kill = None if known_id is None else await self._rows.kill(tenant_id, known_id)
        if kill is None and known_id is not None and by == "tenant":
            kill = await self._rows.kill(None, known_id)
        if kill is None:
            raise NotFound("There is no such switch.")
        if kill.owner not in MAY[by]:
            raise PermissionDenied("This switch was thrown by the operator, who alone can end it.")
        if not await self._rows.end_kill(kill, self._kill_change(kill, "ended", reason, actor, by)):
            raise NotFound("There is no such switch.")

    async def kills(
        self, tenant_id: TenantId | None, *, cursor: str | None = None, limit: int = DEFAULT_PAGE
    ) -> KillPage:
        """The newest first; a tenant's and the installation's. Raises InvalidRequest."""
        items, more = await _newest(self._rows.kills, tenant_id, cursor, limit)
        return KillPage(items=items, cursor=more)

    # -- the log -----------------------------------------------------------------------------

    async def changes(
        self,
        tenant_id: TenantId | None,
        *,
        subject: str | None = None,
        cursor: str | None = None,
        limit: int = DEFAULT_PAGE,
    ) -> ChangePage:
        """The newest first: of a tenant's own flags and switches, or of the installation's. Raises InvalidRequest."""
        before = _cursor(cursor, limit)
        if subject is not None:
            plain_subject(subject, MAX_WORD_CHARS)
        found = await self._rows.changes(tenant_id, subject=subject, before=before, limit=limit + 1)
        items, more = _page(found, limit)
        return ChangePage(items=items, cursor=more)

    # -- inside ------------------------------------------------------------------------------

    async def _own(self, tenant_id: TenantId | None, key: str, by: Owner) -> Flag:
        """The flag that `by` may change. Raises NotFound, PermissionDenied."""
        _check_owner(tenant_id, by)
        if not is_flag_key(key):
            raise NotFound("There is no such flag.")
        flag = await self._rows.flag(tenant_id, key)
        if flag is None and by == "tenant":
            flag = await self._rows.flag(None, key)
        if flag is None:
            raise NotFound("There is no such flag.")
        if flag.owner not in MAY[by]:
            raise PermissionDenied("This flag is the operator's, who alone can change it.")
        return flag

    def _flag_change(
        self, flag: Flag, action: Action, before: Flag | None, after: Flag | None, reason: str, actor: str, by: Owner
    ) -> Change:
        return Change(
            id=uuid7(),
            at=self._clock.now(),
            tenant_id=flag.tenant_id,
            actor=actor,
            owner=by,
            kind="flag",
            subject=flag.key,
            action=action,
            before=None if before is None else _said(before.definition),
            after=None if after is None else _said(after.definition),
            reason=text_of(reason, "reason"),
        )

    def _kill_change(self, kill: Kill, action: Action, reason: str, actor: str, by: Owner) -> Change:
        said = json.encode({"scope": kill.scope, "subject": kill.subject, "reason": kill.reason}).decode()
        return Change(
            id=uuid7(),
            at=self._clock.now(),
            tenant_id=kill.tenant_id,
            actor=actor,
            owner=by,
            kind="kill",
            subject=f"{kill.scope}:{kill.subject}",
            action=action,
            before=said if action == "ended" else None,
            after=None if action == "ended" else said,
            reason=text_of(reason, "reason"),
        )


def _said(definition: Definition) -> str:
    return json.encode(definition).decode()


def _check_owner(tenant_id: TenantId | None, by: Owner) -> None:
    if tenant_id is None and by != "operator":
        raise PermissionDenied("What holds for the whole installation is the operator's to set.")


def _cursor(cursor: str | None, limit: int) -> UUID | None:
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidRequest(f"A page has 1 to {MAX_PAGE} items.", param="limit")
    before = uuid_of(cursor) if cursor else None
    if cursor and before is None:
        raise InvalidRequest("This is not a cursor.", param="cursor")
    return before


async def _newest(
    read: "Callable[..., Awaitable[list[_Item]]]", tenant_id: TenantId | None, cursor: str | None, limit: int
) -> "tuple[list[_Item], str | None]":
    """A page of the installation's and the tenant's. Raises InvalidRequest."""
    before = _cursor(cursor, limit)
    found = await read(None, before=before, limit=limit + 1)
    if tenant_id is not None:
        found = found + await read(tenant_id, before=before, limit=limit + 1)
    return _page(found, limit)


def _page(found: "list[_Item]", limit: int) -> "tuple[list[_Item], str | None]":
    """Of one more than a page from each source."""

    found = sorted(found, key=lambda item: item.id, reverse=True)
    return found[:limit], str(found[limit - 1].id) if len(found) > limit else None
