"""Which header holds the key, and what a principal needs to call models."""

import pytest

from tenfold.core.errors import PermissionDenied, Unauthenticated
from tenfold.core.principal import SCOPE_USAGE, Principal
from tenfold.inference.authenticate import authenticate
from tests.support.pipeline import principal

ACME = principal()
READER = Principal(tenant_id=ACME.tenant_id, tenant_slug="acme", scopes=frozenset({SCOPE_USAGE}))


class Keys:
    """`known` is in memory, `stored` must be loaded."""

    def __init__(self) -> None:
        self.loaded: list[bytes] = []

    def authenticate(self, presented: bytes) -> Principal | None:
        return {b"known": ACME, b"reader": READER}.get(presented)

    async def load(self, presented: bytes) -> Principal:
        self.loaded.append(presented)
        if presented != b"stored":
            raise Unauthenticated("No.")
        return ACME


@pytest.mark.parametrize(
    ("authorization", "api_key"),
    [
        (b"Bearer known", None),
        (b"bearer  known ", None),
        (None, b" known"),
        (b"Bearer known", b"other"),
        (b"Basic dXNlcg==", b"known"),
    ],
)
async def test_a_known_key_is_not_loaded(authorization: bytes | None, api_key: bytes | None) -> None:
    keys = Keys()
    assert await authenticate(keys, authorization, api_key) is ACME
    assert keys.loaded == []


async def test_a_key_that_is_not_known_is_loaded() -> None:
    keys = Keys()
    assert await authenticate(keys, b"Bearer stored", None) is ACME
    assert keys.loaded == [b"stored"]


@pytest.mark.parametrize("authorization", [None, b"", b"Basic dXNlcg==", b"known", b"Bearer"])
async def test_without_a_key_nothing_is_looked_up(authorization: bytes | None) -> None:
    keys = Keys()
    with pytest.raises(Unauthenticated, match="No API key"):
        await authenticate(keys, authorization, None)
    assert keys.loaded == []


async def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(Unauthenticated):
        await authenticate(Keys(), b"Bearer wrong", None)


async def test_a_key_without_the_scope_is_refused() -> None:
    with pytest.raises(PermissionDenied, match="inference"):
        await authenticate(Keys(), b"Bearer reader", None)
