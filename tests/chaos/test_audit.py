"""The audit passes what is right, and finds each thing that is wrong: an audit that cannot fail proves nothing."""

from typing import Any

import pytest
from msgspec.structs import replace

from tenfold.app.chaos.audit import MAX_IDS, Facts, Violation, audit
from tenfold.core.usage import Usage
from tests.chaos.facts import CAST, COST, USAGE, budget, line, receipt, request_id, right, sent


def violations(**changes: Any) -> dict[str, Violation]:
    """Of the run in which everything is right but for these."""
    _, found = audit(replace(right(), **changes))
    return {violation.rule: violation for violation in found}


def test_a_run_in_which_everything_is_right_passes() -> None:
    figures, found = audit(right())
    assert found == []
    assert (figures.overshoot_nano, figures.unsettled) == (0, 0)
    assert (figures.duplicate_provider_calls, figures.keys_charged_twice) == (0, 0)
    assert figures.provider_nano == figures.ledger_nano == 3 * COST
    assert (figures.provider_requests, figures.provider_billed, figures.receipts) == (4, 3, 7)
    assert (figures.estimated, figures.corrected) == (2, 2)


def test_nothing_at_all_is_right() -> None:
    assert audit(Facts(cast=CAST, bill=[], sent=[], receipts=[], budgets=[], keys_in_flight=[]))[1] == []


# -- settlement


def test_a_call_of_the_provider_without_a_receipt_is_found() -> None:
    found = violations(receipts=right().receipts[1:])
    assert found["unsettled"].ids == [f"{request_id(1)}: 0 receipts"]
    assert {"call", "total"} < found.keys()


def test_an_answered_call_without_a_receipt_is_found() -> None:
    assert violations(receipts=right().receipts[:-1])["unsettled"].ids == [f"{request_id(7)}: 0 receipts"]


def test_two_receipts_of_one_call_are_found() -> None:
    twice = [*right().receipts, receipt(3, total=0), receipt(5, tenant="other")]
    assert violations(receipts=twice)["unsettled"].count == 2


def test_a_request_that_carried_no_id_is_found() -> None:
    assert violations(bill=[*right().bill, replace(line(9), request_id="")])["unsettled"].count == 1


def test_an_estimate_that_was_never_corrected_is_found() -> None:
    receipts = [*right().receipts, replace(receipt(8, total=0), estimated=True)]
    assert violations(receipts=receipts)["estimate"].ids == [request_id(8)]


def test_one_nano_dollar_is_found() -> None:
    receipts = [receipt(1, total=COST + 1), *right().receipts[1:]]
    found = violations(receipts=receipts)
    assert found["call"].ids == [f"{request_id(1)}: provider {COST}, ledger {COST + 1}"]
    assert found["total"].ids == [f"acme: provider {2 * COST}, ledger {2 * COST + 1}"]


def test_errors_that_cancel_out_are_found() -> None:
    """The totals agree; the calls do not."""
    receipts = [receipt(1, total=COST + 1), *right().receipts[1:6], receipt(7, total=-1)]
    found = violations(receipts=receipts)
    assert found["call"].count == 2
    assert "total" not in found


def test_a_charge_for_an_error_is_found() -> None:
    receipts = [receipt(4, total=7) if one.request_id == request_id(4) else one for one in right().receipts]
    assert violations(receipts=receipts)["call"].ids == [f"{request_id(4)}: provider 0, ledger 7"]


def test_a_charge_to_the_wrong_tenant_is_found() -> None:
    receipts = [replace(right().receipts[0], tenant="other"), *right().receipts[1:]]
    assert violations(receipts=receipts)["total"].count == 2


def test_attempts_of_one_call_are_one_call() -> None:
    second = replace(line(1), request_id=f"{request_id(1)}-1")
    receipts = [receipt(1, total=2 * COST), *right().receipts[1:]]
    assert violations(bill=[*right().bill, second], receipts=receipts) == {}


# -- budgets


@pytest.mark.parametrize("number", range(6), ids=lambda number: CAST[0].budgets[number].per)
def test_a_hard_budget_that_the_provider_overshot_is_found(number: int) -> None:
    """Whatever the ledger believes: its own rows are all within the limit here."""
    budgets = list(CAST[0].budgets)
    budgets[number] = replace(budgets[number], limit_nano=2 * COST - 1)
    figures, found = audit(replace(right(), cast=(replace(CAST[0], budgets=tuple(budgets)), CAST[1])))
    assert [violation.rule for violation in found] == ["overshoot"]
    assert found[0].ids[0].endswith(f"{2 * COST} of {2 * COST - 1}")
    assert figures.overshoot_nano == 1


