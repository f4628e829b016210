"""What a call may cost at most, before anybody is asked: every budget, ceiling and draft receipt stands on it.

A token is at least one byte of what the client sent, since every tokenizer in use falls back to bytes. To that come
what providers add unasked, and what a request lets the model read beside its own text (`core.call.Reach`).
"""

from collections.abc import Sequence

from msgspec import Struct

from tenfold.core.call import Call, Reach
from tenfold.core.errors import PriceUnknown
from tenfold.inference.route import Cost, Target


class Bound(Struct, frozen=True, kw_only=True, gc=False):
    """No call can use or cost more, whichever target of its route serves it. Money is 10^-9 USD; `nano` is the whole of
    it, price per request included."""

    input_tokens: int
    output_tokens: int
    nano: int
    input_nano: int = 0
    output_nano: int = 0


# What providers put before the client's words. Measured over 651 recorded calls of seven providers: at most 496 tokens
# (a preamble of Cohere's) without tools, with them 1,089 more than the bytes sent (Cohere). By Anthropic's own tables
# its tools for computer, editor, shell and memory come to 2,500 when all are there.
UNASKED_TOKENS = 1_024
UNASKED_TOOL_TOKENS = 4_096

MOST_OUTPUT = 2_097_152  # no model writes more in one answer, whatever the request allows

SEARCH_ROUNDS = 10
"""Anthropic's servers go round so often at most before they hand a turn back; others say nothing of it."""

_TEXT_ONLY = Reach()


def bound_of(call: Call, targets: Sequence[Target], *, more_bytes: int = 0) -> Bound:
    """Whichever of the targets serves the call. 1.5 us for a plain text call and one target. Raises PriceUnknown when a
    target has no price."""
    peek = call.peek
    assert peek is not None
    reach = peek.reach
    is_embedding = call.operation == "embeddings"
    text = len(call.body) + more_bytes
    if not is_embedding:
        text += UNASKED_TOOL_TOKENS if peek.has_tools else UNASKED_TOKENS
    asked = peek.max_tokens
    most_input = most_output = 0
    dearest: Cost | None = None
    for target in targets:
        quote = target.quote(call.started_at)
        if quote is None:
            raise _unknown(target)
        output = 0 if is_embedding else (target.most_output if asked is None else min(asked, MOST_OUTPUT)) * peek.n
        if is_embedding:
            input_tokens = text  # a window holds for each text of many
        elif reach is None and not target.searches:
            input_tokens = text if text < target.window else target.window
        else:
            input_tokens, output = _with_reach(reach or _TEXT_ONLY, target, text, len(call.body), output)
        cost = quote.bound(input_tokens, output)
        most_input, most_output = max(most_input, input_tokens), max(most_output, output)
        if dearest is None or cost.total_nano > dearest.total_nano:
            dearest = cost
    assert dearest is not None
    return Bound(
        input_tokens=most_input,
        output_tokens=most_output,
        nano=dearest.total_nano,
        input_nano=dearest.input_nano,
        output_nano=dearest.output_nano,
    )


def _with_reach(reach: Reach, target: Target, text: int, body: int, output: int) -> tuple[int, int]:
    """Input and output tokens of a call that reads or writes more than its own text says."""
    windows, rounds = reach.windows, reach.rounds
    if target.searches:
        windows, rounds = max(windows, SEARCH_ROUNDS), max(rounds, SEARCH_ROUNDS)
    if reach.echoed:
        output += body
    if windows:
        return windows * target.window, output * rounds
    own = text - reach.image_bytes + reach.images * target.image_tokens
    return min(own, target.window), output * rounds


def _unknown(target: Target) -> PriceUnknown:
    name = target.model
    return PriceUnknown(
        f"No price is known for the model `{name}` at the provider `{target.provider.name}`, so the call was not "
        f'begun. The operator can set one: [models."{name}"] price = {{ input = "0.50", output = "1.50" }} (USD per '
        "million tokens; 0 where it costs nothing), or [budgets] default_price for all models without one.",
        param="model",
    )
