"""Stage 5, call: the attempts of a route, one after the other, until an upstream begins to answer.

A next target is tried only while the client has seen nothing and the failure is one another upstream may not share.
"""

from asyncio import CancelledError

from tenfold.core.call import Call
from tenfold.core.chat import ChatRequest
from tenfold.core.errors import TenfoldError, UnsupportedParameter, UpstreamError
from tenfold.inference.admit import Admit
from tenfold.inference.ports import ClientDialect
from tenfold.inference.route import Route, Target
from tenfold.providers.facts import REQUEST_ID, attempt_id
from tenfold.providers.ports import Exchange, Headers, WireRequest, was_sent

_CARRIED_PREFIXES = (b"x-ratelimit-", b"ratelimit", b"anthropic-ratelimit-", b"openai-processing-", b"openai-version")
_PLAIN = frozenset((b"content-type", b"content-length", b"connection", b"date", b"transfer-encoding", b"server"))
_REQUEST_ID_HEADERS = (b"x-request-id", b"request-id", b"x-goog-request-id")


class Question:
    """What is asked, in the client's words and, once an attempt needs it, in canonical ones."""

    __slots__ = ("_canonical", "asked_usage", "call", "dialect", "target")

    def __init__(self, call: Call, dialect: ClientDialect) -> None:
        self.call = call
        self.dialect = dialect
        self.target: Target | None = None  # who answers
        self.asked_usage = False  # whether the usage frame was asked for in the client's place
        self._canonical: ChatRequest | None = None

    def canonical(self) -> ChatRequest:
        if self._canonical is None:
            self._canonical = self.dialect.decode_chat(self.call.body)
        return self._canonical

    def speaks(self, target: Target) -> bool:
        """Whether the bytes may pass untouched."""
        return self.call.dialect == target.provider.wire.dialect

    def encode(self, target: Target) -> WireRequest:
        call, wire, model = self.call, target.provider.wire, target.upstream_model
        peek = call.peek
        assert peek is not None
        if call.operation == "embeddings":
            return wire.encode_embeddings(self.dialect.decode_embeddings(call.body), model)
        if self.speaks(target):
            self.asked_usage = target.ask_usage and peek.stream and not peek.include_usage
            return wire.pass_chat(
                call.body, model, rename=model != peek.model, stream=peek.stream, ask_usage=self.asked_usage
            )
        return wire.encode_chat(self.canonical(), model)


async def begin(question: Question, route: Route, admit: Admit) -> tuple[Target, Exchange]:
    """The first upstream that answers with a success, its reply head read.

    An attempt that went unanswered may be billed all the same: the next one is made only where there is room for both.
    Raises the last attempt's UpstreamError, or UnsupportedParameter when no target can do what is asked.
    """
    call = question.call
    last = len(route.targets) - 1
    for number, target in enumerate(route.targets):
        try:
            return target, await _attempt(question, target, number)
        except TenfoldError as error:
            target.mark(call)
            if number == last or not (error.retryable or isinstance(error, UnsupportedParameter)):
                raise
            if call.unanswered:
                try:
                    await admit.reserve_again(call)
                except TenfoldError:
                    raise error from None  # what befell the attempt says more than that there is no room for another
    raise AssertionError("a route has at least one target")


async def _attempt(question: Question, target: Target, number: int) -> Exchange:
    call = question.call
    call.upstream_request_id, call.carried, call.ignored = None, (), ()  # those of an attempt before are void
    request = question.encode(target)
    vendor = call.options.upstream_headers
    carried: Headers = [(REQUEST_ID, attempt_id(call.request_id, number).encode())]
    if vendor and question.speaks(target):
        carried += vendor
    call.unanswered = True
    try:
        exchange = await target.provider.send(request, carried)
    except TenfoldError as error:
        call.unanswered = isinstance(error, UpstreamError) and error.unanswered
        raise
    except CancelledError as left:
        target.mark(call)
        call.unanswered = was_sent(left)
        raise
    target.mark(call)
    call.ignored = request.ignored
    _read_head(call, exchange)
    if exchange.status >= 300:
        call.unanswered = False  # an error is not billed
        raise await failure(target, exchange)
    return exchange


def _read_head(call: Call, exchange: Exchange) -> None:
    """Carry the request id and the upstream's words about its limits."""
    for name, value in exchange.headers:
        if name in _PLAIN:
            continue
        if name in _REQUEST_ID_HEADERS:
            call.upstream_request_id = value.decode("latin-1")
        elif name.startswith(_CARRIED_PREFIXES):
            call.carried += ((name.decode("latin-1"), value.decode("latin-1")),)


async def failure(target: Target, exchange: Exchange) -> UpstreamError:
    """What an answer that is no success means for the client."""
    name = target.provider.name
    if exchange.status < 400:
        exchange.abort()
        return UpstreamError(f"The provider `{name}` answered {exchange.status}, a redirect, which is not followed.")
    error = target.provider.wire.decode_error(exchange.status, exchange.headers, await exchange.read())
    if exchange.status in (401, 403):
        # The provider speaks of Tenfold's key; repeating its words could show a part of that key.
        error.message = f"The provider `{name}` refused the key configured for it ({exchange.status})."
    return error
