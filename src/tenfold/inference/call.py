"""Stage 5, call: the attempts of a plan, one after the other, until an upstream begins to answer.

Another attempt is made only while the client has seen nothing, or where the policy lets a stream begin again, and only
for a failure that another attempt may not share.
"""

import asyncio
from asyncio import CancelledError
from random import random
from time import perf_counter

from tenfold.core.call import Call
from tenfold.core.chat import ChatReply, ChatRequest
from tenfold.core.errors import (
    BrokenStream,
    OutputInvalid,
    Overloaded,
    TenfoldError,
    UnsupportedParameter,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from tenfold.health import Fault
from tenfold.inference.admit import Admit
from tenfold.inference.bound import bound_of
from tenfold.inference.output.expected import Expected
from tenfold.inference.policy import Hedge, Policy
from tenfold.inference.ports import ClientDialect, Kill, Sender
from tenfold.inference.route import Choice, Plan, Target
from tenfold.inference.semantic.stage import LookedUp
from tenfold.providers.facts import DEADLINE, REQUEST_ID, attempt_id
from tenfold.providers.ports import Exchange, Headers, WireRequest, was_sent

IDEMPOTENCY_KEY = b"idempotency-key"

_CARRIED_PREFIXES = (b"x-ratelimit-", b"ratelimit", b"anthropic-ratelimit-", b"openai-processing-", b"openai-version")
_PLAIN = frozenset((b"content-type", b"content-length", b"connection", b"date", b"transfer-encoding", b"server"))
_REQUEST_ID_HEADERS = (b"x-request-id", b"request-id", b"x-goog-request-id")


class Question:
    """What is asked, in the client's words and, once an attempt needs it, in canonical ones."""

    __slots__ = ("_canonical", "asked_usage", "call", "dialect", "expected", "kill", "looked_up", "sender", "target")

    def __init__(self, call: Call, dialect: ClientDialect) -> None:
        self.call = call
        self.dialect = dialect
        self.target: Target | None = None  # who answers
        self.sender: Sender | None = None  # of a stream that has begun
        self.kill: Kill | None = None  # the switch that forbids it
        self.expected: Expected | None = None  # what the answer has to be, where the request says so
        self.looked_up: LookedUp | None = None  # by its meaning, and not answered so
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


class Attempt:
    """One request to one target, from its begin to what it said of the target's health."""

    __slots__ = ("choice", "ignored", "is_open", "number", "started")

    def __init__(self, choice: Choice, number: int) -> None:
        """The target's shaper has been entered."""
        self.choice = choice
        self.number = number  # of all attempts that the call's route allows
        self.is_open = True
        self.ignored: tuple[str, ...] = ()  # parameters that this upstream has no word for
        self.started = perf_counter()
        choice.target.health.begin(self.started)

    @property
    def target(self) -> Target:
        return self.choice.target

    def succeeded(self, first_byte: float | None) -> None:
        """`first_byte`: of the call; that of an earlier attempt where a stream began anew."""
        now = perf_counter()
        self._leave(rtt_s=now - self.started)
        first = now if first_byte is None or first_byte < self.started else first_byte
        self.target.health.succeeded(now, first_s=first - self.started, total_s=now - self.started)

    def failed(self, error: TenfoldError) -> None:
        if not self.is_open:
            return
        now, health = perf_counter(), self.target.health
        limited = isinstance(error, UpstreamError) and error.status in _LIMITED
        self._leave(limited=limited, rtt_s=now - self.started if limited else None)
        fault = fault_of(error)
        if limited:
            health.limited(now, error.retry_after_s, began=self.started)
        elif fault is None:
            health.neutral(now, began=self.started)
        else:
            health.failed(now, fault, began=self.started)

    def let_go(self, deadline: float | None = None) -> None:
        """The client left, or another was faster: this says nothing of the target. Nor does a deadline that passed,
        unless the target had time enough: clients with short ones must not open a circuit for all."""
        if not self.is_open:
            return
        now, health = perf_counter(), self.target.health
        self._leave()
        if deadline is not None and now >= deadline and now - self.started >= max(1.0, 4 * health.latency_s):
            health.failed(now, "timeout", began=self.started)
        else:
            health.neutral(now, began=self.started)

    def answered(self) -> None:
        """The first token of a stream is there: a target that was being tried out is up."""
        self.target.health.answered(perf_counter(), began=self.started)

    def _leave(self, *, limited: bool = False, rtt_s: float | None = None) -> None:
        self.is_open = False
        self.target.shaper.leave(limited=limited, rtt_s=rtt_s)


class Attempts:
    """The attempts of one call, in the order of its plan: who is asked next, and after what pause. Targets of one model
    are all tried before any of them is tried again; then the next model.

    `next` begins one; it owes one of `ended_well`, `failed`, `broke` and `let_go`. An attempt that went unanswered may
    be billed all the same, so the next one is made only where there is room for both.
    """

    __slots__ = ("_admit", "_choices", "_follow_ups", "_plan", "_question", "_round", "now", "policy")

    def __init__(self, question: Question, plan: Plan, admit: Admit) -> None:
        self._question = question
        self._plan = plan
        self._admit = admit
        self.policy: Policy = plan.route.policy
        self._choices: list[Choice] = list(plan.choices)  # still to be asked
        self._round = 0
        self._follow_ups = 0
        self.now: Attempt | None = None  # the one under way, or the last

    def first_token_left_s(self) -> float | None:
        """Until the first token of the attempt under way must be there."""
        most_s = self.policy.first_token_s
        if most_s is None or self.now is None:
            return None
        return most_s - (perf_counter() - self.now.started)

    async def next(self) -> tuple[Target, Exchange]:
        """The next upstream that answers with a success, its reply head read.

        Raises the last attempt's UpstreamError; UnsupportedParameter when no target can do what is asked; Overloaded
        when all of them have all the calls they can take."""
        question, hedge = self._question, self.policy.hedge
        while True:
            attempt = self.now = self._enter() or await self._wait()
            try:
                if hedge is None or question.call.stream or not self._choices:
                    exchange = await self._post(attempt, question.encode(attempt.target))
                else:
                    exchange = await self._hedged(attempt, hedge)
                    attempt = self.now
                _read_head(question.call, attempt, exchange)
                if exchange.status >= 300:
                    raise await _refusal(question.call, attempt, exchange)
                return attempt.target, exchange
            except TenfoldError as error:
                self.now.target.mark(question.call)
                await self.failed(error)
            except BaseException:
                self.let_go()
                raise

    def ended_well(self) -> None:
        """The reply was whole."""
        assert self.now is not None
        self.now.succeeded(self._question.call.first_byte)
        self.note_choice()

    def answered(self) -> None:
        """The first token of a stream is there."""
        assert self.now is not None
        self.now.answered()
        self.note_choice()

    def note_choice(self) -> None:
        """Before the reply's headers: whether who answers stands in for another."""
        call = self._question.call
        if self.now is not None and self.now.choice.stand_in and "fallback" not in call.degraded:
            call.degraded += ("fallback",)

    async def failed(self, error: TenfoldError, *, has_begun: bool = False) -> None:
        """Returns when there is another one to ask, after the pause before it. Raises `error` when there is none:
        the client has seen a part of the reply (`has_begun`) and the policy does not let it begin again, another would
        fail alike, time or money is up."""
        call = self._question.call
        self.broke(error)
        if has_begun and self.policy.on_break != "restart":
            raise error
        if not self._choices:
            await self._begin_round(error)
        elif not may_serve_elsewhere(error):
            raise error
        elif self.now is not None and self._choices[0].target.model != self.now.target.model:
            await self._retry_model(error)
        if call.deadline is not None and perf_counter() >= call.deadline:
            raise error
        await self._pay_for_lost(error)
        call.begun_usage, call.error, call.stream_bytes = None, None, 0
        if self._question.sender is None:
            call.first_byte = None

    def broke(self, error: TenfoldError) -> None:
        """The reply broke; who answers it knows of the error."""
        assert self.now is not None
        self.now.failed(error)

    def let_go(self) -> None:
        """The client left, the deadline passed, or the process stops."""
        if self.now is not None:
            self.now.let_go(self._question.call.deadline)

    def stronger(self) -> Target | None:
        """Who is asked to mend what this model could not: the policy's `output_escalate`, when it is up."""
        name = self.policy.output_escalate
        now = perf_counter()
        return next((t for t in self._plan.route.targets if t.model == name and t.health.may_call(now)), None)

    async def follow_up(self, target: Target, request: ChatRequest) -> ChatReply:
        """Another question of the same call, after a whole reply whose usage is on the call: reserved for, asked and
        paid as an attempt of its own. Raises what stands against it."""
        call = self._question.call
        wire_request = target.provider.wire.encode_chat(request, target.upstream_model)
        more = max(0, len(wire_request.body) - len(call.body))
        await self._admit.reserve_again(call, self._known_nano(), bound_of(call, (target,), more_bytes=more))
        if not await target.shaper.enter(_MAX_WAIT_S):
            raise _full(target)
        attempt = self.now = self._attempt(Choice(target, "repair"), 1 + self.policy.retries + self._follow_ups)
        self._follow_ups += 1
        self._question.target = target
        try:
            exchange = await self._post(attempt, wire_request)
            _read_head(call, attempt, exchange)
            try:
                if exchange.status >= 300:
                    raise await _refusal(call, attempt, exchange)
                body = await exchange.read()
            finally:
                exchange.abort()
            call.usage = target.provider.wire.usage_of_reply(body)
            reply = target.provider.wire.decode_chat(body)
        except TenfoldError as error:
            attempt.failed(error)
            raise
        except BaseException:
            attempt.let_go()
            raise
        attempt.succeeded(None)
        return reply

    # -- who is next ---------------------------------------------------------------------------

    def _enter(self) -> Attempt | None:
        """The next choice whose provider has room for a call; None: the last one there is has not, just now."""
        choices = self._choices
        while True:
            choice = choices[0]
            target = choice.target
            # It may have gone down, or its probe been taken, since the plan was made.
            if len(choices) == 1 or target.health.may_call(perf_counter()):
                if target.shaper.try_enter():
                    del choices[0]
                    return self._attempt(choice, self._round)
                if len(choices) == 1:
                    return None
            del choices[0]

    async def _wait(self) -> Attempt:
        """For room at the last choice there is. Raises Overloaded."""
        choice = self._choices.pop()
        target = choice.target
        if not await target.shaper.enter(_MAX_WAIT_S):
            raise _full(target)
        return self._attempt(choice, self._round)

    def _attempt(self, choice: Choice, round_: int) -> Attempt:
        targets = self._plan.route.targets
        return Attempt(choice, targets.index(choice.target) + round_ * len(targets))

    async def _retry_model(self, error: TenfoldError) -> None:
        """The targets of a model have all failed, another model could be asked: first once more, where that may help
        soon."""
        ahead = self._choices
        try:
            await self._begin_round(error)
        except TenfoldError:
            self._choices = ahead
            return
        self._choices += ahead

    async def _begin_round(self, error: TenfoldError) -> None:
        """Once more the targets of the model asked last. Raises `error` where that cannot help or is too much."""
        call, policy, last = self._question.call, self.policy, self.now
        if self._round >= policy.retries or not is_worth_a_retry(error) or call.options.client_retry or last is None:
            raise error
        now = perf_counter()
        again = [choice for choice in self._plan.choices if choice.target.model == last.target.model]
        rests_s = min(choice.target.health.rests_until for choice in again) - now
        pause_s = backoff_s(self._round, policy.max_backoff_s, random())  # noqa: S311 (no secret hangs on it)
        pause_s = max(pause_s, error.retry_after_s or 0.0, rests_s)
        then = now + pause_s
        if pause_s > policy.max_backoff_s or (call.deadline is not None and then >= call.deadline):
            raise error
        again = [choice for choice in again if choice.target.health.may_call(then)]
        if not again or not self._plan.route.retry_budget.may_retry():
            raise error
        await asyncio.sleep(pause_s)
        self._round += 1
        self._choices = again

    async def _pay_for_lost(self, error: TenfoldError) -> None:
        """What an attempt that failed may cost, or is known to, is spent: the next one needs room of its own."""
        call = self._question.call
        if call.usage is None and not call.unanswered:
            return
        try:
            await self._admit.reserve_again(call, self._known_nano())
        except TenfoldError:
            raise error from None  # what befell the attempt says more than that there is no room for another

    def _known_nano(self) -> int | None:
        """What the last attempt cost; None: it was not told."""
        call = self._question.call
        if call.usage is None or self.now is None:
            return None if call.unanswered else 0
        quote = self.now.target.quote(call.started_at)
        return None if quote is None else quote.cost(call.usage).total_nano

    # -- asking --------------------------------------------------------------------------------

    async def _post(self, attempt: Attempt, request: WireRequest) -> Exchange:
        """Until the reply head, whatever it says. Raises UpstreamError."""
        question, target = self._question, attempt.target
        call = question.call
        if call.attempts:  # what an attempt before was told is void
            call.upstream_request_id, call.carried = None, ()
        carried: Headers = [(REQUEST_ID, attempt_id(call.request_id, attempt.number).encode())]
        if call.options.upstream_headers and question.speaks(target):
            carried += call.options.upstream_headers
        if call.options.upstream_key is not None:
            carried.append((IDEMPOTENCY_KEY, f"{call.options.upstream_key}.{self._asked(attempt)}".encode()))
        if call.deadline is not None:
            left_ms = max(1, int((call.deadline - perf_counter()) * 1000))
            carried.append((DEADLINE, b"%d" % left_ms))
        if call.asked is None:
            call.asked = attempt.started
            self._plan.route.retry_budget.request()
        call.attempts += 1
        attempt.ignored = request.ignored
        call.unanswered = True
        first_token_s = self.policy.first_token_s
        try:
            if first_token_s is None:
                return await target.provider.send(request, carried)
            async with asyncio.timeout(first_token_s):
                return await target.provider.send(request, carried)
        except TimeoutError as late:
            call.unanswered = was_sent(late.__cause__ or late)
            raise UpstreamTimeout(
                f"The provider `{target.provider.name}` did not begin its reply within {first_token_s:g} s.",
                unanswered=call.unanswered,
            ) from None
        except TenfoldError as error:
            call.unanswered = isinstance(error, UpstreamError) and error.unanswered
            raise
        except CancelledError as left:
            target.mark(call)
            call.unanswered = was_sent(left)
            raise

    def _asked(self, attempt: Attempt) -> int:
        """The same number for the same question to the same target, in whatever round of whichever process."""
        again, target = divmod(attempt.number, len(self._plan.route.targets))
        return target if again <= self.policy.retries else attempt.number

    async def _send(self, attempt: Attempt) -> Exchange:
        return await self._post(attempt, self._question.encode(attempt.target))

    async def _hedged(self, first: Attempt, hedge: Hedge) -> Exchange:
        """Whoever of two begins to answer first. The slower one may be billed: its bound is part of the cost."""
        call = self._question.call
        one = asyncio.create_task(self._send(first), name=f"inference.hedge.{call.request_id}")
        tasks = {one: first}
        task = one
        try:
            await asyncio.wait(tasks, timeout=hedge.after_s)
            second = None if one.done() else await self._second(hedge)
            if second is not None:
                tasks[asyncio.create_task(self._send(second), name=f"inference.hedge.{call.request_id}")] = second
                call.degraded += ("hedge",)
            while tasks:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                task = min(done, key=_is_good)  # of both at once the one that failed: it may have been for nothing
                attempt = tasks.pop(task)
                error = task.exception()
                self.now = attempt
                if not tasks or _is_good(task):
                    await _drop(tasks)
                    # Of this one, whatever the other said last: the one that won is still to be read.
                    call.unanswered = error is None or (isinstance(error, UpstreamError) and error.unanswered)
                    return task.result()
                if error is None:
                    error = await _failure_told(attempt.target, task.result())
                if not isinstance(error, TenfoldError):
                    raise error
                attempt.failed(error)  # and the other may still answer
                if not (isinstance(error, UpstreamError) and error.unanswered):
                    self._admit.regain(call)
            raise AssertionError("the last of the tasks has returned")
        except CancelledError:
            if task not in tasks and task.exception() is None:
                task.result().abort()  # it was the client's, who left in the same moment
                call.unanswered = call.unanswered or task.result().status < 300
            raise
        finally:
            await _drop(tasks)

    async def _second(self, hedge: Hedge) -> Attempt | None:
        """Beside the first one, whose bound is then set aside as lost; None: there is no room for it, and then nobody
        waits for any."""
        call, route, choice = self._question.call, self._plan.route, self._choices[0]
        shaper = choice.target.shaper
        if self._admit.bound_nano(call) > hedge.max_nano or not choice.target.health.may_call(perf_counter()):
            return None
        if not shaper.try_enter():
            return None
        try:
            if not route.retry_budget.may_retry():
                raise Overloaded("There were many retries of late.")
            await self._admit.reserve_again(call)
        except BaseException as error:
            shaper.leave(limited=False, rtt_s=None)
            if isinstance(error, TenfoldError):
                return None
            raise
        del self._choices[0]
        return Attempt(choice, route.targets.index(choice.target) + self._round * len(route.targets))


_MAX_WAIT_S = 1.0  # for a provider that has all the calls it was found to take
_LIMITED = frozenset((429, 529))
_FIRST_BACKOFF_S = 0.1
_ELSEWHERE = frozenset((401, 403, 404, 408))  # of a key or a model name that is wrong here, and may be right elsewhere


async def _drop(tasks: dict["asyncio.Task[Exchange]", Attempt]) -> None:
    """Nobody waits for these any more."""
    for task, attempt in tasks.items():
        task.cancel()
        attempt.let_go()
    try:
        await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        for task in tasks:
            if task.done() and not task.cancelled() and task.exception() is None:
                task.result().abort()
    tasks.clear()


def _is_good(task: "asyncio.Task[Exchange]") -> bool:
    return task.exception() is None and task.result().status < 300


async def _failure_told(target: Target, exchange: Exchange) -> TenfoldError:
    """The same, where reading it may fail too."""
    try:
        return await failure(target, exchange)
    except TenfoldError as error:
        return error


def _full(target: Target) -> Overloaded:
    return Overloaded(
        f"The provider `{target.provider.name}` has all the calls it takes at once. Try again shortly.",
        retry_after_s=1,
    )


def may_serve_elsewhere(error: TenfoldError) -> bool:
    """Whether another target may do what this one did not."""
    if isinstance(error, UnsupportedParameter):
        return True
    return error.retryable or (isinstance(error, UpstreamError) and error.status in _ELSEWHERE)


def is_worth_a_retry(error: TenfoldError) -> bool:
    """Whether the same target may do better in a moment; the vendors say so themselves in `x-should-retry`."""
    if not isinstance(error, UpstreamError) or isinstance(error, OutputInvalid):
        return False
    said = next((value for name, value in error.headers if name == "x-should-retry"), None)
    return error.retryable if said is None else said.strip().lower() == "true"


def backoff_s(number: int, most_s: float, dice: float) -> float:
    """Exponential with full jitter (Brooker, Exponential Backoff and Jitter, AWS 2015). `dice`: [0, 1)."""
    return dice * min(most_s, _FIRST_BACKOFF_S * 2.0**number)


def fault_of(error: TenfoldError) -> Fault | None:
    """What a failed attempt says of its target; None: nothing, the fault was the client's or ours."""
    if isinstance(error, BrokenStream):
        return "stream"
    if isinstance(error, UpstreamTimeout):
        return "timeout"
    if isinstance(error, UpstreamUnavailable):
        return "connect"
    if isinstance(error, UpstreamError) and not isinstance(error, OutputInvalid):
        if error.kind in ("malformed_reply", "reply_too_large"):
            return "malformed"
        return "status" if error.status >= 500 or error.status == 401 else None
    return None


def _read_head(call: Call, attempt: Attempt, exchange: Exchange) -> None:
    """Note who answers, and carry the request id and the upstream's words about its limits."""
    attempt.target.mark(call)
    call.ignored = attempt.ignored
    for name, value in exchange.headers:
        if name in _PLAIN:
            continue
        if name in _REQUEST_ID_HEADERS:
            call.upstream_request_id = value.decode("latin-1")
        elif name.startswith(_CARRIED_PREFIXES):
            call.carried += ((name.decode("latin-1"), value.decode("latin-1")),)


async def _refusal(call: Call, attempt: Attempt, exchange: Exchange) -> UpstreamError:
    call.unanswered = False  # an error is not billed
    return await failure(attempt.target, exchange)


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
