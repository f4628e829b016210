"""Tenants, keys and accounts: the same rules on the fake and on Postgres."""

from datetime import timedelta

import pytest

from tenfold.access.accounts import ABSOLUTE, IDLE, Accounts
from tenfold.access.handlers import ApiKeys, Tenants
from tenfold.access.keyring import Keyring
from tenfold.access.ports import AccessRows
from tenfold.access.secret_text import digest_of
from tenfold.core.clock import FakeClock
from tenfold.core.errors import Conflict, InvalidRequest, NotFound, RateLimited, TenfoldError, Unauthenticated
from tenfold.core.ids import KeyId, TenantId, uuid7
from tenfold.core.principal import ALL_SCOPES
from tests.support.naughty import naughty_strings
from tests.support.passwords import cheap_passwords

PASSWORD = "correct horse battery"


@pytest.fixture
def tenants(rows: AccessRows, clock: FakeClock) -> Tenants:
    return Tenants(rows, clock)


@pytest.fixture
def keys(rows: AccessRows, tenants: Tenants, clock: FakeClock) -> ApiKeys:
    return ApiKeys(rows, tenants, clock)


@pytest.fixture
def accounts(rows: AccessRows, clock: FakeClock) -> Accounts:
    return Accounts(rows, cheap_passwords(), clock)


# -- tenants ---------------------------------------------------------------------------------


async def test_a_tenant_is_found_by_its_slug(tenants: Tenants) -> None:
    created = await tenants.create_tenant("acme", "Acme & Söhne")

    assert await tenants.tenant("acme") == created
    with pytest.raises(Conflict):
        await tenants.create_tenant("acme", "Another")
    with pytest.raises(NotFound):
        await tenants.tenant("other")


async def test_tenants_are_listed_in_pages(tenants: Tenants) -> None:
    slugs = ["a", "a-1", "a1", "b", "zz"]
    for slug in slugs:
        await tenants.create_tenant(slug, slug)

    found, cursor = [], None
    while True:
        page = await tenants.list_tenants(cursor=cursor, limit=2)
        found += [tenant.slug for tenant in page.items]
        cursor = page.cursor
        if cursor is None:
            break

    assert found == sorted(slugs)
    with pytest.raises(InvalidRequest):
        await tenants.list_tenants(limit=0)


async def test_a_tenants_plan_is_known_wherever_the_tenant_is(
    rows: AccessRows, tenants: Tenants, keys: ApiKeys, accounts: Accounts
) -> None:
    acme = await tenants.create_tenant("acme", "Acme")
    assert acme.plan is None
    before = await keys.create_key(acme.id, "before")

    changed = await tenants.set_plan("acme", "pro")

    after = await keys.create_key(acme.id, "after")
    assert (changed.id, changed.plan) == (acme.id, "pro")
    assert await tenants.tenant("acme") == changed
    assert (await tenants.list_tenants()).items == [changed]
    records = await rows.find_keys([digest_of(before.secret), digest_of(after.secret)])
    assert [record.plan for record in records] == ["pro", "pro"]
    signed_up = await accounts.sign_up("ann", PASSWORD, "Other")
    await tenants.set_plan(signed_up.session.principal.tenant_slug, "free")
    session = await accounts.session(signed_up.token)
    assert session is not None
    assert session.principal.plan == "free"
    assert (await tenants.set_plan("acme", None)).plan is None


async def test_the_feed_tells_of_a_new_plan_by_the_tenants_own_keys_only(
    rows: AccessRows, tenants: Tenants, keys: ApiKeys
) -> None:
    acme = await tenants.create_tenant("acme", "Acme")
    other = await tenants.create_tenant("other", "Other")
    mine = {digest_of((await keys.create_key(acme.id, f"key {n}")).secret) for n in range(3)}
    await keys.create_key(other.id, "another")
    position = (await rows.changed_keys(None)).position
    settled = await rows.changed_keys(position)  # whatever is told again of what was made just now

    await tenants.set_plan("acme", "pro")

    told = [record for record in (await rows.changed_keys(settled.position)).records if record.plan == "pro"]
    assert {record.digest for record in told} == mine
    assert {record.tenant_slug for record in told} == {"acme"}


@pytest.mark.parametrize("plan", ["", "Pro", "-pro", "a b", "x" * 64, "\x00", "pro\n"])
async def test_plans_that_have_no_name(plan: str, tenants: Tenants) -> None:
    await tenants.create_tenant("acme", "Acme")
    with pytest.raises(InvalidRequest) as refused:
        await tenants.set_plan("acme", plan)
    assert refused.value.param == "plan"
    with pytest.raises(NotFound):
        await tenants.set_plan("nobody", "pro")


