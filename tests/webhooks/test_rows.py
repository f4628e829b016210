"""What every form of WebhookRows does: endpoints, the log of what was tried, what is disabled and what expires."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from tenfold.core.errors import Conflict
from tenfold.core.ids import TenantId
from tenfold.store import Changes, Store
from tenfold.webhooks.fake import FakeWebhookRows
from tenfold.webhooks.ports import TOPIC, WebhookRows
from tenfold.webhooks.queries import WAITING, PostgresWebhookRows
from tenfold.webhooks.types import (
    MAX_ENDPOINTS,
    MAX_WAITING,
    MIN_FAILURES,
    Attempt,
    Delivery,
    DeliveryState,
    DisabledBy,
    Endpoint,
)

AT = datetime(2026, 1, 1, tzinfo=UTC)
LONG_AGO = AT - timedelta(days=1000)
Tenants = tuple[TenantId, TenantId]


def numbered(number: int) -> UUID:
    """In order."""
    return UUID(int=(7 << 76) | (2 << 62) | number)


def endpoint(tenant_id: TenantId, number: int = 1, url: str = "https://hooks.example/in") -> Endpoint:
    return Endpoint(
        tenant_id=tenant_id,
        id=numbered(number),
        url=url,
        events=("response.completed", "batch.*"),
        secret="whsec_new",
        created_at=AT,
        updated_at=AT,
        description="of the tests",
    )


def delivery(
    to: Endpoint,
    number: int = 1,
    *,
    state: DeliveryState = "waiting",
    job: int = 1,
    at: datetime = AT,
    status: int | None = 500,
) -> Delivery:
    return Delivery(
        tenant_id=to.tenant_id,
        id=numbered(number),
        endpoint_id=to.id,
        event_id=numbered(900 + number),
        type="response.completed",
        resource="resp_1",
        body=b'{"type":"response.completed"}',
        state=state,
        created_at=at,
        job_id=numbered(job),
        last=Attempt(at=at, status=status, latency_ms=12, reply="oh", error=None if status else "no answer"),
    )


async def tried(
    rows: WebhookRows, each: Delivery, *, gone: bool = False, failing_before: datetime = LONG_AGO
) -> DisabledBy | None:
    return await rows.attempted(each, gone=gone, failing_before=failing_before)


# -- endpoints -----------------------------------------------------------------------------------


async def test_an_endpoint_is_kept_changed_and_ended(rows: WebhookRows, tenants: Tenants) -> None:
    tenant_id, other = tenants
    made = endpoint(tenant_id)
    await rows.add_endpoint(made)
    assert await rows.endpoint(tenant_id, made.id) == made
    later = AT + timedelta(hours=1)
    changed = replace(
        made,
        url="https://hooks.example/out",
        events=("*",),
        description="",
        secret="whsec_newer",
        old_secret="whsec_new",
        old_secret_until=later,
        disabled_by="asked",
        updated_at=later,
        revision=2,
    )
    assert await rows.change_endpoint(changed)
    assert await rows.endpoint(tenant_id, made.id) == changed
    assert not await rows.change_endpoint(changed)  # it is no longer as it was
    assert not await rows.change_endpoint(replace(changed, tenant_id=other, revision=3))
    assert await rows.endpoint(other, made.id) is None
    assert not await rows.end_endpoint(other, made.id)
    assert await rows.end_endpoint(tenant_id, made.id)
    assert not await rows.end_endpoint(tenant_id, made.id)
    assert await rows.endpoint(tenant_id, made.id) is None


async def test_endpoints_come_the_newest_first_in_pages(rows: WebhookRows, tenants: Tenants) -> None:
    tenant_id, other = tenants
    for number in (1, 2, 3):
        await rows.add_endpoint(endpoint(tenant_id, number))
    await rows.add_endpoint(endpoint(other, 4))
    first = await rows.endpoints(tenant_id, before=None, limit=2)
    assert [each.id for each in first] == [numbered(3), numbered(2)]
    assert [each.id for each in await rows.endpoints(tenant_id, before=numbered(2), limit=2)] == [numbered(1)]


async def test_a_tenant_has_so_many_and_no_more(rows: WebhookRows, tenants: Tenants) -> None:
    tenant_id, other = tenants
    for number in range(MAX_ENDPOINTS - 1):
        await rows.add_endpoint(endpoint(tenant_id, number))
    both = (rows.add_endpoint(endpoint(tenant_id, 100 + number)) for number in range(2))
    results = await asyncio.gather(*both, return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [Conflict]
    assert len(await rows.endpoints(tenant_id, before=None, limit=100)) == MAX_ENDPOINTS
    await rows.add_endpoint(endpoint(other, 1))


# -- the log -------------------------------------------------------------------------------------


async def test_attempts_are_logged(rows: WebhookRows, tenants: Tenants) -> None:
    tenant_id, other = tenants
    to = endpoint(tenant_id)
    await rows.add_endpoint(to)
    first = delivery(to, status=None)
    assert await tried(rows, first) is None
    assert await rows.delivery(tenant_id, first.id) == first
    second = delivery(to, state="delivered", at=AT + timedelta(seconds=5), status=200)
    assert await tried(rows, second) is None
    kept = await rows.delivery(tenant_id, first.id)
    assert kept == replace(second, attempts=2, created_at=AT)
    assert await rows.attempts(tenant_id, first.id, before=None, limit=10) == [(2, second.last), (1, first.last)]
    assert await rows.attempts(tenant_id, first.id, before=2, limit=10) == [(1, first.last)]
    assert await rows.attempts(tenant_id, first.id, before=None, limit=1) == [(2, second.last)]
    assert await rows.delivery(other, first.id) is None
    assert await rows.attempts(other, first.id, before=None, limit=10) == []
    assert await rows.deliveries(other, to.id, state=None, before=None, limit=10) == []


async def test_what_was_delivered_stays_so_and_the_newest_job_is_told(rows: WebhookRows, tenants: Tenants) -> None:
    to = endpoint(tenants[0])
    await rows.add_endpoint(to)
    await tried(rows, delivery(to, job=2, state="delivered", status=200))
    await tried(rows, delivery(to, job=1, state="waiting"))
    kept = await rows.delivery(to.tenant_id, numbered(1))
    assert kept is not None
    assert (kept.state, kept.job_id, kept.attempts, kept.last.status) == ("delivered", numbered(2), 2, 500)
    assert not await rows.give_up(to.tenant_id, numbered(2))


async def test_those_that_wait_are_counted_up_to_a_bound(
    rows: WebhookRows, tenants: Tenants, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = endpoint(tenants[0])
    states: tuple[DeliveryState, ...] = ("waiting", "failed", "delivered", "waiting", "waiting")
    for number, state in enumerate(states, start=1):
        await tried(rows, delivery(to, number, state=state, job=number))
    await tried(rows, delivery(endpoint(tenants[1]), 9))
    assert [await rows.waiting(tenant_id, AT) for tenant_id in tenants] == [3, 1]
    assert await rows.waiting(tenants[0], AT + timedelta(seconds=1)) == 0
    monkeypatch.setattr("tenfold.webhooks.fake.MAX_WAITING", 2)
    monkeypatch.setattr("tenfold.webhooks.queries.WAITING", WAITING.replace(str(MAX_WAITING), "2"))
    assert [await rows.waiting(tenant_id, AT) for tenant_id in tenants] == [2, 1]


async def test_a_delivery_is_given_up_with_the_job_that_tried_last(rows: WebhookRows, tenants: Tenants) -> None:
    to = endpoint(tenants[0])
    await tried(rows, delivery(to, job=1))
    await tried(rows, delivery(to, job=2))
    assert not await rows.give_up(to.tenant_id, numbered(1))
    assert not await rows.give_up(tenants[1], numbered(2))
    assert await rows.give_up(to.tenant_id, numbered(2))
    assert not await rows.give_up(to.tenant_id, numbered(2))
    (failed,) = await rows.deliveries(to.tenant_id, to.id, state="failed", before=None, limit=10)
    assert failed.id == numbered(1)
    await tried(rows, delivery(to, job=3, state="delivered", status=200))
    assert await rows.deliveries(to.tenant_id, to.id, state="failed", before=None, limit=10) == []


async def test_deliveries_come_the_newest_first_by_state(rows: WebhookRows, tenants: Tenants) -> None:
    to, beside = endpoint(tenants[0]), endpoint(tenants[0], 2)
    states: tuple[DeliveryState, ...] = ("failed", "delivered", "failed", "waiting")
    for number, state in enumerate(states, start=1):
        await tried(rows, delivery(to, number, state=state, job=number, at=AT + timedelta(minutes=number)))
    await tried(rows, delivery(beside, 9, state="failed", job=9))
    listed = await rows.deliveries(to.tenant_id, to.id, state=None, before=None, limit=3)
    assert [each.id for each in listed] == [numbered(4), numbered(3), numbered(2)]
    rest = await rows.deliveries(to.tenant_id, to.id, state=None, before=numbered(2), limit=3)
    assert [each.id for each in rest] == [numbered(1)]
    failed = await rows.deliveries(to.tenant_id, to.id, state="failed", before=None, limit=3)
    assert [each.id for each in failed] == [numbered(3), numbered(1)]
    assert await rows.failed_since(to.tenant_id, to.id, AT, 10) == [numbered(1), numbered(3)]
    assert await rows.failed_since(to.tenant_id, to.id, AT, 1) == [numbered(1)]
    assert await rows.failed_since(to.tenant_id, to.id, AT + timedelta(minutes=2), 10) == [numbered(3)]
    assert await rows.failed_since(tenants[1], to.id, AT, 10) == []


# -- what an endpoint's answers make of it ---------------------------------------------------------


async def test_one_that_takes_nothing_for_long_and_often_is_disabled(rows: WebhookRows, tenants: Tenants) -> None:
    to = endpoint(tenants[0])
    await rows.add_endpoint(to)
    for number in range(MIN_FAILURES - 1):
        assert await tried(rows, delivery(to, number), failing_before=AT) is None
    failing = await rows.endpoint(to.tenant_id, to.id)
    assert failing is not None
    assert (failing.failing_since, failing.failures, failing.disabled_by) == (AT, MIN_FAILURES - 1, None)
    later = AT + timedelta(days=5)
    assert await tried(rows, delivery(to, 99, at=later), failing_before=AT - timedelta(seconds=1)) is None
    assert await tried(rows, delivery(to, 99, at=later), failing_before=AT) == "failing"
    assert await tried(rows, delivery(to, 99, at=later), failing_before=AT) is None  # it is already
    disabled = await rows.endpoint(to.tenant_id, to.id)
    assert disabled is not None
    assert (disabled.disabled_by, disabled.failing_since, disabled.revision) == ("failing", AT, 2)

    enabled = replace(disabled, disabled_by=None, revision=3)
    assert await rows.change_endpoint(enabled)
    anew = await rows.endpoint(to.tenant_id, to.id)
    assert anew is not None
    assert (anew.failing_since, anew.failures, anew.disabled_by) == (None, 0, None)


async def test_one_that_takes_something_begins_anew(rows: WebhookRows, tenants: Tenants) -> None:
    to = endpoint(tenants[0])
    await rows.add_endpoint(to)
    for number in range(MIN_FAILURES):
        await tried(rows, delivery(to, number))
    await tried(rows, delivery(to, 99, state="delivered", status=204), failing_before=AT)
    assert await rows.endpoint(to.tenant_id, to.id) == to
    assert await tried(rows, delivery(to, 100), failing_before=AT) is None


async def test_one_that_is_gone_is_disabled_at_once(rows: WebhookRows, tenants: Tenants) -> None:
    to = endpoint(tenants[0])
    await rows.add_endpoint(to)
    assert await tried(rows, delivery(to, state="failed", status=410), gone=True) == "gone"
    gone = await rows.endpoint(to.tenant_id, to.id)
    assert gone is not None
    assert (gone.disabled_by, gone.revision) == ("gone", 2)


async def test_the_log_outlives_its_endpoint(rows: WebhookRows, tenants: Tenants) -> None:
    to = endpoint(tenants[0])
    await rows.add_endpoint(to)
    await tried(rows, delivery(to))
    await rows.end_endpoint(to.tenant_id, to.id)
    assert await tried(rows, delivery(to)) is None
    assert len(await rows.attempts(to.tenant_id, numbered(1), before=None, limit=10)) == 2


# -- what is told, and what expires ----------------------------------------------------------------


async def test_whoever_keeps_endpoints_in_memory_is_told(
    rows: WebhookRows, tenants: Tenants, request: pytest.FixtureRequest
) -> None:
    told: list[TenantId | None] = []
    poll: Callable[[], object] | None = None
    if isinstance(rows, FakeWebhookRows):
        rows.followers.append(told.append)
    elif isinstance(rows, PostgresWebhookRows):
        store: Store = request.getfixturevalue("store")
        changes = Changes(store)
        changes.follow(TOPIC, told.append)
        await changes.poll()
        poll = changes.poll

    async def heard() -> bool:
        if poll is not None:
            await changes.poll()
        was, told[:] = list(told), []
        return was != []

    to = endpoint(tenants[0])
    await rows.add_endpoint(to)
    assert await heard()
    assert await rows.change_endpoint(replace(to, url="https://hooks.example/", revision=2))
    assert await heard()
    await tried(rows, delivery(to))
    if isinstance(rows, FakeWebhookRows):
        assert not await heard()  # nothing that is kept in memory has changed
    await tried(rows, delivery(to), gone=True)
    assert await heard()
    await rows.end_endpoint(to.tenant_id, to.id)
    assert await heard()


async def test_the_log_expires(rows: WebhookRows, tenants: Tenants) -> None:
    to, other = endpoint(tenants[0]), endpoint(tenants[1])
    for number in (1, 2, 3):
        await tried(rows, delivery(to, number, job=number, at=AT + timedelta(days=number)))
    await tried(rows, delivery(other, 4, at=AT + timedelta(days=9)))
    before = AT + timedelta(days=3)
    assert await rows.tenants_expired(before) == [to.tenant_id]
    assert await rows.expire(to.tenant_id, before, limit=1) == 1
    assert await rows.expire(to.tenant_id, before, limit=9) == 1
    assert await rows.expire(to.tenant_id, before, limit=9) == 0
    assert await rows.tenants_expired(before) == []
    assert [each.id for each in await rows.deliveries(to.tenant_id, to.id, state=None, before=None, limit=9)] == [
        numbered(3)
    ]
    assert await rows.attempts(to.tenant_id, numbered(1), before=None, limit=9) == []
