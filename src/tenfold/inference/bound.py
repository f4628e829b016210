"""What a call may cost at most, before anybody is asked: every budget, ceiling and draft receipt stands on it."""

from msgspec import Struct

from tenfold.core.call import Call
from tenfold.core.errors import PriceUnknown
from tenfold.inference.route import Route


class Bound(Struct, frozen=True, kw_only=True, gc=False):
    """No call can use or cost more, whichever target of its route serves it. Money is 10^-9 USD."""

    input_tokens: int
    output_tokens: int
    nano: int


MAX_OUTPUT_TOKENS = 128_000


def bound_of(call: Call, route: Route) -> Bound:
    """Raises PriceUnknown when a target has no price."""
    peek = call.peek
    assert peek is not None
    input_tokens = len(call.body)
    output_tokens = 0 if call.operation == "embeddings" else (peek.max_tokens or MAX_OUTPUT_TOKENS) * peek.n
    nano = 0
    for target in route.targets:
        quote = target.quote(call.started_at)
        if quote is None:
            raise PriceUnknown(f"No price is known for the model `{route.model}` at `{target.provider.name}`.")
        nano = max(nano, quote.bound(input_tokens, output_tokens))
    return Bound(input_tokens=input_tokens, output_tokens=output_tokens, nano=nano)
