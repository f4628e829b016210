"""Stage 2, admit: may this call run now? Refuses before anything costs money.

Twice on the path. `enter`, before the body is read: room in this process, and the requests and calls at once of key and
tenant. `reserve`, when a provider will be asked and what that may cost at most is known: tokens, money, ceilings,
budgets, and the draft of the receipt, so that a process killed from here on leaves a call that is accounted for.
"""

from collections.abc import Sequence
from uuid import UUID

from tenfold.core.call import Call
from tenfold.core.errors import Overloaded, StoreUnavailable, TenfoldError
from tenfold.core.headers import header_lines
from tenfold.core.ids import TenantId
from tenfold.core.money import format_usd
from tenfold.inference.bound import Bound, bound_of
from tenfold.inference.ceilings import Ceilings
from tenfold.inference.ports import CallBudgets, CallLimits, FairShare, Journal, LimitHold, Reservation
from tenfold.inference.route import Target
from tenfold.ledger.budgets.types import Spender

_BYTES_PER_TOKEN = 4  # English text; only an estimate, put right when the call has ended
_LIKELY_OUTPUT_TOKENS = 512  # of a call that does not say how much it wants


class Gate:
    """Whether this process may take calls, and whose turn it is when it has all it may have.

    `store_up` is kept by a health task: without the database no receipt could be promised, so no call begins.
    """

    def __init__(self, share: FairShare) -> None:
        self._share = share
        self.in_flight = 0
        self.refused = 0
        self.store_up = True
        self.stopping = False

    async def enter(self, tenant_id: TenantId) -> None:
        """Waits its turn when the process is full. After it `leave` is owed. Raises Overloaded, StoreUnavailable."""
        try:
            if not self.store_up:
                raise StoreUnavailable(
                    "The database is away; the call was not begun and cost nothing. Try again shortly.", retry_after_s=1
                )
            if self.stopping:
                raise Overloaded("This process is stopping. Try again.", retry_after_s=1)
            await self._share.enter(tenant_id)
        except TenfoldError:
            self.refused += 1
            raise
        self.in_flight += 1

    def leave(self, tenant_id: TenantId) -> None:
        self.in_flight -= 1
        self._share.leave(tenant_id)


class Held:
    """What one call holds from `enter` to `leave`: core.call.Admission."""

    __slots__ = ("begun", "bound", "given_up", "limits", "reservation", "tell_budget")

    def __init__(self, tell_budget: bool) -> None:
        self.tell_budget = tell_budget
        self.limits: LimitHold | None = None
        self.bound: Bound | None = None
        self.reservation: Reservation | None = None
        self.given_up: list[tuple[Reservation, Bound]] = []  # of attempts that are over and may be billed
        self.begun = False

    @property
    def headers(self) -> str:
        lines = "" if self.limits is None else self.limits.headers
        if self.tell_budget and self.reservation is not None and self.reservation.remaining_nano is not None:
            remaining = format_usd(max(0, self.reservation.remaining_nano))
            lines += header_lines([("tenfold-budget-remaining-usd", remaining)])
        return lines

    @property
    def leases(self) -> tuple[UUID, ...]:
        if self.reservation is None or not self.given_up:
            return () if self.reservation is None else self.reservation.leases
        return tuple(
            dict.fromkeys(lease for one in (*(of for of, _ in self.given_up), self.reservation) for lease in one.leases)
        )


