"""Which passages are given: none twice in other words, none that differs by what matters is lost, and no more than
there is room for.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.retrieval.select import select, tokens
from tenfold.retrieval.types import Passage

LONG = (
    "To change the address on your account, open the settings page, choose the tab for personal data, write the new "
    "address into the form and press the button at the end of the page. We send a letter with a code of 6 digits to "
    "the old address, which you have to give within 14 days, or else the change is not made."
)


def passage(text: str, name: str = "d", title: str = "", heading: str = "") -> Passage:
    return Passage(
        document_id=name,
        document_hash="0" * 64,
        title=title,
        url="",
        heading=heading,
        text=text,
        span=(0, len(text)),
        score=1.0,
        relevance=1.0,
    )


def given_names(passages: list[Passage], k: int = 10, max_tokens: int | None = None) -> list[str]:
    return [one.document_id for one in select(passages, k, max_tokens)]


@pytest.mark.parametrize(
    "other",
    [
        LONG,
        LONG.replace("  ", " ").replace(", ", ",\n"),
        LONG.upper().replace("TO CHANGE", "To change").lower().replace("we send", "We send").replace("to ch", "To ch"),
        LONG[:-1] + ", as ever.",
        LONG.replace("a letter with", "by letter"),
    ],
    ids=["the same", "line breaks", "capitals at the start only", "a word more", "another word"],
)
def test_what_says_the_same_is_given_once(other: str) -> None:
    assert given_names([passage(LONG, "a"), passage(other, "b", title="A copy")]) == ["a"]


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ("6 digits", "8 digits"),
        ("14 days", "30 days"),
        ("is not made", "is made"),
        ("your account", "your Gold account"),
        ("which you have to give", "which you may give"),
        ("open the settings", "without the settings"),
        ("open the settings", "open the v2 settings"),
        ("to the old address", "to the Old address"),
        ("within 14", "after 14"),
        ("for personal data", "для personal data"),
    ],
)
def test_what_differs_by_what_matters_is_kept(there: str, here: str) -> None:
    assert given_names([passage(LONG, "a"), passage(LONG.replace(there, here), "b")]) == ["a", "b"]


def test_a_short_text_may_live_by_its_title() -> None:
    fee = "The fee is 3 % of the amount."
    gold, silver = passage(fee, "gold", title="Gold card"), passage(fee, "silver", title="Silver card")
    assert given_names([gold, silver, passage(fee, "again", title="Gold card")]) == ["gold", "silver"]


def test_the_place_of_one_that_is_left_out_is_filled() -> None:
    found = [passage(LONG, "a"), passage(LONG, "b"), passage("Zebras are striped.", "c"), passage("Lions roar.", "d")]
    assert given_names(found, k=2) == ["a", "c"]


def test_texts_without_words() -> None:
    assert given_names([passage("", "a"), passage("***", "b"), passage("|---|", "c", title="T")]) == ["a", "c"]


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 10**6)), max_size=20), st.integers(0, 300))
def test_the_cap_holds_and_what_is_given_keeps_its_order(sizes: list[tuple[int, int]], cap: int) -> None:
    found = [passage(f"{number} " + "x" * size, str(place)) for place, (size, number) in enumerate(sizes)]
    chosen = select(found, 10, cap)
    assert sum(map(tokens, chosen)) <= cap
    places = [int(one.document_id) for one in chosen]
    assert places == sorted(places)
    left = cap - sum(map(tokens, chosen))
    if len(chosen) < 10:  # nothing that still fits was left out, but for what says the same
        texts = {one.text for one in chosen}
        assert all(tokens(one) > left for one in found if one.text not in texts)


def test_one_that_is_too_long_is_passed_over() -> None:
    found = [passage("a" * 40, "a"), passage("b" * 400, "b"), passage("c" * 40, "c")]
    assert given_names(found, max_tokens=20) == ["a", "c"]
    assert given_names(found, max_tokens=5) == []
