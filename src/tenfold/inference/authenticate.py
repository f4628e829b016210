"""Stage 1, authenticate: the key a client presents to its Principal. No query when the key is known here."""

from typing import Protocol

from tenfold.core.errors import Unauthenticated
from tenfold.core.principal import SCOPE_INFERENCE, Principal


class Keys(Protocol):
    def authenticate(self, presented: bytes) -> Principal | None:
        """The principal of a key known in memory; None when it must be loaded.
        Raises Unauthenticated, StoreUnavailable."""
        ...

    async def load(self, presented: bytes) -> Principal:
        """Raises Unauthenticated, StoreUnavailable."""
        ...


async def authenticate(keys: Keys, authorization: bytes | None, api_key: bytes | None) -> Principal:
    """`Authorization: Bearer KEY` (OpenAI) or `x-api-key: KEY` (Anthropic).
    Raises Unauthenticated, PermissionDenied, StoreUnavailable."""
    if authorization is not None and authorization[:7].lower() == b"bearer ":
        presented = authorization[7:].strip()
    elif api_key is not None:
        presented = api_key.strip()
    else:
        raise Unauthenticated("No API key. Send `Authorization: Bearer <key>` or `x-api-key: <key>`.")
    principal = keys.authenticate(presented)
    if principal is None:
        principal = await keys.load(presented)
    principal.require(SCOPE_INFERENCE)
    return principal
