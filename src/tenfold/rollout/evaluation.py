"""What a flag says of a context: a pure function, without I/O and without a clock.

Reasons and error codes are OpenFeature's (openfeature.dev/specification/types). Evaluation never raises: what is wrong
is told in the result, and whoever asked goes on with a default of its own.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from msgspec import Struct

from tenfold.rollout.assign import assign
from tenfold.rollout.types import TARGETING_KEY, Condition, Flag, FlagType, Rule, Split

Reason = Literal["STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "DEFAULT", "ERROR"]
ErrorCode = Literal[
    "FLAG_NOT_FOUND", "TYPE_MISMATCH", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "PARSE_ERROR", "GENERAL"
]

MAX_ATTRIBUTES = 200
MAX_UNIT_CHARS = 1000

Context = Mapping[str, Any]


class Evaluation(Struct, frozen=True, kw_only=True):
    """`value` and `variant` are None where `error_code` is not."""

    key: str
    value: Any = None
    variant: str | None = None
    reason: Reason
    error_code: ErrorCode | None = None
    error_details: str | None = None
    flag: Flag | None = None  # what was evaluated


class _Failed(Exception):
    def __init__(self, code: ErrorCode, details: str) -> None:
        self.code: ErrorCode = code
        self.details = details


def evaluate(key: str, flag: Flag | None, context: Context, expected: FlagType | None = None) -> Evaluation:
    """The flag's value for this context. `expected` is the type that the asker can use; None: any."""
    if flag is None:
        return failed(key, "FLAG_NOT_FOUND", "There is no such flag.")
    definition = flag.definition
    if expected is not None and definition.type != expected:
        return failed(key, "TYPE_MISMATCH", f"The flag is of the type {definition.type}, not {expected}.")
    problem = problem_of(context)
    if problem is not None:
        return failed(key, "INVALID_CONTEXT", problem)
    try:
        variant, reason = _resolve(flag, context)
    except _Failed as failure:
        return failed(key, failure.code, failure.details)
    return Evaluation(key=key, value=definition.variants[variant], variant=variant, reason=reason, flag=flag)


def failed(key: str, code: ErrorCode, details: str) -> Evaluation:
    return Evaluation(key=key, reason="ERROR", error_code=code, error_details=details)


def problem_of(context: Context) -> str | None:
    """Why this is no context; None when it is one. The SDKs put whatever they are given in there: attributes that no
    rule asks for may be anything."""
    unit = context.get(TARGETING_KEY)
    if unit is not None and not isinstance(unit, str):
        return f"`{TARGETING_KEY}` is a string."
    if unit is not None and len(unit) > MAX_UNIT_CHARS:
        return f"`{TARGETING_KEY}` has at most {MAX_UNIT_CHARS} characters."
    if len(context) > MAX_ATTRIBUTES:
        return f"A context has at most {MAX_ATTRIBUTES} attributes."
    return None


def effective(installation: Iterable[Flag], tenant: Iterable[Flag]) -> dict[str, Flag]:
    """The flags that hold for a tenant, by key. Of one key, what the operator set for this tenant goes before what it
    set for all, and that before the tenant's own."""
    own = list(tenant)
    return {
        flag.key: flag
        for flags in (
            (flag for flag in own if flag.owner == "tenant"),
            installation,
            (flag for flag in own if flag.owner == "operator"),
        )
        for flag in flags
    }


def known_context(context: Context, *, tenant: str, plan: str | None) -> dict[str, Any]:
    """The context with what is known of who asks: tenant (its slug) and plan are not a client's to choose."""
    known = {**context, "tenant": tenant, "plan": plan}
    if plan is None:
        del known["plan"]
    return known


def _resolve(flag: Flag, context: Context) -> tuple[str, Reason]:
    definition = flag.definition
    if not definition.enabled:
        return definition.default_variant, "DISABLED"
    if not definition.rules:
        return definition.default_variant, "STATIC"
    for rule in definition.rules:
        if all(_holds(condition, context) for condition in rule.conditions):
            return _decide(flag, rule, context)
    return definition.default_variant, "DEFAULT"


def _holds(condition: Condition, context: Context) -> bool:
    value = context.get(condition.attribute)
    return any(_same(value, choice) for choice in condition.one_of)


def _same(value: object, choice: object) -> bool:
    # To Python, true is 1.
    return isinstance(value, bool) == isinstance(choice, bool) and value == choice


def _decide(flag: Flag, rule: Rule, context: Context) -> tuple[str, Reason]:
    if rule.split is None:
        assert rule.variant is not None
        return rule.variant, "TARGETING_MATCH"
    unit = _unit(rule.split, context)
    # The salt is the key alone: rules may be put in another order, and nobody moves.
    return assign(unit, flag.key, list(rule.split.weights.items())), "SPLIT"


def _unit(split: Split, context: Context) -> str:
    value = context.get(split.by)
    if isinstance(value, str) and value:
        if len(value) > MAX_UNIT_CHARS:
            raise _Failed("INVALID_CONTEXT", f"`{split.by}` has at most {MAX_UNIT_CHARS} characters.")
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return str(value)
    if split.by == TARGETING_KEY:
        raise _Failed("TARGETING_KEY_MISSING", f"This flag splits by `{TARGETING_KEY}`, and the context has none.")
    raise _Failed("INVALID_CONTEXT", f"This flag splits by `{split.by}`: it must be a string or a whole number.")
