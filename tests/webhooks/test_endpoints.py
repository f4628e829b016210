"""The rules of endpoints: what may be subscribed to, secrets that are exchanged, other tenants."""

from datetime import timedelta
from uuid import UUID

import pytest

from tenfold.core.errors import Conflict, InvalidRequest, NotFound
from tenfold.core.ids import uuid7
from tenfold.webhooks.handlers import MAX_GRACE_S
from tenfold.webhooks.names import ENDPOINT, name_of
from tenfold.webhooks.signing import signing_key
from tenfold.webhooks.types import EVENT_TYPES, MAX_ENDPOINTS, Endpoint
from tests.webhooks.world import AT, URL, World


@pytest.fixture
def world() -> World:
    return World()


def name(endpoint: Endpoint) -> str:
    return name_of(ENDPOINT, endpoint.id)


async def test_an_endpoint_is_made_shown_and_ended(world: World) -> None:
    made = await world.admin.create(world.who.tenant_id, URL, events=["batch.*", "batch.*"], description="ours")
    assert (made.url, made.events, made.description, made.disabled_by) == (URL, ("batch.*",), "ours", None)
    assert len(signing_key(made.secret)) == 32
    assert await world.admin.show(world.who.tenant_id, name(made)) == made
    await world.admin.end(world.who.tenant_id, name(made))
    with pytest.raises(NotFound):
        await world.admin.show(world.who.tenant_id, name(made))
    with pytest.raises(NotFound):
        await world.admin.end(world.who.tenant_id, name(made))


async def test_another_tenants_endpoint_does_not_exist(world: World) -> None:
    made, stranger = await world.endpoint(), world.other.tenant_id
    for call in (
        world.admin.show(stranger, name(made)),
        world.admin.change(stranger, name(made), enabled=False),
        world.admin.rotate(stranger, name(made)),
        world.admin.end(stranger, name(made)),
    ):
        with pytest.raises(NotFound):
            await call
    assert (await world.admin.list(stranger)).items == []
    assert await world.admin.show(world.who.tenant_id, name(made)) == made


@pytest.mark.parametrize("wrong", ["", "we_", "we_1", str(UUID(int=1)), f"evt_{'0' * 32}", f"we_{'A' * 32}x"])
async def test_a_name_that_nothing_has(wrong: str, world: World) -> None:
    with pytest.raises(NotFound):
        await world.admin.show(world.who.tenant_id, wrong)


async def test_what_is_wrong_is_told(world: World) -> None:
    made = await world.endpoint()
    world.sender.refused.add("https://10.0.0.1/")
    for call, param in (
        (world.admin.create(world.who.tenant_id, "https://10.0.0.1/"), "url"),
        (world.admin.change(world.who.tenant_id, name(made), url="https://10.0.0.1/"), "url"),
        (world.admin.create(world.who.tenant_id, URL, events=[]), "events"),
        (world.admin.create(world.who.tenant_id, URL, events=["response.done"]), "events"),
        (world.admin.create(world.who.tenant_id, URL, events=["webhook.test"]), "events"),
        (world.admin.create(world.who.tenant_id, URL, description="x" * 501), "description"),
        (world.admin.create(world.who.tenant_id, URL, description="a\0b"), "description"),
        (world.admin.rotate(world.who.tenant_id, name(made), grace_s=-1), "grace_s"),
        (world.admin.rotate(world.who.tenant_id, name(made), grace_s=MAX_GRACE_S + 1), "grace_s"),
        (world.admin.list(world.who.tenant_id, limit=0), "limit"),
        (world.admin.list(world.who.tenant_id, limit=101), "limit"),
        (world.admin.list(world.who.tenant_id, cursor="x"), "cursor"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            await call
        assert refused.value.param == param
    assert (await world.admin.list(world.who.tenant_id)).items == [made]


async def test_a_tenant_has_so_many(world: World) -> None:
    for _ in range(MAX_ENDPOINTS):
        await world.endpoint()
    with pytest.raises(Conflict, match="50"):
        await world.endpoint()
    page = await world.admin.list(world.who.tenant_id, limit=30)
    rest = await world.admin.list(world.who.tenant_id, limit=30, cursor=page.cursor)
    assert (len(page.items), len(rest.items), rest.cursor) == (30, 20, None)


async def test_what_is_not_named_stays(world: World) -> None:
    made = await world.endpoint(URL, "response.completed")
    assert await world.admin.change(world.who.tenant_id, name(made)) == made
    world.clock.advance(5)
    changed = await world.admin.change(
        world.who.tenant_id, name(made), url="https://hooks.example/", events=["*"], description="new"
    )
    assert (changed.url, changed.events, changed.description) == ("https://hooks.example/", ("*",), "new")
    assert (changed.secret, changed.created_at, changed.updated_at) == (made.secret, AT, AT + timedelta(seconds=5))
    off = await world.admin.change(world.who.tenant_id, name(made), enabled=False)
    assert (off.disabled_by, off.url) == ("asked", "https://hooks.example/")
    assert (await world.admin.change(world.who.tenant_id, name(made), enabled=True)).disabled_by is None


async def test_a_secret_is_exchanged_with_a_grace(world: World) -> None:
    made = await world.endpoint()
    first = await world.admin.rotate(world.who.tenant_id, name(made))
    assert (first.old_secret, first.old_secret_until) == (made.secret, AT + timedelta(days=1))
    second = await world.admin.rotate(world.who.tenant_id, name(made), grace_s=60)
    assert (second.old_secret, second.old_secret_until) == (first.secret, AT + timedelta(minutes=1))
    leaked = await world.admin.rotate(world.who.tenant_id, name(made), grace_s=0)
    assert (leaked.old_secret, leaked.old_secret_until) == (None, None)
    assert len({made.secret, first.secret, second.secret, leaked.secret}) == 4


def test_what_an_endpoint_wants() -> None:
    def wants(*events: str) -> set[str]:
        endpoint = Endpoint(
            tenant_id=World().who.tenant_id,
            id=uuid7(),
            url=URL,
            events=events,
            secret="whsec_",
            created_at=AT,
            updated_at=AT,
        )
        return {each for each in EVENT_TYPES if endpoint.wants(each)}

    assert wants("*") == set(EVENT_TYPES)
    assert wants("batch.failed") == {"batch.failed"}
    assert wants("batch.*", "job.failed") == {each for each in EVENT_TYPES if each.startswith("batch.")} | {
        "job.failed"
    }
