"""The audit: what the provider billed, what clients saw and what the ledger says, held against each other.

Pure: facts in, violations out. The provider's own lines are the truth; every amount is 10^-9 USD.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

from msgspec import Struct

from tenfold.app.chaos.bill import Line
from tenfold.app.chaos.cast import MODELS, PlannedBudget, PlannedTenant
from tenfold.app.chaos.load import Sent
from tenfold.ledger.prices import Quote

MAX_IDS = 20
"""Ids listed for one violation; the count is always whole."""


class LedgerReceipt(Struct, frozen=True, kw_only=True):
    """A row of receipts, with the sum of its corrections."""

    id: UUID
    tenant: str  # slug
    at: datetime
    task: str | None
    total_nano: int | None
    adjusted_nano: int
    estimated: bool
    corrected: bool
    draft: bool = False  # of a call whose process died in it

    @property
    def counts_nano(self) -> int:
        return (self.total_nano or 0) + self.adjusted_nano

    @property
    def request_id(self) -> str:
        return f"req_{self.id.hex}"


class LedgerBudget(Struct, frozen=True, kw_only=True):
    """A budget of one subject in one period, as the database has it. `held_nano`: of its leases; `charged_nano`:
    settled without a receipt, for a process whose fate is unknown; `counted_nano`: of the receipts of its leases."""

    name: str  # for a person
    hard: bool
    limit_nano: int
    reserved_nano: int
    settled_nano: int
    released_nano: int
    held_nano: int
    charged_nano: int
    counted_nano: int


class Facts(Struct, frozen=True, kw_only=True):
    cast: tuple[PlannedTenant, ...]
    bill: Sequence[Line]
    sent: Sequence[Sent]
    receipts: Sequence[LedgerReceipt]
    budgets: Sequence[LedgerBudget]
    keys_in_flight: Sequence[str]


class Violation(Struct, frozen=True, kw_only=True):
    """`ids`: requests, keys or budgets, the first few of them."""

    rule: str
    count: int
    text: str
    ids: list[str]


class Figures(Struct, frozen=True, kw_only=True):
    """What the report prints beside the violations."""

    provider_requests: int
    provider_billed: int
    receipts: int
    drafts: int  # receipts of calls whose process died in them
    estimated: int  # receipts that began as an estimate
    corrected: int
    overshoot_nano: int  # the largest provider-side spend beyond a hard limit
    unsettled: int
    duplicate_provider_calls: int
    keys_charged_twice: int
    provider_nano: int
    ledger_nano: int


class _Books:
    """The facts by id, made once."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.quotes = {model.name: model.quote for model in MODELS}
        self.lines: dict[str, list[Line]] = defaultdict(list)
        for line in facts.bill:
            self.lines[_call(line.request_id)].append(line)
        self.receipts: dict[str, list[LedgerReceipt]] = defaultdict(list)
        for receipt in facts.receipts:
            self.receipts[receipt.request_id].append(receipt)
        self.by_operation = {sent.operation: sent for sent in facts.sent}

    def billed_nano(self, lines: Iterable[Line]) -> int:
        return sum(_cost(self.quotes, line) for line in lines)


def audit(facts: Facts) -> tuple[Figures, list[Violation]]:
    """No violations: every promise held."""
    books = _Books(facts)
    spends = list(_spends(books))
    unsettled = list(_unsettled(books))
    duplicates = list(_duplicates(books))
    charged_twice = list(_charged_twice(books))
    found = [
        *_overshoot(spends),
        *_listed("unsettled", "admitted calls without exactly one receipt", unsettled),
        *_books_of_budgets(facts.budgets),
        *_listed("in_flight", "idempotency keys still in flight", facts.keys_in_flight),
        *_listed("duplicate_call", "Idempotency-Keys whose provider was called more than once", duplicates),
        *_listed("charged_twice", "Idempotency-Keys with more than one charge", charged_twice),
        *_listed("replay", "Idempotency-Keys answered with different replies", _different_replies(facts.sent)),
        *_listed("estimate", "receipts that still stand on an estimate", _estimates(facts.receipts)),
        *_calls(books),
        *_totals(books),
    ]
    figures = Figures(
        provider_requests=len(facts.bill),
        provider_billed=sum(line.billed for line in facts.bill),
        receipts=len(facts.receipts),
        drafts=sum(receipt.draft for receipt in facts.receipts),
        estimated=sum(receipt.estimated for receipt in facts.receipts),
        corrected=sum(receipt.corrected for receipt in facts.receipts),
        overshoot_nano=max((max(0, spent - limit) for _, spent, limit in spends), default=0),
        unsettled=len(unsettled) + sum(_is_open(budget) for budget in facts.budgets),
        duplicate_provider_calls=len(duplicates),
        keys_charged_twice=len(charged_twice),
        provider_nano=books.billed_nano(facts.bill),
        ledger_nano=sum(receipt.counts_nano for receipt in facts.receipts),
    )
    return figures, found


