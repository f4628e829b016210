"""Setting limits: what is refused, who may end what, and limits at rest in memory and in Postgres."""

from typing import Any, get_args

import pytest

from tenfold.core.clock import FakeClock
from tenfold.core.errors import Conflict, InvalidRequest, NotFound, PermissionDenied
from tenfold.core.ids import TenantId, uuid7
from tenfold.limits import types
from tenfold.limits.fake import FakeLimitRows
from tenfold.limits.handlers import LimitAdmin
from tenfold.limits.ports import LimitRows
from tenfold.limits.queries import TOPIC, PostgresLimitRows
from tenfold.limits.types import DEFAULT_WEIGHT, NO_LIMITS, Limit, Owner, TenantLimits
from tenfold.store import Changes, Store

Tenants = tuple[TenantId, TenantId]
KEY = "0198f000-0000-7000-8000-000000000001"
GOOD: dict[str, Any] = {"per": "tenant", "measure": "requests", "amount": 10, "window_s": 60}
AT_ONCE: dict[str, Any] = {"per": "tenant", "measure": "concurrency", "amount": 10}


@pytest.fixture
def admin(rows: LimitRows) -> LimitAdmin:
    return LimitAdmin(rows, FakeClock())


@pytest.mark.parametrize(
    "asked",
    [
        GOOD,
        AT_ONCE,
        GOOD | {"per": "key", "subject": KEY.upper(), "measure": "tokens", "burst": 3},
        GOOD | {"per": "key", "measure": "usd", "amount": types.MAX_AMOUNT, "window_s": types.MAX_WINDOW_S},
        GOOD | {"per": "end_user", "subject": "öß 🙂"},
        GOOD | {"per": "model", "subject": "gpt-4o-mini"},
    ],
)
async def test_a_limit_comes_back_as_it_was_set(
    admin: LimitAdmin, rows: LimitRows, tenants: Tenants, asked: dict[str, Any]
) -> None:
    limit = await admin.create(tenants[0], **asked, by="operator")
    assert limit.owner == "operator"
    assert (await admin.list(tenants[0])).items == [limit]
    assert await rows.read(tenants[0]) == TenantLimits(limits=(limit,))
    assert await rows.find(tenants[0], limit.id) == limit
    if asked.get("per") == "key" and "subject" in asked:
        assert limit.subject == KEY


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": -1}, "amount"),
        ({"amount": types.MAX_AMOUNT + 1}, "amount"),
        ({"amount": 1.5}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": "10"}, "amount"),
        ({"window_s": None}, "window_s"),
        ({"window_s": 0}, "window_s"),
        ({"window_s": -60}, "window_s"),
        ({"window_s": types.MAX_WINDOW_S + 1}, "window_s"),
        ({"burst": 0}, "burst"),
        ({"burst": types.MAX_AMOUNT + 1}, "burst"),
        ({"measure": "calls"}, "measure"),
        ({"measure": ""}, "measure"),
        ({"per": "user"}, "per"),
        ({"subject": "x"}, "subject"),
        ({"per": "key", "subject": "x"}, "subject"),
        ({"per": "model", "subject": ""}, "subject"),
        ({"per": "model", "subject": "a\nb"}, "subject"),
        ({"per": "model", "subject": "a\x00"}, "subject"),
        ({"per": "end_user", "subject": "\ud800"}, "subject"),
        ({"per": "end_user", "subject": "x" * 257}, "subject"),
        ({"measure": "concurrency"}, "window_s"),
        ({"measure": "concurrency", "window_s": None, "burst": 3}, "burst"),
        ({"measure": "concurrency", "window_s": None, "amount": types.MAX_SLOTS + 1}, "amount"),
    ],
)
async def test_what_makes_no_sense_is_refused(change: dict[str, Any], param: str) -> None:
    rows = FakeLimitRows()
    with pytest.raises(InvalidRequest) as refused:
        await LimitAdmin(rows, FakeClock()).create(TenantId(uuid7()), **(GOOD | change))
    assert refused.value.param == param
    assert rows.told == []


