"""Who is asking: the one value that gateway, cache, retrieval, jobs and ledger scope by."""

from msgspec import Struct

from tenfold.core.errors import PermissionDenied
from tenfold.core.ids import KeyId, TenantId, UserId

SCOPE_INFERENCE = "inference"  # call models, ask the assistant
SCOPE_KEYS = "keys"  # create, list and revoke API keys
SCOPE_USAGE = "usage"  # read receipts and spend, report outcomes
SCOPE_BUDGETS = "budgets"  # set limits and budgets
SCOPE_FLAGS = "flags"  # set feature flags, switch features and models off
SCOPE_WEBHOOKS = "webhooks"  # set webhook endpoints, read what was delivered
SCOPE_SUPPORT = "support"  # open and follow support tickets: all that a publishable key may
SCOPE_APPROVE = "approve"  # let one call cost more than the ceiling of a call
ALL_SCOPES = frozenset(
    {SCOPE_INFERENCE, SCOPE_KEYS, SCOPE_USAGE, SCOPE_BUDGETS, SCOPE_FLAGS, SCOPE_WEBHOOKS, SCOPE_SUPPORT, SCOPE_APPROVE}
)


class Principal(Struct, frozen=True, kw_only=True):
    """A tenant, seen through an API key (`key_id`) or a signed-in person (`user_id`)."""

    tenant_id: TenantId
    tenant_slug: str
    key_id: KeyId | None = None
    user_id: UserId | None = None
    scopes: frozenset[str] = frozenset()
    plan: str | None = None  # of the tenant, as the operator has named it

    def require(self, scope: str) -> None:
        """Raises PermissionDenied when the principal lacks the scope."""
        if scope not in self.scopes:
            raise PermissionDenied(f"This key does not have the scope '{scope}'.")