# -- keys ------------------------------------------------------------------------------------


async def test_keys_are_listed_newest_first_in_pages_and_never_with_their_secret(
    tenants: Tenants, keys: ApiKeys
) -> None:
    tenant = await tenants.create_tenant("acme", "Acme")
    created = [await keys.create_key(tenant.id, f"key {n}") for n in range(5)]
    in_order = sorted((each.key.id for each in created), reverse=True)  # ids sort by time, to the millisecond

    first = await keys.list_keys(tenant.id, limit=3)
    second = await keys.list_keys(tenant.id, cursor=first.cursor, limit=3)

    assert [key.id for key in first.items + second.items] == in_order
    assert second.cursor is None
    assert {key.prefix for key in first.items + second.items} == {each.secret[:8] for each in created}
    assert created[0].secret not in repr(created[0])
    with pytest.raises(InvalidRequest):
        await keys.list_keys(tenant.id, cursor="nonsense")


async def test_a_key_is_stored_as_its_digest_only(rows: AccessRows, tenants: Tenants, keys: ApiKeys) -> None:
    tenant = await tenants.create_tenant("acme", "Acme")
    created = await keys.create_key(tenant.id, "first", ["inference"])

    (record,) = await rows.find_keys([digest_of(created.secret), digest_of("something else")])

    assert record.tenant_id == tenant.id
    assert record.key_id == created.key.id
    assert record.tenant_slug == "acme"
    assert record.scopes == {"inference"}


async def test_another_tenants_key_looks_like_a_missing_one(tenants: Tenants, keys: ApiKeys) -> None:
    acme = await tenants.create_tenant("acme", "Acme")
    other = await tenants.create_tenant("other", "Other")
    created = await keys.create_key(acme.id, "first")

    for tenant_id, key_id in [(other.id, str(created.key.id)), (acme.id, str(uuid7())), (acme.id, "nonsense")]:
        with pytest.raises(NotFound) as missing:
            await keys.revoke_key(tenant_id, key_id)
        assert missing.value.message == "There is no such key."
    assert (await keys.list_keys(other.id)).items == []
    assert (await keys.list_keys(acme.id)).items[0].revoked_at is None


async def test_a_publishable_key_knows_its_origins_and_may_nothing_but_ask(tenants: Tenants, keys: ApiKeys) -> None:
    tenant = await tenants.create_tenant("acme", "Acme")
    other = await tenants.create_tenant("other", "Other")
    made = await keys.create_key(
        tenant.id, "shop", ["support"], origins=["https://Shop.example/", "http://localhost:3000", ""]
    )

    assert made.key.origins == {"https://shop.example", "http://localhost:3000"}
    assert await keys.key(tenant.id, made.key.id) == made.key
    assert (await keys.list_keys(tenant.id)).items == [made.key]
    assert (await keys.revoke_key(tenant.id, made.key.id)).origins == made.key.origins
    with pytest.raises(NotFound):
        await keys.key(other.id, made.key.id)


@pytest.mark.parametrize(
    ("scopes", "origins"),
    [
        (["support", "inference"], ["https://shop.example"]),
        (["inference"], ["https://shop.example"]),
        (["support"], ["shop.example"]),
        (["support"], ["https://shop.example/path"]),
        (["support"], ["https://*"]),
        (["support"], ["https://a; script-src *"]),
        (["support"], ["https://a b"]),
        (["support"], ["javascript:alert(1)"]),
        (["support"], [f"https://{n}.example" for n in range(21)]),
    ],
)
async def test_origins_that_a_key_cannot_have(
    scopes: list[str], origins: list[str], tenants: Tenants, keys: ApiKeys
) -> None:
    tenant = await tenants.create_tenant("acme", "Acme")
    with pytest.raises(InvalidRequest) as refused:
        await keys.create_key(tenant.id, "shop", scopes, origins=origins)
    assert refused.value.param == "origins"


async def test_revoking_twice_keeps_the_first_time(tenants: Tenants, keys: ApiKeys, clock: FakeClock) -> None:
    tenant = await tenants.create_tenant("acme", "Acme")
    created = await keys.create_key(tenant.id, "first")

    first = await keys.revoke_key(tenant.id, str(created.key.id))
    clock.advance(60)
    again = await keys.revoke_key(tenant.id, created.key.id)

    assert first.revoked_at is not None
    assert again == first