async def test_limits_are_listed_in_pages_the_newest_first(admin: LimitAdmin, tenants: Tenants) -> None:
    made = [await admin.create(tenants[0], **GOOD) for _ in range(5)]
    await admin.create(tenants[1], **GOOD)
    found: list[Limit] = []
    cursor: str | None = None
    while True:
        page = await admin.list(tenants[0], cursor=cursor, limit=2)
        found += page.items
        cursor = page.cursor
        if cursor is None:
            break
    assert found == sorted(made, key=lambda limit: limit.id, reverse=True)
    for bad in ({"limit": 0}, {"limit": 101}, {"cursor": "x"}):
        with pytest.raises(InvalidRequest):
            await admin.list(tenants[0], **bad)


async def test_a_limit_ends_once(admin: LimitAdmin, rows: LimitRows, tenants: Tenants) -> None:
    limit = await admin.create(tenants[0], **GOOD)
    await admin.end(tenants[0], str(limit.id))
    assert await rows.read(tenants[0]) == NO_LIMITS
    for gone in (limit.id, str(limit.id), "nonsense", uuid7()):
        with pytest.raises(NotFound):
            await admin.end(tenants[0], gone)


async def test_another_tenants_limit_is_not_there(admin: LimitAdmin, rows: LimitRows, tenants: Tenants) -> None:
    limit = await admin.create(tenants[0], **GOOD)
    for by in get_args(Owner):
        with pytest.raises(NotFound):
            await admin.end(tenants[1], limit.id, by=by)
    assert (await rows.read(tenants[0])).limits == (limit,)
    assert await rows.find(tenants[1], limit.id) is None


async def test_the_operators_limits_are_the_operators_to_end(admin: LimitAdmin, tenants: Tenants) -> None:
    theirs = await admin.create(tenants[0], **GOOD, by="operator")
    own = await admin.create(tenants[0], **GOOD)
    with pytest.raises(PermissionDenied):
        await admin.end(tenants[0], theirs.id)
    await admin.end(tenants[0], theirs.id, by="operator")
    await admin.end(tenants[0], own.id, by="operator")
    assert (await admin.list(tenants[0])).items == []


async def test_the_weight_is_the_operators_to_set(admin: LimitAdmin, rows: LimitRows, tenants: Tenants) -> None:
    assert (await rows.read(tenants[0])).weight == DEFAULT_WEIGHT
    with pytest.raises(PermissionDenied):
        await admin.set_weight(tenants[0], 5, by="tenant")
    for bad in (0, -1, types.MAX_WEIGHT + 1, 1.5, True):
        with pytest.raises(InvalidRequest):
            await admin.set_weight(tenants[0], bad, by="operator")  # type: ignore[arg-type]
    for weight in (5, 7):
        await admin.set_weight(tenants[0], weight, by="operator")
        assert (await rows.read(tenants[0])).weight == weight
    assert (await rows.read(tenants[1])).weight == DEFAULT_WEIGHT


async def test_a_tenant_has_so_many_limits_and_no_more(
    admin: LimitAdmin, tenants: Tenants, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("fake", "queries"):
        monkeypatch.setattr(f"tenfold.limits.{module}.MAX_LIMITS", 2)
    for _ in range(2):
        await admin.create(tenants[0], **GOOD)
    with pytest.raises(Conflict):
        await admin.create(tenants[0], **GOOD)


# -- Postgres alone --------------------------------------------------------------------------


async def test_every_process_hears_of_a_change(store: Store, tenants: Tenants) -> None:
    heard: list[TenantId | None] = []
    changes = Changes(store)
    changes.follow(TOPIC, heard.append)
    await changes.start()
    admin = LimitAdmin(PostgresLimitRows(store), FakeClock())
    limit = await admin.create(tenants[0], **GOOD)
    await changes.poll()
    assert heard == [tenants[0]]
    await admin.end(tenants[0], limit.id)
    await admin.set_weight(tenants[1], 3, by="operator")
    heard.clear()
    await changes.poll()
    assert sorted(map(str, heard)) == sorted(map(str, tenants))


async def test_a_tenant_that_is_not_there_has_no_limits(store: Store) -> None:
    admin = LimitAdmin(PostgresLimitRows(store), FakeClock())
    with pytest.raises(NotFound):
        await admin.create(TenantId(uuid7()), **GOOD)
    with pytest.raises(NotFound):
        await admin.set_weight(TenantId(uuid7()), 3, by="operator")