class Admit:
    def __init__(
        self, *, gate: Gate, limits: CallLimits, ceilings: Ceilings, budgets: CallBudgets, journal: Journal
    ) -> None:
        self._gate = gate
        self._limits = limits
        self._ceilings = ceilings
        self._budgets = budgets
        self._journal = journal

    async def enter(self, call: Call) -> None:
        """Raises Overloaded, StoreUnavailable, RateLimited. After a return `leave` is owed."""
        principal = call.principal
        await self._gate.enter(principal.tenant_id)
        held = Held(call.options.tell_budget)
        try:
            held.limits = await self._limits.enter(principal, call.dialect)
        except BaseException:
            self._gate.leave(principal.tenant_id)
            raise
        call.admission = held

    async def reserve(self, call: Call, targets: Sequence[Target]) -> None:
        """Everything the call may use at most is set aside, and its receipt drafted: a provider may be asked.
        Raises PriceUnknown, CostCeilingExceeded, BudgetExceeded, RateLimited, Overloaded, StoreUnavailable."""
        held, peek = _held(call), call.peek
        assert peek is not None
        assert held.limits is not None
        bound = bound_of(call, targets)
        self._ceilings.check(call, bound)
        likely = peek.max_tokens if peek.max_tokens is not None else _LIKELY_OUTPUT_TOKENS
        output_tokens = 0 if bound.output_tokens == 0 else likely * peek.n
        await self._limits.reserve(
            held.limits,
            model=call.model,
            end_user=call.options.end_user or peek.user,
            tokens=-(-len(call.body) // _BYTES_PER_TOKEN) + output_tokens,
            nano=bound.nano,
        )
        reservation = await self._budgets.reserve(_spender(call), bound.nano)
        held.reservation, held.bound = reservation, bound
        self._journal.begin(call, bound)
        held.begun = True

    async def reserve_again(self, call: Call, known_nano: int | None = None, bound: Bound | None = None) -> None:
        """Room for one more attempt beside one that is over: of that one, what it is known to have cost is spent, or,
        where nobody told, its bound is lost; the draft of the receipt says so. `bound`: of the one to come, where it
        is not the same. Raises CostCeilingExceeded, BudgetExceeded, Overloaded, StoreUnavailable."""
        held = _held(call)
        before, reservation = held.bound, held.reservation
        assert before is not None
        assert reservation is not None
        bound = bound or before
        all_of_them = _sum([*(given_up for _, given_up in held.given_up), before, bound])
        self._ceilings.check(call, all_of_them)
        another = await self._budgets.reserve(_spender(call), bound.nano)
        held.given_up.append((reservation, before))
        held.reservation, held.bound = another, bound
        if known_nano is None:
            call.lost_nano += before.nano
        else:
            call.earlier_nano += known_nano
        if call.usage is not None:
            call.earlier_usage = call.usage if call.earlier_usage is None else call.earlier_usage + call.usage
            call.usage = None
        call.unanswered = False
        self._journal.begin(call, all_of_them)

    def regain(self, call: Call) -> None:
        """The attempt that was last taken for lost turned out to be free."""
        _, bound = _held(call).given_up[-1]
        call.lost_nano -= bound.nano

    def bound_nano(self, call: Call) -> int:
        """What the attempt under way may cost, 10^-9 USD."""
        bound = _held(call).bound
        return 0 if bound is None else bound.nano

    def share(self, call: Call) -> None:
        """The call gets the stream of another one's provider call: it costs nothing, and has a receipt that says so
        even when this process is killed before the stream's end. Raises Overloaded."""
        self._journal.begin(call, Bound(input_tokens=0, output_tokens=0, nano=0))

    def leave(self, call: Call) -> None:
        """The call has ended and its cost is known: the rest is given back, and the receipt is final."""
        held = _held(call)
        cost = call.cost_nano or 0
        if held.reservation is not None:
            rest = cost
            for reservation, bound in held.given_up:
                lost = min(bound.nano, rest)
                self._budgets.settle(reservation, lost)
                rest -= lost
            self._budgets.settle(held.reservation, rest)
        self._journal.end(call)
        if held.limits is not None:
            usage = call.usage if held.begun else None
            tokens = 0 if usage is None else usage.input_tokens + usage.output_tokens
            self._limits.leave(held.limits, tokens=tokens, nano=cost)
        self._gate.leave(call.principal.tenant_id)


def _spender(call: Call) -> Spender:
    return Spender(
        tenant_id=call.principal.tenant_id,
        endpoint=call.operation,
        model=call.model,
        key_id=call.principal.key_id,
        feature=call.options.feature,
        run=call.options.run,
    )


def _sum(bounds: list[Bound]) -> Bound:
    return Bound(
        input_tokens=sum(bound.input_tokens for bound in bounds),
        output_tokens=sum(bound.output_tokens for bound in bounds),
        nano=sum(bound.nano for bound in bounds),
        input_nano=sum(bound.input_nano for bound in bounds),
        output_nano=sum(bound.output_nano for bound in bounds),
    )


def _held(call: Call) -> Held:
    assert isinstance(call.admission, Held)
    return call.admission