async def test_keys_that_cannot_be_made(tenants: Tenants, keys: ApiKeys, clock: FakeClock) -> None:
    tenant = await tenants.create_tenant("acme", "Acme")

    with pytest.raises(InvalidRequest):
        await keys.create_key(tenant.id, "")
    with pytest.raises(InvalidRequest):
        await keys.create_key(tenant.id, "root", ["everything"])
    with pytest.raises(InvalidRequest):
        await keys.create_key(tenant.id, "late", expires_at=clock.now())
    with pytest.raises(InvalidRequest):
        await keys.create_key(tenant.id, "naive", expires_at=(clock.now() + timedelta(days=1)).replace(tzinfo=None))
    with pytest.raises(NotFound):
        await keys.create_key(TenantId(uuid7()), "nobody's")


async def test_installing_a_key_is_idempotent_and_makes_its_tenant(
    rows: AccessRows, tenants: Tenants, keys: ApiKeys, clock: FakeClock
) -> None:
    secret = "a-secret-of-the-operator"
    first = await keys.install_key("default", secret)
    again = await keys.install_key("default", secret)

    assert again == first
    tenant = await tenants.tenant("default")
    assert (await keys.list_keys(tenant.id)).items == [first]
    async with Keyring(rows, clock) as keyring:
        assert (await keyring.load(secret)).tenant_id == tenant.id
    with pytest.raises(Conflict):
        await keys.install_key("other", secret)


async def test_an_installed_key_that_was_revoked_stays_revoked(tenants: Tenants, keys: ApiKeys) -> None:
    installed = await keys.install_key("default", "a-secret-of-the-operator")
    await keys.revoke_key(installed.tenant_id, installed.id)

    assert (await keys.install_key("default", "a-secret-of-the-operator")).revoked_at is not None


async def test_the_feed_tells_of_every_change_to_a_key(rows: AccessRows, tenants: Tenants, keys: ApiKeys) -> None:
    tenant = await tenants.create_tenant("acme", "Acme")
    start = (await rows.changed_keys(None)).position

    created = await keys.create_key(tenant.id, "first")
    after_create = await rows.changed_keys(start)
    await keys.revoke_key(tenant.id, created.key.id)
    after_revoke = await rows.changed_keys(after_create.position)
    quiet = await rows.changed_keys(after_revoke.position)

    digest = digest_of(created.secret)
    assert [record.revoked_at for record in after_create.records if record.digest == digest] == [None]
    assert all(record.revoked_at for record in after_revoke.records if record.digest == digest)
    assert digest in {record.digest for record in after_revoke.records}
    assert start <= after_create.position <= after_revoke.position <= quiet.position


# -- accounts --------------------------------------------------------------------------------


async def test_signing_up_makes_a_tenant_an_owner_and_a_session(accounts: Accounts, tenants: Tenants) -> None:
    signed_up = await accounts.sign_up(" Ann@Example.org", PASSWORD, "Acme & Söhne")

    session = await accounts.session(signed_up.token)
    assert session == signed_up.session
    assert session is not None
    assert (session.login, session.tenant_name) == ("ann@example.org", "Acme & Söhne")
    assert session.principal.scopes == ALL_SCOPES
    tenant = await tenants.tenant(session.principal.tenant_slug)
    assert tenant.id == session.principal.tenant_id
    assert tenant.slug.startswith("acme-sohne-")
    assert signed_up.token not in repr(signed_up)


async def test_logging_in_and_out(accounts: Accounts) -> None:
    signed_up = await accounts.sign_up("ann", PASSWORD, "Acme")
    logged_in = await accounts.log_in("ANN", PASSWORD)
    assert logged_in.token != signed_up.token
    assert logged_in.session.principal == signed_up.session.principal

    await accounts.log_out(logged_in.token)
    await accounts.log_out("unknown")

    assert await accounts.session(logged_in.token) is None
    assert await accounts.session(signed_up.token) is not None


async def test_an_unknown_login_a_wrong_password_and_nonsense_read_alike(accounts: Accounts) -> None:
    await accounts.sign_up("ann", PASSWORD, "Acme")

    messages = set()
    for login, password in [
        ("ann", "wrong"),
        ("bob", PASSWORD),
        ("\x00", PASSWORD),
        ("ann", "x" * 100_000),
        ("ann", ""),
    ]:
        with pytest.raises(Unauthenticated) as refused:
            await accounts.log_in(login, password)
        messages.add(refused.value.message)
    assert len(messages) == 1


