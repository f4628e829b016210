"""Simple stand-ins for what admission needs: no limits, free budgets, a journal that keeps what it is told.

Each counts what is taken and given back, so that a test can say that nothing was leaked or settled twice.
"""

from collections import Counter
from uuid import UUID

from tenfold.core.call import Call
from tenfold.core.errors import BudgetExceeded, Overloaded
from tenfold.core.ids import TenantId
from tenfold.core.principal import Principal
from tenfold.inference.admit import Admit, Gate
from tenfold.inference.bound import Bound
from tenfold.inference.ceilings import Ceilings
from tenfold.inference.ports import Journal, LimitHold, Reservation
from tenfold.ledger.budgets.types import Spender


class FirstCome:
    """A FairShare with so many places and no queue."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._taken = 0

    async def enter(self, tenant_id: TenantId) -> None:
        if self._taken >= self._places:
            raise Overloaded("This process has all the calls in flight it may have.", retry_after_s=1)
        self._taken += 1

    def leave(self, tenant_id: TenantId) -> None:
        self._taken -= 1


class Hold:
    """A LimitHold. `headers` are what a test wants told."""

    def __init__(self, headers: str) -> None:
        self.headers = headers


class NoLimits:
    """CallLimits that let everything pass, but for what a test wants refused."""

    def __init__(self) -> None:
        self.headers = ""
        self.refuse_at_enter: Exception | None = None
        self.refuse_at_reserve: Exception | None = None
        self.held: set[LimitHold] = set()
        self.reserved = 0

    async def enter(self, principal: Principal, dialect: str = "") -> Hold:
        if self.refuse_at_enter is not None:
            raise self.refuse_at_enter
        hold = Hold(self.headers)
        self.held.add(hold)
        return hold

    async def reserve(self, hold: LimitHold, *, model: str, end_user: str | None, tokens: int, nano: int) -> None:
        assert hold in self.held
        self.reserved += 1
        if self.refuse_at_reserve is not None:
            raise self.refuse_at_reserve

    def leave(self, hold: LimitHold, *, tokens: int, nano: int) -> None:
        self.held.remove(hold)


class Room:
    """A Reservation."""

    leases: tuple[UUID, ...] = ()
    remaining_nano: int | None = None


class FreeBudgets:
    """CallBudgets with room for everything, or for so many reservations. `spent` is what was settled, 10^-9 USD."""

    def __init__(self) -> None:
        self.room_for: int | None = None
        self.reserved: set[Reservation] = set()
        self.reservations = 0
        self.spent = 0

    async def reserve(self, spender: Spender, bound_nano: int) -> Room:
        if self.reservations == self.room_for:
            raise BudgetExceeded("No room.")
        room = Room()
        self.reserved.add(room)
        self.reservations += 1
        return room

    def settle(self, reservation: Reservation, cost_nano: int) -> None:
        self.reserved.remove(reservation)
        self.spent += cost_nano


class KeptJournal:
    """A Journal that counts the drafts and receipts of each call."""

    def __init__(self) -> None:
        self.drafts: Counter[UUID] = Counter()
        self.receipts: Counter[UUID] = Counter()

    def begin(self, call: Call, bound: Bound) -> None:
        assert call.id not in self.receipts
        self.drafts[call.id] += 1

    def end(self, call: Call) -> None:
        self.receipts[call.id] += 1


class FreeAdmission:
    """An Admit over all of these; `admit` is what a Pipeline takes. `journal`: another one to take the receipts."""

    def __init__(self, places: int = 100, ceilings: Ceilings | None = None, *, journal: Journal | None = None) -> None:
        self.gate = Gate(FirstCome(places))
        self.limits = NoLimits()
        self.budgets = FreeBudgets()
        self.journal = KeptJournal()
        self.admit = Admit(
            gate=self.gate,
            limits=self.limits,
            ceilings=ceilings or Ceilings(),
            budgets=self.budgets,
            journal=self.journal if journal is None else journal,
        )

    def assert_nothing_held(self) -> None:
        """All that was taken has been given back, and each call has one receipt."""
        assert self.gate.in_flight == 0
        assert not self.limits.held
        assert not self.budgets.reserved
        assert set(self.journal.drafts) <= set(self.journal.receipts)
        assert set(self.journal.receipts.values()) <= {1}
        assert set(self.journal.drafts.values()) <= set(range(1, 13))  # one more for each attempt that was given up
