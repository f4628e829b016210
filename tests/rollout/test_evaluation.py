"""What a flag says: OpenFeature's reasons and error codes, rule by rule."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.ids import TenantId, uuid7
from tenfold.rollout.definitions import definition_of
from tenfold.rollout.evaluation import Evaluation, effective, evaluate, known_context
from tenfold.rollout.types import Flag, FlagType, Owner

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ACME = TenantId(uuid7())


def flag(
    *,
    key: str = "f",
    rules: list[Any] | None = None,
    tenant_id: TenantId | None = None,
    owner: Owner = "operator",
    type: str = "boolean",  # noqa: A002
    variants: dict[str, Any] | None = None,
    default: str | None = None,
    enabled: bool = True,
) -> Flag:
    definition = definition_of(
        type=type, variants=variants, default_variant=default, rules=rules or [], enabled=enabled, description=""
    )
    return Flag(
        id=uuid7(), key=key, tenant_id=tenant_id, owner=owner, definition=definition, created_at=NOW, updated_at=NOW
    )


def when(attribute: str, *choices: object, variant: str = "on") -> dict[str, Any]:
    return {"conditions": [{"attribute": attribute, "one_of": list(choices)}], "variant": variant}


def said(found: Evaluation) -> tuple[object, object, object, object]:
    return found.value, found.variant, found.reason, found.error_code


def test_a_flag_without_rules_is_static() -> None:
    assert said(evaluate("f", flag(), {})) == (False, "off", "STATIC", None)


def test_a_flag_that_is_disabled_gives_its_default() -> None:
    assert said(evaluate("f", flag(rules=[{"variant": "on"}], enabled=False), {})) == (False, "off", "DISABLED", None)


def test_the_first_rule_that_holds_decides() -> None:
    rules = [when("plan", "free", variant="off"), when("plan", "free", "pro")]
    assert said(evaluate("f", flag(rules=rules), {"plan": "pro"})) == (True, "on", "TARGETING_MATCH", None)
    assert said(evaluate("f", flag(rules=rules), {"plan": "free"})) == (False, "off", "TARGETING_MATCH", None)
    assert said(evaluate("f", flag(rules=rules), {"plan": "team"})) == (False, "off", "DEFAULT", None)
    assert said(evaluate("f", flag(rules=rules), {})) == (False, "off", "DEFAULT", None)


def test_all_conditions_of_a_rule_must_hold() -> None:
    rule = {
        "conditions": [{"attribute": "plan", "equals": "pro"}, {"attribute": "user", "equals": "ada"}],
        "variant": "on",
    }
    assert evaluate("f", flag(rules=[rule]), {"plan": "pro", "user": "ada"}).value is True
    assert evaluate("f", flag(rules=[rule]), {"plan": "pro", "user": "bob"}).value is False


@pytest.mark.parametrize(
    ("choice", "value", "holds"),
    [
        ("1", 1, False),
        (1, "1", False),
        (1, 1.0, True),
        (1, True, False),
        (True, 1, False),
        (True, True, True),
        (0, False, False),
        ("a", ["a"], False),
        ("a", {"a": 1}, False),
        ("", None, False),
        ("", "", True),
    ],
)
def test_types_count(choice: object, value: object, holds: bool) -> None:
    assert evaluate("f", flag(rules=[when("x", choice)]), {"x": value}).value is holds


def test_a_split_sticks_to_the_unit() -> None:
    split = flag(rules=[{"split": {"weights": {"on": 50, "off": 50}}}])
    found = [evaluate("f", split, {"targetingKey": f"u{number}"}) for number in range(200)]
    assert {each.reason for each in found} == {"SPLIT"}
    assert 50 < sum(each.value for each in found) < 150
    assert found == [evaluate("f", split, {"targetingKey": f"u{number}", "more": 1}) for number in range(200)]


def test_a_split_may_stick_to_another_attribute() -> None:
    split = flag(rules=[{"split": {"weights": {"on": 50, "off": 50}, "by": "tenant"}}])
    for tenant in ("acme", "globex", "initech"):
        values = {evaluate("f", split, {"tenant": tenant, "targetingKey": f"u{number}"}).value for number in range(20)}
        assert len(values) == 1
    assert evaluate("f", split, {"tenant": 7}).reason == "SPLIT"


def test_two_flags_split_independently() -> None:
    rules = [{"split": {"weights": {"on": 50, "off": 50}}}]
    both = [
        (evaluate("a", flag(key="a", rules=rules), unit).value, evaluate("b", flag(key="b", rules=rules), unit).value)
        for unit in ({"targetingKey": f"u{number}"} for number in range(400))
    ]
    assert all(50 < both.count(pair) < 150 for pair in ((True, True), (True, False), (False, True), (False, False)))


@pytest.mark.parametrize(
    ("rules", "context", "code"),
    [
        ([{"split": {"weights": {"on": 1}}}], {}, "TARGETING_KEY_MISSING"),
        ([{"split": {"weights": {"on": 1}}}], {"targetingKey": ""}, "TARGETING_KEY_MISSING"),
        ([{"split": {"weights": {"on": 1}, "by": "user"}}], {"targetingKey": "u"}, "INVALID_CONTEXT"),
        ([{"split": {"weights": {"on": 1}, "by": "user"}}], {"user": True}, "INVALID_CONTEXT"),
        ([{"split": {"weights": {"on": 1}, "by": "user"}}], {"user": "x" * 1001}, "INVALID_CONTEXT"),
        ([], {"targetingKey": 7}, "INVALID_CONTEXT"),
        ([], {"targetingKey": "x" * 1001}, "INVALID_CONTEXT"),
        ([], {str(number): 1 for number in range(201)}, "INVALID_CONTEXT"),
    ],
)
def test_contexts_that_are_none(rules: list[Any], context: dict[str, Any], code: str) -> None:
    assert said(evaluate("f", flag(rules=rules), context)) == (None, None, "ERROR", code)


def test_a_flag_that_is_not_there() -> None:
    assert said(evaluate("f", None, {})) == (None, None, "ERROR", "FLAG_NOT_FOUND")


@pytest.mark.parametrize("type_", ["string", "number", "object"])
def test_the_wrong_type(type_: FlagType) -> None:
    assert said(evaluate("f", flag(), {}, type_)) == (None, None, "ERROR", "TYPE_MISMATCH")
    assert evaluate("f", flag(), {}, "boolean").error_code is None


@pytest.mark.parametrize(
    ("type_", "value"), [("string", "x"), ("number", 1), ("number", 1.5), ("object", {"a": [1]}), ("object", [1])]
)
def test_values_of_every_type(type_: str, value: object) -> None:
    assert evaluate("f", flag(type=type_, variants={"v": value}, default="v"), {}).value == value


def test_of_one_key_the_operators_goes_before() -> None:
    everybodys = flag()
    own, set_for_it = flag(tenant_id=ACME, owner="tenant"), flag(tenant_id=ACME)
    assert effective([everybodys], [own]) == {"f": everybodys}
    assert effective([everybodys], [set_for_it]) == {"f": set_for_it}
    assert effective([], [own]) == {"f": own}
    assert effective([everybodys], [flag(key="g", tenant_id=ACME, owner="tenant")]).keys() == {"f", "g"}


def test_who_asks_is_not_the_contexts_to_say() -> None:
    told = {"tenant": "globex", "plan": "enterprise", "user": "ada"}
    assert known_context(told, tenant="acme", plan=None) == {"tenant": "acme", "user": "ada"}
    assert known_context(told, tenant="acme", plan="free") == {"tenant": "acme", "plan": "free", "user": "ada"}


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)


@given(st.dictionaries(st.sampled_from(["targetingKey", "plan", "x"]) | st.text(), values))
def test_any_context_has_an_answer(context: dict[str, Any]) -> None:
    rules = [when("plan", "pro", 1, True), {"split": {"weights": {"on": 1, "off": 2}, "by": "x"}}]
    found = evaluate("f", flag(rules=rules), context)
    assert (found.reason == "ERROR") == (found.error_code is not None)
    assert found.value is None if found.error_code else found.value in (True, False)
    assert evaluate("f", flag(rules=rules), context).value == found.value