# -- budgets


def _spends(books: _Books) -> Iterator[tuple[str, int, int]]:
    """(name, what the provider billed for calls that count towards it, limit): each hard budget, subject and period."""
    planned = {tenant.slug: tenant.budgets for tenant in books.facts.cast}
    spent: Counter[tuple[str, int, str, str]] = Counter()
    for request_id, lines in books.lines.items():
        receipts = books.receipts.get(request_id)
        at = receipts[0].at if receipts else datetime.fromtimestamp(lines[0].at, UTC)
        for line in lines:
            sent = books.by_operation.get(line.operation)
            for number, budget in enumerate(planned.get(line.tenant, ())):
                subject = _subject(budget, sent)
                if budget.hard and subject is not None:
                    spent[line.tenant, number, subject, _period(budget, at)] += _cost(books.quotes, line)
    for (slug, number, subject, period), nano in spent.items():
        budget = planned[slug][number]
        yield f"{slug}/{budget.per}:{subject}/{period}", nano, budget.limit_nano


def _subject(budget: PlannedBudget, sent: Sent | None) -> str | None:
    """None: calls of this kind do not count towards it."""
    if budget.per == "tenant":
        return ""
    if sent is None:
        return None
    own = {
        "key": str(sent.key),
        "feature": sent.feature,
        "endpoint": "chat",
        "model": sent.model,
        "run": sent.run,
    }[budget.per]
    return own if budget.subject in (None, own) else None


def _period(budget: PlannedBudget, at: datetime) -> str:
    return {"day": f"{at:%Y-%m-%d}", "month": f"{at:%Y-%m}", "total": "total"}[budget.period]


def _overshoot(spends: Iterable[tuple[str, int, int]]) -> Iterator[Violation]:
    over = [f"{name}: {spent} of {limit}" for name, spent, limit in spends if spent > limit]
    yield from _listed("overshoot", "hard budgets for which the provider billed more than the limit", over)


def _is_open(budget: LedgerBudget) -> bool:
    if budget.held_nano or budget.charged_nano:
        return True
    return budget.reserved_nano != budget.settled_nano + budget.released_nano


def _books_of_budgets(budgets: Sequence[LedgerBudget]) -> Iterator[Violation]:
    still_open = [
        f"{budget.name}: reserved {budget.reserved_nano}, settled {budget.settled_nano}, released "
        f"{budget.released_nano}, held {budget.held_nano}, charged {budget.charged_nano}"
        for budget in budgets
        if _is_open(budget)
    ]
    yield from _listed(
        "held", "budgets with money reserved that is neither settled by receipts nor released", still_open
    )
    wrong = [
        f"{budget.name}: settled {budget.settled_nano}, receipts {budget.counted_nano}"
        for budget in budgets
        if budget.settled_nano - budget.charged_nano != budget.counted_nano
    ]
    yield from _listed("settled", "budgets that settled another amount than their receipts say", wrong)
    over = [
        f"{budget.name}: {budget.settled_nano} + {budget.held_nano} of {budget.limit_nano}"
        for budget in budgets
        if budget.hard and budget.settled_nano + budget.held_nano > budget.limit_nano
    ]
    yield from _listed("limit", "hard budgets whose books are beyond their limit", over)


