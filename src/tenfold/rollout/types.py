"""The values of rollout: feature flags, kill switches, and what is known of who changed them.

Flags have the semantics of OpenFeature (openfeature.dev/specification): a key, variants of one type, a default variant,
rules in order. What a flag says of a context is in `evaluation`, which variant a unit gets in a split in `assign`.
"""

from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

from msgspec import Struct

from tenfold.core.ids import TenantId

FlagType = Literal["boolean", "string", "number", "object"]
Scope = Literal["tenant", "feature", "model", "provider"]
Owner = Literal["operator", "tenant"]
Subject = Literal["flag", "kill"]
Action = Literal["created", "changed", "ended"]

FLAG_TYPES: tuple[FlagType, ...] = get_args(FlagType)
SCOPES: tuple[Scope, ...] = get_args(Scope)
OWNERS: tuple[Owner, ...] = get_args(Owner)

TARGETING_KEY = "targetingKey"
"""The attribute of a context that names the unit: a user's id for one (OpenFeature, requirement 3.1.1)."""

MAX_FLAGS = 500  # of one tenant, and of the installation: all of them are read at once
MAX_KILLS = 500
MAX_DEFINITION_BYTES = 16_384
MAX_FLAG_BYTES = 1_048_576  # of all flags of one tenant, or of the installation
MAX_VARIANTS = 50
MAX_RULES = 100
MAX_CONDITIONS = 20
MAX_CHOICES = 500
MAX_DEPTH = 20
MAX_WORD_CHARS = 256
MAX_TEXT_CHARS = 500

Scalar = bool | int | float | str


class Condition(Struct, frozen=True, kw_only=True):
    """Holds when the context has the attribute, and its value is one of these. Types count: "1" is not 1, nor is true;
    1 and 1.0 are one number."""

    attribute: str
    one_of: tuple[Scalar, ...]


class Split(Struct, frozen=True, kw_only=True):
    """A share for each variant, by weight, sticky by the value of an attribute."""

    weights: dict[str, int]
    by: str = TARGETING_KEY


class Rule(Struct, frozen=True, kw_only=True):
    """For contexts of which all conditions hold: one variant, or a split."""

    conditions: tuple[Condition, ...] = ()
    variant: str | None = None
    split: Split | None = None


class Definition(Struct, frozen=True, kw_only=True):
    """What a flag says. A flag that is not enabled gives its default variant, whatever its rules say."""

    type: FlagType
    variants: dict[str, Any]
    default_variant: str
    rules: tuple[Rule, ...] = ()
    enabled: bool = True
    description: str = ""


class Flag(Struct, frozen=True, kw_only=True):
    """`tenant_id` None: it holds for the whole installation. `revision` counts its changes."""

    id: UUID
    key: str
    tenant_id: TenantId | None = None
    owner: Owner = "tenant"  # only the operator changes the operator's
    definition: Definition
    revision: int = 1
    created_at: datetime
    updated_at: datetime


class Kill(Struct, frozen=True, kw_only=True):
    """A switch that is thrown: no AI for this feature, tenant (its slug), model or provider, until it is ended.
    `tenant_id` None: for all tenants. Tenants can read the reason."""

    id: UUID
    scope: Scope
    subject: str
    reason: str = ""
    tenant_id: TenantId | None = None
    owner: Owner = "operator"
    actor: str = ""
    created_at: datetime


class Change(Struct, frozen=True, kw_only=True):
    """One line of the log of changes, which nobody can alter. `before` and `after` are JSON, None where there was, or
    is, nothing. `actor`: `operator:<login>`, `key:<id>`, `user:<id>`."""

    id: UUID
    at: datetime
    tenant_id: TenantId | None = None
    actor: str
    owner: Owner
    kind: Subject
    subject: str  # a flag's key; scope and subject of a switch, such as "feature:search"
    action: Action
    before: str | None = None
    after: str | None = None
    reason: str = ""


class Rollout(Struct, frozen=True, kw_only=True):
    """All that a process knows of one tenant, or of the installation."""

    flags: tuple[Flag, ...] = ()
    kills: tuple[Kill, ...] = ()


NOTHING = Rollout()


class FlagPage(Struct, frozen=True, kw_only=True):
    """The newest first. `cursor` asks for the page after this one; None on the last."""

    items: list[Flag]
    cursor: str | None = None


class KillPage(Struct, frozen=True, kw_only=True):
    """The newest first."""

    items: list[Kill]
    cursor: str | None = None


class ChangePage(Struct, frozen=True, kw_only=True):
    """The newest first."""

    items: list[Change]
    cursor: str | None = None
