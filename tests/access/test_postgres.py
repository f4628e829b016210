"""What only a real database can show: commits out of order, hints, and the wall between tenants."""

import asyncio

from tenfold.access.accounts import Accounts
from tenfold.access.handlers import ApiKeys, Tenants
from tenfold.access.keyring import Keyring
from tenfold.access.queries import KeyHint, PostgresAccessRows
from tenfold.access.secret_text import digest_of
from tenfold.core.clock import FakeClock
from tenfold.core.ids import uuid7
from tenfold.store import Store
from tests.support.passwords import cheap_passwords


async def test_a_change_that_commits_late_is_still_told(store: Store, clock: FakeClock) -> None:
    """Positions by time stamp or by sequence would step over the late one."""
    rows = PostgresAccessRows(store)
    tenants = Tenants(rows, clock)
    tenant = await tenants.create_tenant("acme", "Acme")
    keys = ApiKeys(rows, tenants, clock)
    position = (await rows.changed_keys(None)).position
    late = digest_of("a key whose transaction takes long")

    async with store.tenant(tenant.id) as tx:
        await tx.execute(
            "INSERT INTO key_directory (digest, tenant_id, key_id, scopes) VALUES ($1, $2, $3, '{}')",
            late,
            tenant.id,
            uuid7(),
        )
        early = digest_of((await keys.create_key(tenant.id, "committed first")).secret)
        meanwhile = await rows.changed_keys(position)
    afterwards = await rows.changed_keys(meanwhile.position)

    assert {record.digest for record in meanwhile.records} == {early}
    assert late in {record.digest for record in afterwards.records}


async def test_a_revocation_reaches_other_processes_by_hint(store: Store, clock: FakeClock) -> None:
    rows = PostgresAccessRows(store)
    keys = ApiKeys(rows, Tenants(rows, clock), clock)
    installed = await keys.install_key("acme", "operator-chosen-secret")
    hint = KeyHint()
    await hint.listen(store)

    async with Keyring(rows, clock, hint, poll_s=3600) as keyring:  # so long a poll: only the hint can be the cause
        await keyring.load("operator-chosen-secret")
        await keys.revoke_key(installed.tenant_id, installed.id)
        async with asyncio.timeout(10):
            while keyring.authenticate("operator-chosen-secret") is not None:
                await asyncio.sleep(0.01)


async def test_a_new_plan_reaches_other_processes_by_hint(store: Store, clock: FakeClock) -> None:
    rows = PostgresAccessRows(store)
    tenants = Tenants(rows, clock)
    await ApiKeys(rows, tenants, clock).install_key("acme", "operator-chosen-secret")
    hint = KeyHint()
    await hint.listen(store)

    async with Keyring(rows, clock, hint, poll_s=3600) as keyring:
        known = await keyring.load("operator-chosen-secret")
        await tenants.set_plan("acme", "pro")
        async with asyncio.timeout(10):
            while known.plan != "pro":
                await asyncio.sleep(0.01)
                found = keyring.authenticate("operator-chosen-secret")
                assert found is not None
                known = found


async def test_a_key_added_while_the_plan_changes_is_told_of_it(store: Store, clock: FakeClock) -> None:
    """Else it could be known with the old plan for good: the change would have passed it by."""
    rows = PostgresAccessRows(store)
    tenants = Tenants(rows, clock)
    tenant = await tenants.create_tenant("acme", "Acme")
    keys = ApiKeys(rows, tenants, clock)
    position = (await rows.changed_keys(None)).position

    async with store.tenant(tenant.id) as tx:
        await tx.execute("UPDATE tenants SET plan = 'pro' WHERE id = $1", tenant.id)
        adding = asyncio.create_task(keys.create_key(tenant.id, "meanwhile"))
        async with asyncio.timeout(10):
            while not await tx.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(0.01)
        assert not adding.done()
    created = await adding

    told = {record.digest: record.plan for record in (await rows.changed_keys(position)).records}
    assert told[digest_of(created.secret)] == "pro"


async def test_processes_that_install_the_same_key_at_once_agree(store: Store, clock: FakeClock) -> None:
    rows = PostgresAccessRows(store)
    keys = ApiKeys(rows, Tenants(rows, clock), clock)

    installed = await asyncio.gather(*(keys.install_key("default", "operator-chosen-secret") for _ in range(4)))

    assert len({key.id for key in installed}) == 1
    assert len((await keys.list_keys(installed[0].tenant_id)).items) == 1


async def test_no_tenant_sees_anothers_rows_even_without_a_where(store: Store, clock: FakeClock) -> None:
    rows = PostgresAccessRows(store)
    accounts = Accounts(rows, cheap_passwords(), clock)
    tenants = Tenants(rows, clock)
    keys = ApiKeys(rows, tenants, clock)
    mine = (await accounts.sign_up("ann", "correct horse", "Acme")).session.principal
    theirs = (await accounts.sign_up("bob", "correct horse", "Other")).session.principal
    for principal in (mine, theirs):
        await keys.create_key(principal.tenant_id, "first")

    async with store.tenant(mine.tenant_id) as tx:
        for table in ("users", "api_keys", "sessions"):
            seen = await tx.fetch(f"SELECT tenant_id FROM {table}")
            assert [row["tenant_id"] for row in seen] == [mine.tenant_id]
