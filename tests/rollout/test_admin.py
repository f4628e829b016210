"""Setting flags and switches: what is refused, who may change what, and the log, at rest in memory and in Postgres."""

from typing import Any

import asyncpg
import pytest

from tenfold.core.clock import FakeClock
from tenfold.core.errors import Conflict, InvalidRequest, NotFound, PermissionDenied, StoreUnavailable
from tenfold.core.ids import TenantId, uuid7
from tenfold.rollout import types
from tenfold.rollout.fake import FakeRolloutRows
from tenfold.rollout.handlers import FlagAdmin
from tenfold.rollout.ports import RolloutRows
from tenfold.rollout.queries import PostgresRolloutRows
from tenfold.rollout.types import Owner, Rollout
from tenfold.store import Store

Tenants = tuple[TenantId, TenantId]
BOOLEAN: dict[str, Any] = {"type": "boolean", "actor": "key:1"}
OBJECT: dict[str, Any] = {
    "type": "object",
    "variants": {"small": {"model": "haiku", "top": [1, 2.5, None, True]}, "large": {}},
    "default_variant": "small",
    "rules": [
        {"conditions": [{"attribute": "plan", "one_of": ["pro", 7, True]}], "variant": "large"},
        {"split": {"weights": {"small": 90, "large": 10}, "by": "tenant"}},
    ],
    "description": "Which model\nanswers 🙂",
    "actor": "key:1",
}
OPERATOR: dict[str, Any] = {"actor": "operator:ada", "by": "operator"}


# -- flags -----------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [BOOLEAN, OBJECT])
async def test_a_flag_comes_back_as_it_was_set(
    admin: FlagAdmin, rows: RolloutRows, tenants: Tenants, asked: dict[str, Any]
) -> None:
    flag = await admin.create(tenants[0], "answers.model", **asked)
    assert (flag.owner, flag.revision, flag.tenant_id) == ("tenant", 1, tenants[0])
    assert await admin.show(tenants[0], "answers.model") == flag
    assert (await admin.list(tenants[0])).items == [flag]
    assert await rows.read(tenants[0]) == Rollout(flags=(flag,))
    assert await rows.read(None) == Rollout()


async def test_another_tenant_sees_nothing_of_it(admin: FlagAdmin, rows: RolloutRows, tenants: Tenants) -> None:
    acme, other = tenants
    await admin.create(acme, "f", **BOOLEAN)
    kill = await admin.kill(acme, scope="feature", subject="search", actor="key:1")
    assert await rows.read(other) == Rollout()
    for page in (await admin.list(other), await admin.kills(other), await admin.changes(other)):
        assert page.items == []
    for missing in (
        admin.show(other, "f"),
        admin.change(other, "f", enabled=False, actor="key:2"),
        admin.end(other, "f", actor="key:2"),
        admin.end_kill(other, kill.id, actor="key:2"),
    ):
        with pytest.raises(NotFound):
            await missing
    await admin.create(other, "f", **BOOLEAN)  # its own of the same name
    assert (await admin.list(acme)).items != (await admin.list(other)).items


async def test_the_operators_flags_are_seen_by_all_and_changed_by_none(admin: FlagAdmin, tenants: Tenants) -> None:
    flag = await admin.create(None, "f", type="boolean", **OPERATOR)
    assert (flag.tenant_id, flag.owner) == (None, "operator")
    for tenant_id in tenants:
        assert await admin.show(tenant_id, "f") == flag
        assert (await admin.list(tenant_id)).items == [flag]
        with pytest.raises(PermissionDenied):
            await admin.change(tenant_id, "f", enabled=False, actor="key:1")
        with pytest.raises(PermissionDenied):
            await admin.end(tenant_id, "f", actor="key:1")
        with pytest.raises(Conflict):
            await admin.create(tenant_id, "f", **BOOLEAN)
    with pytest.raises(PermissionDenied):
        await admin.create(None, "g", **BOOLEAN)
    with pytest.raises(PermissionDenied):
        await admin.end(None, "f", actor="key:1")
    await admin.end(None, "f", **OPERATOR)
    with pytest.raises(NotFound):
        await admin.show(tenants[0], "f")


