"""What a flag may say: checks of keys, variants and rules as people and programs hand them in. Pure."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from msgspec import json

from tenfold.core.errors import InvalidRequest
from tenfold.core.inputs import one_of
from tenfold.rollout.assign import MAX_WEIGHT
from tenfold.rollout.types import (
    FLAG_TYPES,
    MAX_CHOICES,
    MAX_CONDITIONS,
    MAX_DEFINITION_BYTES,
    MAX_DEPTH,
    MAX_RULES,
    MAX_TEXT_CHARS,
    MAX_VARIANTS,
    MAX_WORD_CHARS,
    TARGETING_KEY,
    Condition,
    Definition,
    FlagType,
    Rule,
    Scalar,
    Split,
)

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_MAX_SAFE = 2**53 - 1  # larger whole numbers lose digits in JavaScript (RFC 8259, section 6)
_BOOLEANS: Mapping[str, Any] = {"on": True, "off": False}


def is_flag_key(text: str) -> bool:
    return _KEY.fullmatch(text) is not None


def flag_key(text: str) -> str:
    """Raises InvalidRequest."""
    if not is_flag_key(text):
        raise InvalidRequest(
            "A key has 1 to 128 letters, digits and the signs . _ : - and begins with a letter or digit.", param="key"
        )
    return text


def definition_of(
    *,
    type: str,  # noqa: A002  # its name on the wire
    variants: Mapping[str, Any] | None,
    default_variant: str | None,
    rules: Sequence[object],
    enabled: bool,
    description: str,
) -> Definition:
    """A boolean flag needs no variants: they are `on` and `off`, and `off` is the default. Raises InvalidRequest with
    the path of what is wrong."""
    known = one_of(type, FLAG_TYPES, "type")
    if not variants:
        if known != "boolean":
            raise InvalidRequest(f"A flag of the type {known} has variants.", param="variants")
        variants, default_variant = _BOOLEANS, default_variant or "off"
    if len(variants) > MAX_VARIANTS:
        raise InvalidRequest(f"A flag has at most {MAX_VARIANTS} variants.", param="variants")
    for name, value in variants.items():
        _word(name, "variants")
        _check_value(known, value, f"variants.{name}")
    if default_variant is None or default_variant not in variants:
        raise InvalidRequest("The default is one of the variants.", param="default_variant")
    if len(rules) > MAX_RULES:
        raise InvalidRequest(f"A flag has at most {MAX_RULES} rules.", param="rules")
    definition = Definition(
        type=known,
        variants=dict(variants),
        default_variant=default_variant,
        rules=tuple(_rule(rule, variants, f"rules[{number}]") for number, rule in enumerate(rules)),
        enabled=enabled,
        description=text_of(description, "description"),
    )
    if len(json.encode(definition)) > MAX_DEFINITION_BYTES:
        raise InvalidRequest(f"A flag has at most {MAX_DEFINITION_BYTES} bytes of JSON.", param="variants")
    return definition


def rules_as_given(definition: Definition) -> list[dict[str, Any]]:
    """The rules as `definition_of` takes them."""
    return [_rule_as_given(rule) for rule in definition.rules]


def text_of(text: str, param: str) -> str:
    """Of at most 500 characters, which may have several lines. Raises InvalidRequest."""
    if len(text) > MAX_TEXT_CHARS or "\x00" in text or not _is_text(text):
        raise InvalidRequest(f"`{param}` has at most {MAX_TEXT_CHARS} characters.", param=param)
    return text


# -- values ----------------------------------------------------------------------------------


def _check_value(type: FlagType, value: object, param: str) -> None:  # noqa: A002
    fits = {
        "boolean": isinstance(value, bool),
        "string": isinstance(value, str),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
        "object": isinstance(value, dict | list),
    }[type]
    if not fits:
        raise InvalidRequest(f"A variant of this flag is a JSON {type}.", param=param)
    _check_json(value, param, MAX_DEPTH)


def _check_json(value: object, param: str, depth: int) -> None:
    if depth == 0:
        raise InvalidRequest(f"A value is nested {MAX_DEPTH} levels deep at most.", param=param)
    if isinstance(value, dict):
        for name, member in value.items():
            if not isinstance(name, str) or not _is_text(name):
                raise InvalidRequest("The name of a member is text.", param=param)
            _check_json(member, param, depth - 1)
    elif isinstance(value, list | tuple):
        for member in value:
            _check_json(member, param, depth - 1)
    elif value is not None:
        _scalar(value, param)


def _scalar(value: object, param: str) -> Scalar:
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) <= _MAX_SAFE:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, str) and _is_text(value):
        return value
    raise InvalidRequest("This is no text, true, false, or number of at most 2^53 that JSON has.", param=param)


def _is_text(text: str) -> bool:
    """Lone surrogates are not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _word(value: object, param: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_WORD_CHARS or not _is_text(value):
        raise InvalidRequest(f"A name has 1 to {MAX_WORD_CHARS} characters.", param=param)
    return value


# -- rules -----------------------------------------------------------------------------------


def _rule(given: object, variants: Mapping[str, Any], param: str) -> Rule:
    members = _members(given, {"conditions", "variant", "split"}, param)
    conditions = members.get("conditions") or []
    if not isinstance(conditions, list | tuple) or len(conditions) > MAX_CONDITIONS:
        raise InvalidRequest(f"Conditions are a list of at most {MAX_CONDITIONS}.", param=f"{param}.conditions")
    known = tuple(_condition(each, f"{param}.conditions[{number}]") for number, each in enumerate(conditions))
    variant, split = members.get("variant"), members.get("split")
    if (variant is None) == (split is None):
        raise InvalidRequest("A rule has either a variant or a split.", param=param)
    if split is not None:
        return Rule(conditions=known, split=_split(split, variants, f"{param}.split"))
    if not isinstance(variant, str) or variant not in variants:
        raise InvalidRequest("A rule names one of the variants.", param=f"{param}.variant")
    return Rule(conditions=known, variant=variant)


def _condition(given: object, param: str) -> Condition:
    members = _members(given, {"attribute", "equals", "one_of"}, param)
    attribute = _word(members.get("attribute"), f"{param}.attribute")
    if (members.get("equals") is None) == (members.get("one_of") is None):
        raise InvalidRequest("A condition has either `equals` or `one_of`.", param=param)
    choices = members["one_of"] if members.get("equals") is None else [members["equals"]]
    if not isinstance(choices, list | tuple) or not 1 <= len(choices) <= MAX_CHOICES:
        raise InvalidRequest(f"`one_of` is a list of 1 to {MAX_CHOICES}.", param=f"{param}.one_of")
    return Condition(attribute=attribute, one_of=tuple(_scalar(choice, f"{param}.one_of") for choice in choices))


def _split(given: object, variants: Mapping[str, Any], param: str) -> Split:
    members = _members(given, {"weights", "by"}, param)
    weights = members.get("weights")
    if not isinstance(weights, dict) or not weights:
        raise InvalidRequest('A split has weights, such as {"on": 10, "off": 90}.', param=f"{param}.weights")
    for name, weight in weights.items():
        if name not in variants:
            raise InvalidRequest("A split names variants.", param=f"{param}.weights")
        if type(weight) is not int or not 0 <= weight <= MAX_WEIGHT:
            raise InvalidRequest(f"A weight is a whole number from 0 to {MAX_WEIGHT}.", param=f"{param}.weights.{name}")
    if not any(weights.values()):
        raise InvalidRequest("A split has one weight above 0 at least.", param=f"{param}.weights")
    by = members.get("by")
    return Split(weights=dict(weights), by=TARGETING_KEY if by is None else _word(by, f"{param}.by"))


def _members(given: object, known: set[str], param: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise InvalidRequest("This is a JSON object.", param=param)
    unknown = [str(name)[:40] for name in given if name not in known]
    if unknown:
        raise InvalidRequest(f"Nothing is known of `{unknown[0]}`; there are {', '.join(sorted(known))}.", param=param)
    return cast("dict[str, Any]", given)


def _rule_as_given(rule: Rule) -> dict[str, Any]:
    conditions = [{"attribute": each.attribute, "one_of": list(each.one_of)} for each in rule.conditions]
    if rule.split is None:
        return {"conditions": conditions, "variant": rule.variant}
    return {"conditions": conditions, "split": {"by": rule.split.by, "weights": rule.split.weights}}