async def test_a_taken_login_is_a_conflict_and_leaves_nothing_behind(accounts: Accounts, tenants: Tenants) -> None:
    await accounts.sign_up("ann", PASSWORD, "Acme")

    with pytest.raises(Conflict) as taken:
        await accounts.sign_up("Ann", PASSWORD, "Imposter")

    assert taken.value.param == "login"
    assert [tenant.name for tenant in (await tenants.list_tenants()).items] == ["Acme"]


async def test_rows_refuse_a_taken_login_whole(rows: AccessRows, accounts: Accounts, tenants: Tenants) -> None:
    await accounts.sign_up("ann", PASSWORD, "Acme")
    found = await rows.user_by_login("ann")
    assert found is not None
    user, tenant = found

    late = TenantId(uuid7())
    with pytest.raises(Conflict):
        await rows.add_tenant(
            type(tenant)(id=late, slug="late", name="Late", created_at=tenant.created_at),
            type(user)(id=user.id, tenant_id=late, login="ann", password_hash="-", created_at=user.created_at),
        )

    with pytest.raises(NotFound):
        await tenants.tenant("late")


async def test_a_session_ends_when_idle(accounts: Accounts, clock: FakeClock) -> None:
    token = (await accounts.sign_up("ann", PASSWORD, "Acme")).token
    for _ in range(3):
        clock.advance(IDLE.total_seconds() - 1)
        assert await accounts.session(token) is not None

    clock.advance(IDLE.total_seconds())
    assert await accounts.session(token) is None


async def test_a_session_ends_at_last_however_busy(accounts: Accounts, clock: FakeClock) -> None:
    token = (await accounts.sign_up("ann", PASSWORD, "Acme")).token
    step_s = IDLE.total_seconds() / 2
    for _ in range(int(ABSOLUTE.total_seconds() / step_s) - 1):
        clock.advance(step_s)
        assert await accounts.session(token) is not None

    clock.advance(step_s)
    assert await accounts.session(token) is None


async def test_ended_sessions_are_swept_at_the_next_log_in(
    rows: AccessRows, accounts: Accounts, clock: FakeClock
) -> None:
    old = await accounts.sign_up("ann", PASSWORD, "Acme")
    clock.advance(IDLE.total_seconds() + 1)

    await accounts.log_in("ann", PASSWORD)

    assert await rows.session(digest_of(old.token)) is None


@pytest.mark.parametrize("token", ["", "unknown", "x" * 1000, "\x00", "\ud800"])
async def test_tokens_that_are_nobodys(token: str, accounts: Accounts) -> None:
    assert await accounts.session(token) is None


async def test_guessing_is_slowed_down(accounts: Accounts, clock: FakeClock) -> None:
    await accounts.sign_up("ann", PASSWORD, "Acme")
    with pytest.raises(RateLimited) as limited:
        for _ in range(100):
            with pytest.raises(Unauthenticated):
                await accounts.log_in("ann", "wrong")

    assert limited.value.retry_after_s is not None
    clock.advance(limited.value.retry_after_s)
    assert (await accounts.log_in("ann", PASSWORD)).session.login == "ann"


async def test_the_password_hash_follows_the_parameters_in_use(
    rows: AccessRows, accounts: Accounts, clock: FakeClock
) -> None:
    await accounts.sign_up("ann", PASSWORD, "Acme")
    before = await rows.user_by_login("ann")
    stronger = Accounts(rows, cheap_passwords(time_cost=2), clock)

    await stronger.log_in("ann", PASSWORD)

    after = await rows.user_by_login("ann")
    assert before is not None
    assert after is not None
    assert "t=1" in before[0].password_hash
    assert "t=2" in after[0].password_hash
    assert (await stronger.log_in("ann", PASSWORD)).session.login == "ann"


async def test_naughty_strings_are_refused_or_kept_exactly(
    rows: AccessRows, accounts: Accounts, tenants: Tenants, keys: ApiKeys, clock: FakeClock
) -> None:
    tenant = await tenants.create_tenant("acme", "Acme")
    kept: dict[KeyId, str] = {}
    for text in naughty_strings():
        try:
            created = await keys.create_key(tenant.id, text)
        except InvalidRequest:
            continue
        kept[created.key.id] = created.key.name
    assert len(kept) > 300

    stored: dict[KeyId, str] = {}
    cursor = None
    while True:
        page = await keys.list_keys(tenant.id, cursor=cursor, limit=100)
        stored |= {key.id: key.name for key in page.items}
        if (cursor := page.cursor) is None:
            break
    assert stored == kept

    for text in naughty_strings():
        clock.advance(3600)
        for attempt in (tenants.tenant(text), accounts.log_in(text, text), keys.revoke_key(tenant.id, text)):
            with pytest.raises(TenfoldError):
                await attempt