async def test_what_the_operator_set_for_one_tenant(admin: FlagAdmin, tenants: Tenants) -> None:
    acme, other = tenants
    everybodys = await admin.create(None, "f", type="boolean", **OPERATOR)
    ours = await admin.create(acme, "f", type="string", variants={"a": "b"}, default_variant="a", **OPERATOR)
    assert await admin.show(acme, "f") == ours
    assert await admin.show(other, "f") == everybodys
    with pytest.raises(PermissionDenied):
        await admin.change(acme, "f", enabled=False, actor="key:1")
    own = await admin.create(acme, "own", **BOOLEAN)
    changed = await admin.change(acme, "own", enabled=False, **OPERATOR)
    assert (changed.owner, changed.id) == ("tenant", own.id)


async def test_a_tenants_own_flag_steps_back_behind_a_later_one_of_the_operator(
    admin: FlagAdmin, tenants: Tenants
) -> None:
    await admin.create(tenants[0], "f", **BOOLEAN)
    everybodys = await admin.create(None, "f", type="boolean", **OPERATOR)
    assert await admin.show(tenants[0], "f") == everybodys
    await admin.change(tenants[0], "f", enabled=False, actor="key:1")  # its own still


async def test_what_is_not_named_stays(admin: FlagAdmin, tenants: Tenants) -> None:
    flag = await admin.create(tenants[0], "f", **OBJECT)
    changed = await admin.change(tenants[0], "f", enabled=False, actor="key:1")
    assert changed.revision == 2
    assert changed.definition.enabled is False
    assert changed.definition.rules == flag.definition.rules
    assert changed.definition.variants == flag.definition.variants
    changed = await admin.change(tenants[0], "f", rules=[], default_variant="large", actor="key:1")
    assert (changed.definition.rules, changed.definition.default_variant) == ((), "large")
    assert await admin.show(tenants[0], "f") == changed


async def test_the_same_again_is_no_change(admin: FlagAdmin, tenants: Tenants) -> None:
    flag = await admin.create(tenants[0], "f", **OBJECT)
    for _ in range(2):
        assert await admin.change(tenants[0], "f", enabled=True, rules=OBJECT["rules"], actor="key:1") == flag
    assert len((await admin.changes(tenants[0])).items) == 1
    await admin.end(tenants[0], "f", actor="key:1")
    with pytest.raises(NotFound):
        await admin.end(tenants[0], "f", actor="key:1")
    assert len((await admin.changes(tenants[0])).items) == 2
    with pytest.raises(NotFound):
        await admin.change(tenants[0], "f", enabled=False, actor="key:1")


async def test_a_key_is_taken_once(admin: FlagAdmin, tenants: Tenants) -> None:
    await admin.create(tenants[0], "f", **BOOLEAN)
    with pytest.raises(Conflict):
        await admin.create(tenants[0], "f", **BOOLEAN)
    await admin.end(tenants[0], "f", actor="key:1")
    await admin.create(tenants[0], "f", **BOOLEAN)