# -- receipts


def _unsettled(books: _Books) -> Iterator[str]:
    """Calls that reached the provider or were answered with a success, and have no receipt or several."""
    admitted = set(books.lines) | {
        sent.request_id for sent in books.facts.sent if sent.status == 200 and sent.request_id is not None
    }
    for request_id in sorted(admitted):
        count = len(books.receipts.get(request_id, ()))
        if count != 1:
            yield f"{request_id or 'a request without an id'}: {count} receipts"
    for request_id, receipts in books.receipts.items():
        if len(receipts) > 1 and request_id not in admitted:
            yield f"{request_id}: {len(receipts)} receipts"


def _estimates(receipts: Iterable[LedgerReceipt]) -> list[str]:
    return [receipt.request_id for receipt in receipts if receipt.estimated and not receipt.corrected]


def _calls(books: _Books) -> Iterator[Violation]:
    """Call by call: the same amount on both sides."""
    differing = []
    for request_id in sorted(set(books.lines) | set(books.receipts)):
        billed = books.billed_nano(books.lines.get(request_id, ()))
        counted = sum(receipt.counts_nano for receipt in books.receipts.get(request_id, ()))
        if billed != counted:
            differing.append(f"{request_id}: provider {billed}, ledger {counted}")
    yield from _listed("call", "calls whose amounts differ between provider and ledger", differing)


def _totals(books: _Books) -> Iterator[Violation]:
    provider: Counter[str] = Counter()
    ledger: Counter[str] = Counter()
    for line in books.facts.bill:
        provider[line.tenant] += _cost(books.quotes, line)
    for receipt in books.facts.receipts:
        ledger[receipt.tenant] += receipt.counts_nano
    differing = [
        f"{slug}: provider {provider[slug]}, ledger {ledger[slug]}"
        for slug in sorted(provider.keys() | ledger.keys())
        if provider[slug] != ledger[slug]
    ]
    yield from _listed("total", "tenants whose totals differ between provider and ledger", differing)


# -- idempotency


def _duplicates(books: _Books) -> Iterator[str]:
    """A provider that answered with an error has done and billed nothing: asking it again is no second call. Nor is
    asking the next target of a route, under the same call, where the one before did not answer."""
    requests: dict[str, list[str]] = defaultdict(list)
    for line in books.facts.bill:
        if line.billed:
            requests[line.operation].append(line.request_id)
    for operation, ids in sorted(requests.items()):
        sent = books.by_operation.get(operation)
        again = len({_call(request_id) for request_id in ids}) > 1 or len(set(ids)) < len(ids)
        if again and sent is not None and sent.idempotency_key is not None:
            yield f"{sent.idempotency_key}: {len(ids)} provider calls"


def _charged_twice(books: _Books) -> Iterator[str]:
    keyed = {sent.operation: sent.idempotency_key for sent in books.facts.sent if sent.idempotency_key is not None}
    charged = Counter(
        receipt.task for receipt in books.facts.receipts if receipt.task in keyed and receipt.counts_nano > 0
    )
    for task, count in sorted((task or "", count) for task, count in charged.items()):
        if count > 1:
            yield f"{keyed[task]}: {count} charges"


def _different_replies(sent: Iterable[Sent]) -> list[str]:
    replies: dict[str, set[str]] = defaultdict(set)
    for one in sent:
        if one.idempotency_key is not None and one.status == 200 and one.complete:
            replies[one.idempotency_key].add(one.digest)
    return [key for key, digests in sorted(replies.items()) if len(digests) > 1]


# -- inside


def _call(request_id: str) -> str:
    """The call of an attempt: `req_..-1` was the second attempt of `req_..`."""
    return request_id.partition("-")[0]


def _cost(quotes: Mapping[str, Quote], line: Line) -> int:
    quote = quotes.get(line.model)
    return 0 if quote is None else quote.cost(line.usage).total_nano


def _listed(rule: str, text: str, ids: Iterable[str]) -> Iterator[Violation]:
    found = list(ids)
    if found:
        yield Violation(rule=rule, count=len(found), text=text, ids=found[:MAX_IDS])
