"""Stage 7, settle: usage to cost, and the call handed to receipts, logs, metrics and traces. Runs once for every call,
also for one that failed, was cut or was abandoned."""

import time

from msgspec import structs

from tenfold.core.call import Call
from tenfold.core.usage import Usage
from tenfold.inference.route import Target

# What a stream that died before its usage frame is charged: one token per so many bytes. An event of one token is
# 150 to 330 bytes on the wires of the three providers, so this errs high; the receipt says it is an estimate.
BYTES_PER_STREAMED_TOKEN = 100
BYTES_PER_INPUT_TOKEN = 3


def price(call: Call, target: Target) -> None:
    """Put the cost of `call.usage` on the call. No price known: the cost stays None, never 0."""
    if call.usage is None:
        return
    quote = target.quote(call.started_at)
    if quote is None:
        return
    cost = quote.cost(call.usage)
    call.input_cost_nano, call.output_cost_nano, call.cost_nano = cost.input_nano, cost.output_nano, cost.total_nano


def estimate(call: Call) -> None:
    """Usage for a reply that began and did not tell its own: an estimate, marked as one."""
    if call.usage is not None or call.first_byte is None:
        return
    call.estimated = True
    known = call.begun_usage or Usage(input_tokens=-(-len(call.body) // BYTES_PER_INPUT_TOKEN))
    output = -(-call.stream_bytes // BYTES_PER_STREAMED_TOKEN)
    if call.peek is not None and call.peek.max_tokens is not None:
        output = min(output, call.peek.max_tokens * call.peek.n)
    call.usage = structs.replace(known, output_tokens=max(output, known.output_tokens))


def settle(call: Call, target: Target | None) -> None:
    call.finished = time.perf_counter()
    if target is not None and call.cost_nano is None and call.cache_state != "hit":
        if call.status != "error":  # a page in place of a reply is no reply that began: it costs what it states
            estimate(call)
        price(call, target)
    elif call.cache_state == "hit":
        call.input_cost_nano = call.output_cost_nano = call.cost_nano = 0
    if call.error is not None:
        _let_frames_go(call.error)


def _let_frames_go(error: BaseException | None) -> None:
    """A call knows its error, whose traceback knows the frames that know the call: a circle that keeps whole request
    bodies until the collector comes by, and it comes by seldom."""
    while error is not None:
        error.__traceback__, cause = None, error.__cause__ or error.__context__
        error.__cause__ = error.__context__ = None
        error = cause
