"""What the comparator says of answers, and that its rates are those the bound reckons with."""

import pytest
from bench.semantic import comparing
from bench.semantic.__main__ import upper_limit

from tenfold.cache.semantic.comparator import MISSED, compare
from tests.support.shared_data import shared_data


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Open Settings and choose Reset password.", "open settings, and choose reset password"),
        (
            "To reset your password, open Settings, choose Security and press Reset password.",
            "Open Settings, choose Security, then press Reset password there to get a new one by e-mail.",
        ),
        (
            "Refunds are paid within five working days to the card you paid with.",
            "Your refund is paid to the card you used, within 5 working days.",
        ),
        ("Yes, you can bring two bags of at most 20 kg each.", "Yes, two bags, each of at most 20 kg."),
    ],
)
def test_one_answer_in_other_words(one: str, other: str) -> None:
    assert compare(one, other) == "same"
    assert compare(other, one) == "same"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Yes, you can bring two bags.", "No, you cannot bring two bags."),
        ("Refunds are paid within 5 working days.", "Refunds are paid within 15 working days."),
        ("Open Settings and choose Reset password.", "Our shops are closed on Sundays and public holidays."),
        ("Your card is accepted in all shops abroad.", "Your card is not accepted in all shops abroad."),
        ("InnoDB", "100 TB"),
    ],
)
def test_answers_that_state_something_else(one: str, other: str) -> None:
    assert compare(one, other) == "different"
    assert compare(other, one) == "different"


@pytest.mark.parametrize(("one", "other"), [("", ""), ("Yes.", "Yes, you can."), ("", "Open Settings."), ("?", "!")])
def test_of_too_little_it_does_not_judge(one: str, other: str) -> None:
    assert compare(one, other) == "unsure"


def test_one_word_for_another_may_be_all_the_difference() -> None:
    assert compare("These field names are reserved: alias", "These field names are reserved: admin") == "unsure"


def test_far_vectors_make_it_less_sure() -> None:
    one, other = "Open Settings and choose Reset password.", "Choose Reset password in Settings once open."
    assert compare(one, other, 0.99) == "same"
    assert compare(one, other, 0.1) == "unsure"


def test_it_errs_no_more_than_the_bound_reckons_with() -> None:
    rates = comparing.measure(shared_data("qa_clapnq").parent)
    assert rates.near.total() > 50
    assert upper_limit(rates.near["same"] + rates.near["unsure"], rates.near.total()) <= MISSED
    assert rates.same["different"] == 0
    assert rates.same["same"] > 0.75 * rates.same.total()