async def test_of_two_changes_at_once_one_looks_again(rows: RolloutRows, tenants: Tenants) -> None:
    admin = FlagAdmin(rows, FakeClock())
    flag = await admin.create(tenants[0], "f", **BOOLEAN)
    change = (await admin.changes(tenants[0])).items[0]
    await admin.change(tenants[0], "f", enabled=False, actor="key:1")
    late = types.Flag(
        id=flag.id,
        key="f",
        tenant_id=tenants[0],
        definition=flag.definition,
        revision=2,
        created_at=flag.created_at,
        updated_at=flag.updated_at,
    )
    again = types.Change(
        id=uuid7(),
        at=change.at,
        tenant_id=tenants[0],
        actor="key:2",
        owner="tenant",
        kind="flag",
        subject="f",
        action="changed",
    )
    assert not await rows.change_flag(late, again)
    assert not await rows.end_flag(flag, again)
    assert len((await admin.changes(tenants[0])).items) == 2


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"type": "float"}, "type"),
        ({"variants": {}}, "variants"),
        ({"variants": None}, "variants"),
        ({"variants": {"a": "text"}}, "variants.a"),
        ({"variants": {"": {}}}, "variants"),
        ({"variants": {"\ud800": {}}}, "variants"),
        ({"variants": {"x" * 257: {}}}, "variants"),
        ({"variants": {str(number): {} for number in range(51)}}, "variants"),
        ({"variants": {"small": {"a": float("nan")}}}, "variants.small"),
        ({"variants": {"small": {"a": float("inf")}}}, "variants.small"),
        ({"variants": {"small": {"a": 2**53}}}, "variants.small"),
        ({"variants": {"small": {"a": "\ud800"}}}, "variants.small"),
        ({"variants": {"small": {"\ud800": 1}}}, "variants.small"),
        ({"variants": {"small": {"a": "x" * 16_384}, "large": {}}}, "variants"),
        ({"variants": {"other": {}}, "rules": []}, "default_variant"),
        ({"default_variant": "none"}, "default_variant"),
        ({"default_variant": None}, "default_variant"),
        ({"description": "x" * 501}, "description"),
        ({"description": "\ud800"}, "description"),
        ({"reason": "a\x00b"}, "reason"),
        ({"rules": [{}]}, "rules[0]"),
        ({"rules": ["on"]}, "rules[0]"),
        ({"rules": [{"variant": "small", "split": {"weights": {"small": 1}}}]}, "rules[0]"),
        ({"rules": [{"variant": "none"}]}, "rules[0].variant"),
        ({"rules": [{"variant": ["small"]}]}, "rules[0].variant"),
        ({"rules": [{"varaint": "small"}]}, "rules[0]"),
        ({"rules": [{"variant": "small"}] * 101}, "rules"),
        ({"rules": [{"variant": "small", "conditions": "plan"}]}, "rules[0].conditions"),
        ({"rules": [{"variant": "small", "conditions": [{}] * 21}]}, "rules[0].conditions"),
        ({"rules": [{"variant": "small", "conditions": [{"equals": 1}]}]}, "rules[0].conditions[0].attribute"),
        ({"rules": [{"variant": "small", "conditions": [{"attribute": "a"}]}]}, "rules[0].conditions[0]"),
        (
            {"rules": [{"variant": "small", "conditions": [{"attribute": "a", "equals": 1, "one_of": [1]}]}]},
            "rules[0].conditions[0]",
        ),
        (
            {"rules": [{"variant": "small", "conditions": [{"attribute": "a", "one_of": []}]}]},
            "rules[0].conditions[0].one_of",
        ),
        (
            {"rules": [{"variant": "small", "conditions": [{"attribute": "a", "equals": {}}]}]},
            "rules[0].conditions[0].one_of",
        ),
        ({"rules": [{"split": {}}]}, "rules[0].split.weights"),
        ({"rules": [{"split": {"weights": {"none": 1}}}]}, "rules[0].split.weights"),
        ({"rules": [{"split": {"weights": {"small": 0}}}]}, "rules[0].split.weights"),
        ({"rules": [{"split": {"weights": {"small": -1}}}]}, "rules[0].split.weights.small"),
        ({"rules": [{"split": {"weights": {"small": True}}}]}, "rules[0].split.weights.small"),
        ({"rules": [{"split": {"weights": {"small": 1.5}}}]}, "rules[0].split.weights.small"),
        ({"rules": [{"split": {"weights": {"small": 1}, "by": ""}}]}, "rules[0].split.by"),
    ],
)
async def test_flags_that_are_refused(change: dict[str, Any], param: str) -> None:
    admin = FlagAdmin(FakeRolloutRows(), FakeClock())
    with pytest.raises(InvalidRequest) as refused:
        await admin.create(TenantId(uuid7()), "f", **(OBJECT | change))
    assert refused.value.param == param


@pytest.mark.parametrize("key", ["", ".a", "a b", "a/b", "ü", "a\x00", "a\n", "x" * 129])
async def test_keys_that_are_none(admin: FlagAdmin, tenants: Tenants, key: str) -> None:
    with pytest.raises(InvalidRequest):
        await admin.create(tenants[0], key, **BOOLEAN)
    for missing in (admin.show(tenants[0], key), admin.end(tenants[0], key, actor="key:1")):
        with pytest.raises(NotFound):
            await missing


async def test_a_nested_value_has_an_end() -> None:
    admin = FlagAdmin(FakeRolloutRows(), FakeClock())
    value: Any = []
    for _ in range(types.MAX_DEPTH):
        value = [value]
    with pytest.raises(InvalidRequest):
        await admin.create(None, "f", type="object", variants={"v": value}, default_variant="v", **OPERATOR)
    await admin.create(None, "f", type="object", variants={"v": value[0]}, default_variant="v", **OPERATOR)


