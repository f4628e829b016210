"""Which calls leave the request path: those whose client says that it may be so, and those of features that say so of
calls which will take long, as calls of this tenant to this model have taken.
"""

from collections.abc import Mapping
from typing import Protocol

from tenfold.core.call import Call
from tenfold.core.errors import TenfoldError
from tenfold.core.ids import TenantId
from tenfold.inference import respond
from tenfold.inference.degrade import feature_of
from tenfold.inference.policy import Feature
from tenfold.inference.ports import Parking, Responder


class Paces(Protocol):
    """How long calls take. See tenfold.ledger.paces."""

    async def expected_s(self, tenant_id: TenantId, model: str, max_tokens: int | None) -> float | None:
        """None: too few calls to tell. Raises StoreUnavailable."""
        ...


class Offload:
    """`dialects`: of the clients whose calls may leave."""

    def __init__(
        self, parking: Parking, paces: Paces, features: Mapping[str, Feature], *, dialects: frozenset[str]
    ) -> None:
        self._parking = parking
        self._paces = paces
        self._features = {name: feature for name, feature in features.items() if feature.offload_s is not None}
        self._dialects = dialects

    def may(self, call: Call) -> bool:
        """Whether `take` is worth asking."""
        options = call.options
        return (options.respond_async or bool(self._features)) and options.upstream_key is None

    async def take(self, call: Call, responder: Responder) -> bool:
        """Whether the call was accepted to be answered later, and its client told. Raises RateLimited, Overloaded,
        TooLarge, StoreUnavailable where the client asked for it; else the call stays where it is."""
        if call.dialect not in self._dialects or not (call.options.respond_async or await self._is_long(call)):
            return False
        try:
            ticket = await self._parking.accept(call, call.options.wait_s)
        except TenfoldError:
            if call.options.respond_async:
                raise
            return False
        call.ticket = ticket.id
        if ticket.reply is not None and not call.stream:
            respond.whole(call, ticket.reply, responder)
        else:
            respond.accepted(call, ticket.id, ticket.state, responder)
        return True

    async def _is_long(self, call: Call) -> bool:
        feature = feature_of(self._features, call)
        if feature is None or feature.offload_s is None or call.stream or call.operation != "chat":
            return False
        peek = call.peek
        assert peek is not None
        try:
            expected_s = await self._paces.expected_s(call.principal.tenant_id, call.model, peek.max_tokens)
        except TenfoldError:
            return False
        return expected_s is not None and expected_s > feature.offload_s
