"""What is made ready before the first worker: a folder for its owner only, and a first key that works."""

import stat
from pathlib import Path

import pytest

from tenfold.access.handlers import ApiKeys, Tenants
from tenfold.access.keyring import Keyring
from tenfold.access.queries import PostgresAccessRows
from tenfold.app.server import DEFAULT_TENANT, first_key, prepare_home, welcome
from tenfold.app.settings import Settings, load
from tenfold.core.clock import SystemClock
from tenfold.core.errors import Unauthenticated
from tenfold.store import Store

BOOTSTRAP = "tf-chosen-by-the-operator-0123456789"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def settings(home: Path, **environment: str) -> Settings:
    return load(None, home, environment)


async def tenant_of(store: Store, key: str) -> str:
    async with Keyring(PostgresAccessRows(store), SystemClock()) as keyring:
        return (await keyring.load(key)).tenant_slug


def test_the_home_is_its_owners_alone_and_begins_clean(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    prepare_home(home)
    assert mode(home) == 0o700
    (home / "run" / "announced").touch()
    (home / "run" / "metrics" / "1.json").touch()
    (home / "first-key").touch()
    prepare_home(home)
    assert list((home / "run").rglob("*")) == [home / "run" / "metrics"]
    assert (home / "first-key").exists()


async def test_the_first_key_works_and_stays(tmp_path: Path, store: Store) -> None:
    key = await first_key(settings(tmp_path), store)
    assert key is not None
    assert await tenant_of(store, key) == DEFAULT_TENANT
    assert mode(tmp_path / "first-key") == 0o600
    assert await first_key(settings(tmp_path), store) == key
    assert [path.name for path in tmp_path.iterdir()] == ["first-key"]


async def test_a_key_chosen_by_the_operator_is_not_shown(tmp_path: Path, store: Store) -> None:
    assert await first_key(settings(tmp_path, TENFOLD_BOOTSTRAP_KEY=BOOTSTRAP), store) is None
    assert await tenant_of(store, BOOTSTRAP) == DEFAULT_TENANT
    assert list(tmp_path.iterdir()) == []


async def test_a_first_key_that_was_revoked_stays_revoked(tmp_path: Path, store: Store) -> None:
    key = await first_key(settings(tmp_path), store)
    assert key is not None
    rows, clock = PostgresAccessRows(store), SystemClock()
    tenants = Tenants(rows, clock)
    keys = ApiKeys(rows, tenants, clock)
    owner = await tenants.tenant(DEFAULT_TENANT)
    [stored] = (await keys.list_keys(owner.id)).items
    await keys.revoke_key(owner.id, stored.id)
    assert await first_key(settings(tmp_path), store) == key
    with pytest.raises(Unauthenticated):
        await tenant_of(store, key)


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("box", "box")]
)
def test_the_welcome_can_be_pasted(host: str, shown: str) -> None:
    text = welcome(host, 8080, "tf-key")
    assert f"Open http://{shown}:8080/" in text
    assert f"curl http://{shown}:8080/v1/chat/completions" in text
    assert "Bearer tf-key" in text
    assert "Bearer $TENFOLD_BOOTSTRAP_KEY" in welcome(host, 8080, None)
