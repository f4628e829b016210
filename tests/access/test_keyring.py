"""The keyring: known keys cost nothing, wrong keys cannot hammer the database, a revocation cannot be missed."""

import asyncio
from collections.abc import Collection
from datetime import timedelta

import pytest

from tenfold.access.fake import FakeAccessRows, FakeHint
from tenfold.access.handlers import ApiKeys, Tenants
from tenfold.access.keyring import MAX_STALE_S, UNKNOWN_TTL_S, Keyring
from tenfold.access.secret_text import digest_of, new_api_key
from tenfold.access.types import CreatedKey, KeyChanges, KeyRecord
from tenfold.core.clock import FakeClock
from tenfold.core.errors import StoreUnavailable, Unauthenticated


class Directory(FakeAccessRows):
    """Counts look-ups, and can hold one back between reading and answering."""

    def __init__(self) -> None:
        super().__init__()
        self.lookups: list[int] = []
        self.answer_now = asyncio.Event()
        self.answer_now.set()
        self.has_read = asyncio.Event()

    async def find_keys(self, digests: Collection[bytes]) -> list[KeyRecord]:
        self.lookups.append(len(digests))
        found = await super().find_keys(digests)
        self.has_read.set()
        await self.answer_now.wait()
        return found


@pytest.fixture
def directory() -> Directory:
    return Directory()


@pytest.fixture
def keys(directory: Directory, clock: FakeClock) -> ApiKeys:
    return ApiKeys(directory, Tenants(directory, clock), clock)


async def a_key(directory: Directory, keys: ApiKeys, clock: FakeClock) -> CreatedKey:
    tenant = await Tenants(directory, clock).tenant_or_new("acme", "Acme")
    return await keys.create_key(tenant.id, "first", ["inference"])


async def test_a_known_key_needs_no_query(directory: Directory, keys: ApiKeys, clock: FakeClock) -> None:
    created = await a_key(directory, keys, clock)
    async with Keyring(directory, clock) as keyring:
        assert keyring.authenticate(created.secret) is None

        principal = await keyring.load(created.secret)
        assert (principal.tenant_slug, principal.key_id) == ("acme", created.key.id)
        assert principal.scopes == {"inference"}

        for _ in range(50):
            assert keyring.authenticate(created.secret) is principal
            assert keyring.authenticate(created.secret.encode()) is principal
    assert directory.lookups == [1]


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "x",
        "x" * 257,
        "tf_" + "0" * 49,
        "schlüssel-mit-umlaut",
        "\ud800" * 20,
        b"\xff\xfe" * 20,
        "a b c d e f g h i",
    ],
)
async def test_wrong_keys_are_refused(wrong: str | bytes, directory: Directory, clock: FakeClock) -> None:
    async with Keyring(directory, clock) as keyring:
        assert keyring.authenticate(wrong) is None
        with pytest.raises(Unauthenticated):
            await keyring.load(wrong)


async def test_the_same_wrong_key_is_asked_for_once_in_a_while(directory: Directory, clock: FakeClock) -> None:
    wrong = new_api_key()
    async with Keyring(directory, clock) as keyring:
        for _ in range(20):
            with pytest.raises(Unauthenticated):
                await keyring.load(wrong)
        assert len(directory.lookups) == 1

        clock.advance(UNKNOWN_TTL_S + 1)
        with pytest.raises(Unauthenticated):
            await keyring.load(wrong)
        assert len(directory.lookups) == 2


