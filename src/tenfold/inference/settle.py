"""Stage 7, settle: usage to cost, and the call handed to receipts, logs, metrics and traces. Runs once for every call,
also for one that failed, was cut or was abandoned.

What a provider may have worked on and did not tell is charged at the bound, and marked as estimated; never at zero in
silence. What surely cost nothing stays without a cost: a refusal, an error status, a request that was never sent.
"""

import time

from msgspec import structs

from tenfold.core.call import Call
from tenfold.core.usage import Usage
from tenfold.inference.admit import Held
from tenfold.inference.bound import Bound
from tenfold.inference.route import Cost, Quote, Target

# With `broken_streams = "received"`: one token per so many bytes of what arrived. An event of one token is 150 to 330
# bytes on the wires of the three providers.
BYTES_PER_STREAMED_TOKEN = 100
BYTES_PER_INPUT_TOKEN = 3

ABSURD_TOKENS = 1 << 27
"""Ten rounds of the largest window there is come to 100 million: whoever tells more than this miscounts."""


def price(call: Call, target: Target) -> None:
    """Put the cost on the call: of the usage it was told, else an estimate. For a reply that began, or may have."""
    quote = target.quote(call.started_at)
    if quote is None:
        return
    bound = _bound(call)
    usage = call.usage
    if usage is not None and bound is not None and bound.nano and _is_implausible(usage):
        call.implausible, call.usage, usage = True, None, None
    if usage is None:
        _estimate(call, target, quote, bound)
        return
    cost = quote.cost(usage)
    _charge(call, cost)
    if bound is not None and (
        usage.input_tokens > bound.input_tokens
        or usage.output_tokens > bound.output_tokens
        or cost.total_nano > bound.nano
    ):
        call.over_bound = True


def settle(call: Call, target: Target | None) -> None:
    """`target`: who answered, if anybody did."""
    call.finished = time.perf_counter()
    if call.cache_state == "hit":
        if call.unanswered or call.lost_nano or call.earlier_usage is not None:
            call.usage = target = None  # a stale answer, after attempts that may be billed: those are what it used
        else:
            call.input_cost_nano = call.output_cost_nano = call.cost_nano = 0
    if call.cost_nano is None:
        if target is not None and (call.usage is not None or call.unanswered):
            price(call, target)
        elif call.unanswered or call.lost_nano:
            _charge_unanswered(call)
        elif call.earlier_usage is not None or (call.degraded and call.status == "ok"):
            call.cost_nano = call.earlier_nano  # a template or a ticket costs nothing itself
    if call.earlier_usage is not None:
        call.usage = call.earlier_usage if call.usage is None else call.usage + call.earlier_usage
    if call.error is not None:
        _let_frames_go(call.error)


def _bound(call: Call) -> Bound | None:
    return call.admission.bound if isinstance(call.admission, Held) else None


def _is_implausible(usage: Usage) -> bool:
    """No request is of no token, and none of that many."""
    return usage.input_tokens == 0 or usage.input_tokens > ABSURD_TOKENS or usage.output_tokens > ABSURD_TOKENS


def _estimate(call: Call, target: Target, quote: Quote, bound: Bound | None) -> None:
    """For a call that told no usage, or less than all of it."""
    begun = call.begun_usage
    if begun is not None and _is_implausible(begun):
        begun = None
    if target.broken_streams == "received" and call.first_byte is not None:
        call.usage, call.estimated = _received(call, begun), True
        _charge(call, quote.cost(call.usage))
    elif bound is None:
        return
    elif begun is None:
        _charge_bound(call, bound, quote)
    else:
        output = max(bound.output_tokens, begun.output_tokens)
        call.usage, call.estimated = structs.replace(begun, output_tokens=output), True
        call.over_bound = begun.input_tokens > bound.input_tokens
        _charge(call, quote.rest_unknown(begun, output))


def _charge_unanswered(call: Call) -> None:
    """Attempts that may be billed, and nobody answered."""
    bound = _bound(call)
    if bound is not None and call.unanswered:
        _charge_bound(call, bound)
    elif bound is not None:
        call.usage = Usage(input_tokens=bound.input_tokens, output_tokens=bound.output_tokens)
        call.input_cost_nano, call.output_cost_nano = bound.input_nano, bound.output_nano
        call.cost_nano, call.estimated = call.lost_nano + call.earlier_nano, True


def _received(call: Call, begun: Usage | None) -> Usage:
    """By the bytes that arrived."""
    known = begun or Usage(input_tokens=-(-len(call.body) // BYTES_PER_INPUT_TOKEN))
    output = -(-call.stream_bytes // BYTES_PER_STREAMED_TOKEN)
    if call.peek is not None and call.peek.max_tokens is not None:
        output = min(output, call.peek.max_tokens * call.peek.n)
    return structs.replace(known, output_tokens=max(output, known.output_tokens))


def _charge_bound(call: Call, bound: Bound, quote: Quote | None = None) -> None:
    """`quote`: of who was asked, when that is known; the bound is that of the dearest who could have been."""
    call.usage = Usage(input_tokens=bound.input_tokens, output_tokens=bound.output_tokens)
    call.estimated = True
    if quote is not None:
        cost = quote.bound(bound.input_tokens, bound.output_tokens)
        if cost.total_nano <= bound.nano:
            _charge(call, cost)
            return
    call.input_cost_nano, call.output_cost_nano = bound.input_nano, bound.output_nano
    call.cost_nano = bound.nano + call.lost_nano + call.earlier_nano


def _charge(call: Call, cost: Cost) -> None:
    call.input_cost_nano, call.output_cost_nano = cost.input_nano, cost.output_nano
    call.cost_nano = cost.total_nano + call.lost_nano + call.earlier_nano
    if call.lost_nano:
        call.estimated = True


def _let_frames_go(error: BaseException | None) -> None:
    """A call knows its error, whose traceback knows the frames that know the call: a circle that keeps whole request
    bodies until the collector comes by, and it comes by seldom."""
    while error is not None:
        error.__traceback__, cause = None, error.__cause__ or error.__context__
        error.__cause__ = error.__context__ = None
        error = cause
