"""The JSON API of feature flags and kill switches. What is made here is the tenant's own.

Of the operator's flags a tenant sees what they are and not their rules, which may name other tenants.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from msgspec import json
from pydantic import BaseModel, Field
from starlette.responses import Response

from tenfold.console.api_parts import CONFLICT, MISSING, PROBLEMS, Body, OwnerWord, PageSize, Word, bearer
from tenfold.console.services import ConsoleServices, FlagService
from tenfold.core.principal import SCOPE_FLAGS, Principal
from tenfold.rollout.definitions import rules_as_given
from tenfold.rollout.types import Change, Flag, Kill

Reason = Annotated[str, Field(max_length=1000, description="Why; for the log.")]
ReasonQuery = Annotated[str, Query(max_length=1000, description="Why; for the log.")]
Holder = Literal["installation", "tenant"]


class ConditionBody(Body):
    attribute: Word = Field(description="Of the context: targetingKey, tenant, plan, or any other.")
    equals: Any = Field(None, description="A text, number or boolean.")
    one_of: list[Any] | None = Field(None, description="In place of equals: any of these.")


class SplitBody(Body):
    weights: dict[str, int] = Field(description="Of variants, in relation to each other.")
    by: Word | None = Field(None, description="The attribute whose value it sticks to; left out: targetingKey.")


class RuleBody(Body):
    conditions: list[ConditionBody] = Field(default=[], description="All must hold; none: every context.")
    variant: Word | None = None
    split: SplitBody | None = Field(None, description="In place of variant.")


class NewFlagBody(Body):
    key: Word
    type: Word = Field(description="boolean, string, number or object.")
    variants: dict[str, Any] | None = Field(None, description="Values by name; left out for booleans: on and off.")
    default_variant: Word | None = Field(None, description="Left out for booleans: off.")
    rules: list[RuleBody] = Field(default=[], description="The first whose conditions hold decides.")
    enabled: bool = True
    description: Word = ""
    reason: Reason = ""


class ChangeFlagBody(Body):
    variants: dict[str, Any] | None = None
    default_variant: Word | None = None
    rules: list[RuleBody] | None = None
    enabled: bool | None = None
    description: Word | None = None
    reason: Reason = ""


class FlagBody(BaseModel):
    key: str
    type: str
    variants: dict[str, Any]
    default_variant: str
    rules: list[dict[str, Any]] | None = Field(description="Null for a flag of the whole installation.")
    enabled: bool
    description: str
    owner: OwnerWord
    holds_for: Holder
    revision: int
    created_at: datetime
    updated_at: datetime


class FlagsPage(BaseModel):
    data: list[FlagBody]
    next_cursor: str | None


class NewKillBody(Body):
    scope: Word = Field(description="feature or model.")
    subject: Word = Field(description="Its name.")
    reason: Reason = ""


class KillBody(BaseModel):
    id: str
    scope: str
    subject: str
    reason: str
    owner: OwnerWord
    holds_for: Holder
    created_at: datetime


class KillsPage(BaseModel):
    data: list[KillBody]
    next_cursor: str | None


class ChangeBody(BaseModel):
    id: str
    at: datetime
    actor: str = Field(description="key:<id>, user:<id> or operator.")
    kind: str = Field(description="flag or kill.")
    subject: str
    action: str = Field(description="created, changed or ended.")
    before: Any
    after: Any
    reason: str


class ChangesPage(BaseModel):
    data: list[ChangeBody]
    next_cursor: str | None


def flag_api_routes(services: ConsoleServices, flags: FlagService) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", responses=PROBLEMS, tags=["flags"])
    caller = Annotated[Principal, Depends(bearer(services))]

    @routes.get("/flags", summary="List the flags that the tenant can see")
    async def list_flags(who: caller, cursor: str | None = None, limit: PageSize = 20) -> FlagsPage:
        who.require(SCOPE_FLAGS)
        page = await flags.list(who.tenant_id, cursor=cursor, limit=limit)
        return FlagsPage(data=[_flag(each) for each in page.items], next_cursor=page.cursor)

    @routes.post("/flags", status_code=201, summary="Create a flag", responses=CONFLICT)
    async def create_flag(body: NewFlagBody, who: caller) -> FlagBody:
        who.require(SCOPE_FLAGS)
        created = await flags.create(
            who.tenant_id,
            body.key,
            type=body.type,
            variants=body.variants,
            default_variant=body.default_variant,
            rules=_rules(body.rules) or (),
            enabled=body.enabled,
            description=body.description,
            reason=body.reason,
            actor=_actor(who),
        )
        return _flag(created)

    @routes.get("/flags/{key}", summary="Show a flag", responses=MISSING)
    async def show_flag(key: str, who: caller) -> FlagBody:
        who.require(SCOPE_FLAGS)
        return _flag(await flags.show(who.tenant_id, key))

    @routes.patch("/flags/{key}", summary="Change a flag", responses=MISSING | CONFLICT)
    async def change_flag(key: str, body: ChangeFlagBody, who: caller) -> FlagBody:
        who.require(SCOPE_FLAGS)
        changed = await flags.change(
            who.tenant_id,
            key,
            variants=body.variants,
            default_variant=body.default_variant,
            rules=_rules(body.rules),
            enabled=body.enabled,
            description=body.description,
            reason=body.reason,
            actor=_actor(who),
        )
        return _flag(changed)

    @routes.delete("/flags/{key}", status_code=204, summary="End a flag", responses=MISSING | CONFLICT)
    async def end_flag(key: str, who: caller, reason: ReasonQuery = "") -> Response:
        who.require(SCOPE_FLAGS)
        await flags.end(who.tenant_id, key, reason=reason, actor=_actor(who))
        return Response(status_code=204)

    @routes.get("/kills", summary="List the switches that are thrown for the tenant")
    async def list_kills(who: caller, cursor: str | None = None, limit: PageSize = 20) -> KillsPage:
        who.require(SCOPE_FLAGS)
        page = await flags.kills(who.tenant_id, cursor=cursor, limit=limit)
        return KillsPage(data=[_kill(each) for each in page.items], next_cursor=page.cursor)

    @routes.post("/kills", status_code=201, summary="Switch off a feature or model", responses=CONFLICT)
    async def create_kill(body: NewKillBody, who: caller) -> KillBody:
        who.require(SCOPE_FLAGS)
        kill = await flags.kill(
            who.tenant_id, scope=body.scope, subject=body.subject, reason=body.reason, actor=_actor(who)
        )
        return _kill(kill)

    @routes.delete("/kills/{kill_id}", status_code=204, summary="Switch it on again", responses=MISSING)
    async def end_kill(kill_id: str, who: caller, reason: ReasonQuery = "") -> Response:
        who.require(SCOPE_FLAGS)
        await flags.end_kill(who.tenant_id, kill_id, reason=reason, actor=_actor(who))
        return Response(status_code=204)

    @routes.get("/flag-changes", summary="List who changed which flag and switch of the tenant")
    async def list_changes(
        who: caller,
        subject: Annotated[
            str | None, Query(max_length=300, description="A flag's key, or such as feature:search.")
        ] = None,
        cursor: str | None = None,
        limit: PageSize = 20,
    ) -> ChangesPage:
        who.require(SCOPE_FLAGS)
        page = await flags.changes(who.tenant_id, subject=subject, cursor=cursor, limit=limit)
        return ChangesPage(data=[_change(each) for each in page.items], next_cursor=page.cursor)

    return routes


def _rules(rules: list[RuleBody] | None) -> list[object] | None:
    return None if rules is None else [rule.model_dump() for rule in rules]


def _actor(who: Principal) -> str:
    return f"key:{who.key_id}" if who.key_id is not None else f"user:{who.user_id}"


def _flag(flag: Flag) -> FlagBody:
    definition = flag.definition
    return FlagBody(
        key=flag.key,
        type=definition.type,
        variants=definition.variants,
        default_variant=definition.default_variant,
        rules=None if flag.tenant_id is None else rules_as_given(definition),
        enabled=definition.enabled,
        description=definition.description,
        owner=flag.owner,
        holds_for="installation" if flag.tenant_id is None else "tenant",
        revision=flag.revision,
        created_at=flag.created_at,
        updated_at=flag.updated_at,
    )


def _kill(kill: Kill) -> KillBody:
    return KillBody(
        id=str(kill.id),
        scope=kill.scope,
        subject=kill.subject,
        reason=kill.reason,
        owner=kill.owner,
        holds_for="installation" if kill.tenant_id is None else "tenant",
        created_at=kill.created_at,
    )


def _change(change: Change) -> ChangeBody:
    return ChangeBody(
        id=str(change.id),
        at=change.at,
        actor="operator" if change.owner == "operator" else change.actor,  # not whom the operator employs
        kind=change.kind,
        subject=change.subject,
        action=change.action,
        before=None if change.before is None else json.decode(change.before),
        after=None if change.after is None else json.decode(change.after),
        reason=change.reason,
    )