def test_periods_and_subjects_have_each_their_own_limit() -> None:
    budgets = tuple(replace(one, limit_nano=COST) for one in CAST[0].budgets)
    tomorrow = [
        replace(one, at=one.at.replace(month=12)) if one.request_id == request_id(2) else one
        for one in right().receipts
    ]
    found = violations(cast=(replace(CAST[0], budgets=budgets), CAST[1]), receipts=tomorrow)
    kinds = {entry.split("/")[1].partition(":")[0] for entry in found["overshoot"].ids}
    assert kinds == {"key", "model", "run"}  # the others begin anew with the day or the month


def test_money_that_is_held_for_ever_is_found() -> None:
    assert violations(budgets=[budget(held_nano=1)])["held"].count == 1


@pytest.mark.parametrize("column", ["reserved_nano", "settled_nano", "released_nano"])
@pytest.mark.parametrize("by", [-1, 1])
def test_reserved_that_is_not_settled_and_released_is_found(column: str, by: int) -> None:
    assert violations(budgets=[budget(**{column: getattr(budget(), column) + by})])["held"].count == 1


def test_money_that_was_charged_without_a_receipt_is_found() -> None:
    charged = budget(charged_nano=7, settled_nano=4 * COST + 7, reserved_nano=9 * COST + 7)
    assert violations(budgets=[charged]).keys() == {"held"}


@pytest.mark.parametrize("by", [-1, 1])
def test_a_budget_that_settled_another_amount_than_its_receipts_is_found(by: int) -> None:
    assert violations(budgets=[budget(counted_nano=4 * COST + by)]).keys() == {"settled"}


def test_books_beyond_the_limit_are_found() -> None:
    over = budget(limit_nano=4 * COST - 1)
    assert violations(budgets=[over])["limit"].count == 1
    assert violations(budgets=[replace(over, hard=False)]) == {}


# -- idempotency


def test_a_second_provider_call_under_one_key_is_found() -> None:
    bill = [*right().bill, replace(line(6, tenant="other", operation="op-5"), usage=Usage())]
    assert violations(bill=bill)["duplicate_call"].ids == ["k: 2 provider calls"]


def test_a_second_call_after_an_error_is_none() -> None:
    """The provider did and billed nothing the first time."""
    error = line(8, tenant="other", operation="op-5", outcome="error", usage=Usage())
    assert (
        violations(bill=[*right().bill, error], receipts=[*right().receipts, receipt(8, tenant="other", total=0)]) == {}
    )


def test_one_request_served_twice_is_found() -> None:
    """Sent again by whoever carries the bytes."""
    receipts = [receipt(5, tenant="other", total=2 * COST) if one.id.int == 5 else one for one in right().receipts]
    found = violations(bill=[*right().bill, line(5, tenant="other")], receipts=receipts)
    assert found.keys() == {"duplicate_call"}


def test_the_next_target_of_one_call_is_no_second_call() -> None:
    receipts = [receipt(5, tenant="other", total=2 * COST) if one.id.int == 5 else one for one in right().receipts]
    other_target = replace(line(5, tenant="other"), request_id=f"{request_id(5)}-1")
    assert violations(bill=[*right().bill, other_target], receipts=receipts) == {}


def test_a_second_charge_under_one_key_is_found() -> None:
    receipts = [receipt(6, tenant="other", task="op-5") if one.id.int == 6 else one for one in right().receipts]
    assert violations(receipts=receipts)["charged_twice"].ids == ["k: 2 charges"]


def test_another_reply_under_one_key_is_found() -> None:
    other = replace(sent(6, tenant="other", kind="keyed", key="k", operation="op-5"), digest="e")
    assert violations(sent=[*right().sent, other])["replay"].ids == ["k"]


def test_a_key_left_in_flight_is_found() -> None:
    assert violations(keys_in_flight=["other: 0a"])["in_flight"].count == 1


# -- the list


def test_a_long_list_is_cut_and_counted() -> None:
    bill = [line(number, usage=USAGE) for number in range(100, 200)]
    found = violations(bill=bill)["unsettled"]
    assert (len(found.ids), found.count) == (MAX_IDS, 100)