async def test_a_flood_of_wrong_keys_is_one_query_at_a_time(directory: Directory, clock: FakeClock) -> None:
    async with Keyring(directory, clock) as keyring:
        answers = await asyncio.gather(*(keyring.load(new_api_key()) for _ in range(1200)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {Unauthenticated}
    assert len(directory.lookups) <= 4
    assert sum(directory.lookups) == 1200


async def test_many_asking_for_one_key_share_one_query(directory: Directory, keys: ApiKeys, clock: FakeClock) -> None:
    created = await a_key(directory, keys, clock)
    async with Keyring(directory, clock) as keyring:
        principals = await asyncio.gather(*(keyring.load(created.secret) for _ in range(100)))
    assert {principal.key_id for principal in principals} == {created.key.id}
    assert directory.lookups == [1]


async def test_one_who_gives_up_does_not_take_the_others_answer(
    directory: Directory, keys: ApiKeys, clock: FakeClock
) -> None:
    created = await a_key(directory, keys, clock)
    directory.answer_now.clear()
    async with Keyring(directory, clock) as keyring:
        first = asyncio.create_task(keyring.load(created.secret))
        second = asyncio.create_task(keyring.load(created.secret))
        await directory.has_read.wait()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        directory.answer_now.set()
        assert (await second).key_id == created.key.id


async def test_a_revoked_key_is_refused_after_the_next_poll(
    directory: Directory, keys: ApiKeys, clock: FakeClock
) -> None:
    created = await a_key(directory, keys, clock)
    async with Keyring(directory, clock, poll_s=3600) as keyring:
        await keyring.load(created.secret)
        await keys.revoke_key(created.key.tenant_id, created.key.id)

        await keyring.refresh()

        assert keyring.authenticate(created.secret) is None
        with pytest.raises(Unauthenticated):
            await keyring.load(created.secret)


async def test_a_hint_brings_the_poll_forward(directory: Directory, keys: ApiKeys, clock: FakeClock) -> None:
    created = await a_key(directory, keys, clock)
    hint = FakeHint()
    async with Keyring(directory, clock, hint, poll_s=3600) as keyring:
        await keyring.load(created.secret)
        await keys.revoke_key(created.key.tenant_id, created.key.id)
        hint.ring()
        async with asyncio.timeout(5):
            while keyring.authenticate(created.secret) is not None:
                await asyncio.sleep(0)


async def test_polling_alone_is_enough(directory: Directory, keys: ApiKeys, clock: FakeClock) -> None:
    created = await a_key(directory, keys, clock)
    async with Keyring(directory, clock, poll_s=0.01) as keyring:
        await keyring.load(created.secret)
        await keys.revoke_key(created.key.tenant_id, created.key.id)
        async with asyncio.timeout(5):
            while keyring.authenticate(created.secret) is not None:
                await asyncio.sleep(0)


async def test_a_new_plan_reaches_known_keys_after_the_next_poll(
    directory: Directory, keys: ApiKeys, clock: FakeClock
) -> None:
    created = await a_key(directory, keys, clock)
    async with Keyring(directory, clock, poll_s=3600) as keyring:
        assert (await keyring.load(created.secret)).plan is None
        await Tenants(directory, clock).set_plan("acme", "pro")

        await keyring.refresh()

        principal = keyring.authenticate(created.secret)
        assert principal is not None
        assert (principal.plan, principal.key_id) == ("pro", created.key.id)
    assert directory.lookups == [1]


async def test_a_plan_that_changes_during_the_lookup_is_not_missed(
    directory: Directory, keys: ApiKeys, clock: FakeClock
) -> None:
    created = await a_key(directory, keys, clock)
    async with Keyring(directory, clock, poll_s=3600) as keyring:
        directory.answer_now.clear()
        loading = asyncio.create_task(keyring.load(created.secret))
        await directory.has_read.wait()
        await Tenants(directory, clock).set_plan("acme", "pro")
        await keyring.refresh()
        directory.answer_now.set()

        assert (await loading).plan == "pro"


async def test_a_revocation_during_the_lookup_is_not_missed(
    directory: Directory, keys: ApiKeys, clock: FakeClock
) -> None:
    created = await a_key(directory, keys, clock)
    async with Keyring(directory, clock, poll_s=3600) as keyring:
        directory.answer_now.clear()
        loading = asyncio.create_task(keyring.load(created.secret))
        await directory.has_read.wait()  # it has read the key as good
        await keys.revoke_key(created.key.tenant_id, created.key.id)
        await keyring.refresh()  # the feed tells of it, and will not again
        directory.answer_now.set()

        with pytest.raises(Unauthenticated):
            await loading
        assert keyring.authenticate(created.secret) is None


async def test_a_key_asked_for_too_early_works_as_soon_as_it_exists(
    directory: Directory, keys: ApiKeys, clock: FakeClock
) -> None:
    secret = "operator-chosen-secret"
    async with Keyring(directory, clock, poll_s=3600) as keyring:
        with pytest.raises(Unauthenticated):
            await keyring.load(secret)
        await keys.install_key("acme", secret)
        await keyring.refresh()
        assert (await keyring.load(secret)).tenant_slug == "acme"


async def test_an_expired_key_is_refused(directory: Directory, keys: ApiKeys, clock: FakeClock) -> None:
    tenant = await Tenants(directory, clock).create_tenant("acme", "Acme")
    created = await keys.create_key(tenant.id, "short", expires_at=clock.now() + timedelta(seconds=60))
    async with Keyring(directory, clock, poll_s=3600) as keyring:
        await keyring.load(created.secret)
        clock.advance(60)
        with pytest.raises(Unauthenticated):
            keyring.authenticate(created.secret)


async def test_without_the_database_known_keys_work_for_a_stated_time(
    directory: Directory, keys: ApiKeys, clock: FakeClock
) -> None:
    created = await a_key(directory, keys, clock)
    async with Keyring(directory, clock, poll_s=3600) as keyring:
        await keyring.load(created.secret)
        directory.away = True

        clock.advance(MAX_STALE_S)
        assert keyring.authenticate(created.secret) is not None
        with pytest.raises(StoreUnavailable):
            await keyring.load(new_api_key())

        clock.advance(1)
        with pytest.raises(StoreUnavailable):
            keyring.authenticate(created.secret)

        directory.away = False
        await keyring.refresh()
        assert keyring.authenticate(created.secret) is not None


async def test_a_feed_that_begins_anew_forgets_what_was_known(
    directory: Directory, keys: ApiKeys, clock: FakeClock
) -> None:
    created = await a_key(directory, keys, clock)

    class Restored(Directory):
        """The database was set back to a copy in which the key does not exist."""

        async def changed_keys(self, since: int | None) -> KeyChanges:
            changes = await super().changed_keys(since)
            return changes if since is None else KeyChanges(records=[], position=since - 1)

    restored = Restored()
    await restored.add_tenant(await Tenants(directory, clock).tenant("acme"))
    await restored.add_key(created.key, digest_of(created.secret))
    async with Keyring(restored, clock, poll_s=3600) as keyring:
        await keyring.load(created.secret)
        await keyring.refresh()
        assert keyring.authenticate(created.secret) is None


async def test_outside_of_its_context_nothing_waits_forever(directory: Directory, clock: FakeClock) -> None:
    directory.answer_now.clear()
    async with Keyring(directory, clock) as keyring:
        waiting = asyncio.create_task(keyring.load(new_api_key()))
        await directory.has_read.wait()
    with pytest.raises(StoreUnavailable):
        await waiting
    with pytest.raises(StoreUnavailable):
        await keyring.load(new_api_key())