async def test_flags_have_an_end(admin: FlagAdmin, tenants: Tenants, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("fake", "queries"):
        monkeypatch.setattr(f"tenfold.rollout.{module}.MAX_FLAGS", 2)
        monkeypatch.setattr(f"tenfold.rollout.{module}.MAX_KILLS", 2)
    for owner in (tenants[0], None):
        for name in ("a", "b"):
            await admin.create(owner, name, type="boolean", **OPERATOR)
            await admin.kill(owner, scope="model", subject=name, **OPERATOR)
        with pytest.raises(Conflict):
            await admin.create(owner, "c", type="boolean", **OPERATOR)
        with pytest.raises(Conflict):
            await admin.kill(owner, scope="model", subject="c", **OPERATOR)
        assert len((await admin.changes(owner)).items) == 4


async def test_flags_together_have_an_end(admin: FlagAdmin, tenants: Tenants, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("fake", "queries"):
        monkeypatch.setattr(f"tenfold.rollout.{module}.MAX_FLAG_BYTES", 1_000)
    flag: dict[str, Any] = {"type": "string", "variants": {"v": "x" * 300}, "default_variant": "v", "actor": "key:1"}
    await admin.create(tenants[0], "a", **flag)
    await admin.create(tenants[0], "b", **flag)
    with pytest.raises(Conflict):
        await admin.create(tenants[0], "c", **flag)
    with pytest.raises(Conflict):
        await admin.change(tenants[0], "b", variants={"v": "x" * 900}, actor="key:1")
    assert (await admin.show(tenants[0], "b")).revision == 1
    assert len((await admin.changes(tenants[0])).items) == 2


async def test_lists_come_in_pages(admin: FlagAdmin, tenants: Tenants) -> None:
    """The installation's and the tenant's own, woven by age."""
    names = []
    for number in range(6):
        owner: tuple[TenantId | None, Owner] = (tenants[0], "tenant") if number % 2 else (None, "operator")
        await admin.create(owner[0], f"f{number}", type="boolean", actor="a", by=owner[1])
        await admin.kill(owner[0], scope="feature", subject=f"f{number}", actor="a", by=owner[1])
        names.append(f"f{number}")
    found: list[str] = []
    killed: list[str] = []
    cursor: str | None = None
    kill_cursor: str | None = None
    for _ in range(3):
        page = await admin.list(tenants[0], cursor=cursor, limit=2)
        kills = await admin.kills(tenants[0], cursor=kill_cursor, limit=2)
        found += [flag.key for flag in page.items]
        killed += [kill.subject for kill in kills.items]
        cursor, kill_cursor = page.cursor, kills.cursor
    assert found == killed == names[::-1]
    assert (cursor, kill_cursor) == (None, None)
    first = await admin.changes(tenants[0], limit=4)
    rest = await admin.changes(tenants[0], cursor=first.cursor)
    assert (len(first.items), len(rest.items), rest.cursor) == (4, 2, None)
    for bad in ({"cursor": "x"}, {"limit": 0}, {"limit": 101}):
        for listing in (admin.list, admin.kills, admin.changes):
            with pytest.raises(InvalidRequest):
                await listing(tenants[0], **bad)


async def test_a_tenant_that_is_not_there(store: Store) -> None:
    admin, nobody = FlagAdmin(PostgresRolloutRows(store), FakeClock()), TenantId(uuid7())
    with pytest.raises(NotFound):
        await admin.create(nobody, "f", **BOOLEAN)
    with pytest.raises(NotFound):
        await admin.kill(nobody, scope="model", subject="m", actor="a")


# -- switches --------------------------------------------------------------------------------


async def test_a_switch_thrown_twice_is_thrown_once(admin: FlagAdmin, rows: RolloutRows, tenants: Tenants) -> None:
    for owner in (None, tenants[0]):
        first = await admin.kill(owner, scope="feature", subject="search", reason="wrong answers", **OPERATOR)
        again = await admin.kill(owner, scope="feature", subject="search", reason="again", **OPERATOR)
        assert first == again
        assert (await rows.read(owner)).kills == (first,)
        assert len((await admin.changes(owner)).items) == 1
        await admin.end_kill(owner, first.id, reason="mended", **OPERATOR)
        with pytest.raises(NotFound):
            await admin.end_kill(owner, str(first.id), **OPERATOR)
        assert [line.action for line in (await admin.changes(owner)).items] == ["ended", "created"]


async def test_what_a_tenant_may_switch_off(admin: FlagAdmin, tenants: Tenants) -> None:
    acme, other = tenants
    for scope in ("feature", "model"):
        kill = await admin.kill(acme, scope=scope, subject="x", actor="key:1")
        assert (kill.tenant_id, kill.owner) == (acme, "tenant")
    for scope in ("tenant", "provider"):
        with pytest.raises(PermissionDenied):
            await admin.kill(acme, scope=scope, subject="x", actor="key:1")
    with pytest.raises(PermissionDenied):
        await admin.kill(None, scope="feature", subject="x", actor="key:1")
    operators = await admin.kill(acme, scope="feature", subject="x", **OPERATOR)  # beside the tenant's own
    everybodys = await admin.kill(None, scope="model", subject="x", **OPERATOR)
    assert len((await admin.kills(acme)).items) == 4
    assert (await admin.kills(other)).items == [everybodys]
    for kill in (operators, everybodys):
        with pytest.raises(PermissionDenied):
            await admin.end_kill(acme, kill.id, actor="key:1")
    with pytest.raises(NotFound):
        await admin.end_kill(other, operators.id, actor="key:2")
    with pytest.raises(NotFound):
        await admin.end_kill(acme, "no id", actor="key:1")


async def test_the_operator_switches_off_whole_tenants_and_providers(admin: FlagAdmin, tenants: Tenants) -> None:
    await admin.kill(tenants[0], scope="tenant", subject="acme", **OPERATOR)
    await admin.kill(tenants[0], scope="provider", subject="openai", **OPERATOR)
    await admin.kill(None, scope="provider", subject="openai", **OPERATOR)
    with pytest.raises(InvalidRequest):
        await admin.kill(None, scope="tenant", subject="acme", **OPERATOR)
    for scope, subject in (("key", "x"), ("model", ""), ("model", "a\nb"), ("model", "x" * 257), ("model", "\ud800")):
        with pytest.raises(InvalidRequest):
            await admin.kill(None, scope=scope, subject=subject, **OPERATOR)


# -- the log ---------------------------------------------------------------------------------


async def test_the_log_says_who_changed_what_from_what_to_what_and_why(admin: FlagAdmin, tenants: Tenants) -> None:
    acme = tenants[0]
    await admin.create(acme, "f", reason="a try", **BOOLEAN)
    await admin.change(acme, "f", enabled=False, reason="it failed", actor="key:2")
    await admin.end(acme, "f", reason="over", **OPERATOR)
    kill = await admin.kill(acme, scope="model", subject="gpt", reason="wrong", actor="key:3")
    ended, changed, created = (await admin.changes(acme, subject="f")).items
    assert [(line.actor, line.owner, line.action, line.reason) for line in (created, changed, ended)] == [
        ("key:1", "tenant", "created", "a try"),
        ("key:2", "tenant", "changed", "it failed"),
        ("operator:ada", "operator", "ended", "over"),
    ]
    assert created.before is None
    assert created.after == changed.before
    assert changed.after == ended.before
    assert changed.after is not None and '"enabled":false' in changed.after
    assert ended.after is None
    (thrown,) = (await admin.changes(acme, subject="model:gpt")).items
    assert (thrown.kind, thrown.actor, thrown.at) == ("kill", "key:3", kill.created_at)
    assert thrown.after == '{"scope":"model","subject":"gpt","reason":"wrong"}'
    assert (await admin.changes(None)).items == []


@pytest.mark.parametrize("table", ["flag_changes", "operator_flag_changes"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET reason = ''", "DELETE FROM {}", "TRUNCATE {}"])
async def test_nobody_alters_the_log(store: Store, statement: str, table: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with store.directory() as tx:
            await tx.execute(statement.format(table))


async def test_while_the_database_is_away() -> None:
    rows = FakeRolloutRows()
    admin = FlagAdmin(rows, FakeClock())
    rows.away = True
    with pytest.raises(StoreUnavailable):
        await admin.create(None, "f", type="boolean", **OPERATOR)
    with pytest.raises(StoreUnavailable):
        await admin.kills(None)
