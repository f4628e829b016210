"""The words of faults, and what they come to: everything documented is understood, everything else is refused."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.app.faults import spec
from tenfold.app.faults.fate import MOST_LATENCY_S, Capacity, chance_of, draw
from tenfold.app.faults.spec import ENDINGS, SHAPES, Fault, FaultSpecError, parse

ALL = {
    "latency": ("50ms", "uniform:20ms:80ms", "exponential:50ms", "lognormal:50ms:0.8"),
    "pace": ("10ms",),
    "drip": ("", "5ms"),
    "tokens": ("40",),
    "capacity": ("20", "20:429", "20:429:3s", "20:slow"),
    "usage": ("missing", "zero", "absurd"),
    "duplicate-frames": ("",),
    "off-schema": ("", "json", "text", "cut"),
    "status": ("503", "429", "429:2s", "401"),
    "hang": ("", "before-head", "after-head", "mid-stream"),
    "reset": ("", "before-head", "mid-stream"),
    "mid-stream-cut": ("", "0", "3"),
    "mid-stream-end": ("", "0", "3"),
    "error-event": ("", "2"),
    "malformed": ("", "body", "chunk"),
    "html": ("",),
    "empty": ("",),
    "gzip-bomb": ("",),
    "oversize": ("body", "event", "header"),
    "redirect": ("", "http://10.0.0.1:80/latest"),
}
WORDS = [name + (f"={value}" if value else "") for name, values in ALL.items() for value in values]


@pytest.mark.parametrize("word", WORDS)
def test_every_documented_form_is_understood(word: str) -> None:
    [fault] = parse(word)
    assert fault.name == word.partition("=")[0]
    assert fault.probability == 1
    [chancy] = parse(f"{word}@0.25")
    assert chancy.probability == 0.25
    assert (chancy.mode, chancy.numbers) == (fault.mode, fault.numbers)


def test_no_fault_is_left_out_here() -> None:
    assert set(ALL) == {*SHAPES, *ENDINGS}
    assert all(f"`{name}`" in (spec.__doc__ or "") for name in ALL)


def test_nothing_is_ordered() -> None:
    assert parse("none") == parse(" none ") == ()


def test_several_are_understood_in_their_order() -> None:
    found = parse("latency=50ms, status=503@0.2, reset@0.1, usage=zero")
    assert [fault.name for fault in found] == ["latency", "status", "reset", "usage"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'' is no fault. There are: latency"),
        ("statsu=503", "'statsu' is no fault"),
        ("none,html", "'none' is no fault"),
        ("latency", "latency: write a time, uniform:T:T"),
        ("latency=50", "latency: '50' is no time: write 50ms or 2s"),
        ("latency=uniform:80ms:20ms", "from 80ms to 20ms there is nothing"),
        ("latency=lognormal:50ms:x", "'x' is no sigma"),
        ("latency=7200s", "at most 3600s"),
        ("status=200", "'200' is no whole number from 400 to 599"),
        ("status=429:1.5s", "Retry-After is told in whole seconds"),
        ("status", "write a status from 400 to 599"),
        ("html=1", "html: takes no value"),
        ("hang=later", "write one of before-head, after-head, mid-stream"),
        ("oversize", "write one of body, event, header"),
        ("tokens=0", "from 1 to"),
        ("tokens=²", "no whole number"),
        ("capacity=4:503", "write N, N:429:T or N:slow"),
        ("redirect=ftp://a", "no http:// or https:// URL"),
        ("html@0", "'0' is no probability"),
        ("html@1.5", "'1.5' is no probability"),
        ("html@often", "'often' is no probability"),
        ("pace=1ms,pace=2ms", "pace: stands there twice"),
        ("html,html", "html: stands there twice"),
        ("html,status=503", "status: never comes to pass, since html before it always does"),
        ("html@0.5," * 200, "at most 1000 characters"),
    ],
)
def test_what_orders_nothing_is_refused_with_the_way_out(text: str, said: str) -> None:
    with pytest.raises(FaultSpecError) as refused:
        parse(text)
    assert said in str(refused.value)


@given(st.text(max_size=80))
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        faults = parse(text)
    except FaultSpecError:
        return
    assert all(0 < fault.probability <= 1 for fault in faults)


@given(st.lists(st.sampled_from(WORDS), max_size=6), st.integers(0, 99))
def test_whatever_is_understood_has_a_fate(words: list[str], seed: int) -> None:
    try:
        faults = parse(",".join(words) or "none")
    except FaultSpecError:
        return
    fate = draw(faults, random.Random(seed))
    assert 0 <= fate.latency_s <= MOST_LATENCY_S
    assert set(fate.names) <= {fault.name for fault in faults}
    assert (fate.ending is None) == (not any(fault.ends for fault in faults))


# -- fates


def test_shapes_add_up_and_one_ending_is_met() -> None:
    fate = draw(parse("latency=50ms,drip=5ms,tokens=7,usage=zero,duplicate-frames,capacity=3,html"), random.Random(1))
    assert (fate.latency_s, fate.drip_s, fate.tokens, fate.usage) == (0.05, 0.005, 7, "zero")
    assert fate.duplicates
    assert fate.capacity == Capacity(places=3, retry_after_s=1)
    assert fate.ending == Fault(name="html")


def test_the_same_seed_brings_the_same_fates() -> None:
    faults = parse("latency=exponential:50ms,status=503@0.3,reset@0.2")
    fates = [[draw(faults, chance_of(seed, "m", nth)) for nth in range(50)] for seed in (1, 1, 2)]
    assert fates[0] == fates[1] != fates[2]


def test_probabilities_are_kept() -> None:
    faults = parse("status=503@0.2,reset@0.5")
    fates = [draw(faults, chance_of(1, "m", nth)) for nth in range(4000)]
    endings = [fate.ending.name if fate.ending else "" for fate in fates]
    assert 700 < endings.count("status") < 900
    assert 1450 < endings.count("reset") < 1750  # half of those that were left


def test_one_fault_does_not_move_the_chance_of_another() -> None:
    alone = [draw(parse("html@0.5,status=503@0.5"), chance_of(1, "m", n)).ending for n in range(100)]
    other = [draw(parse("html@0.5,status=500@0.5"), chance_of(1, "m", n)).ending for n in range(100)]
    assert [one and one.name for one in alone] == [one and one.name for one in other]


@pytest.mark.parametrize(
    ("text", "low", "median", "high"),
    [
        ("latency=50ms", 0.05, 0.05, 0.05),
        ("latency=uniform:20ms:80ms", 0.02, 0.05, 0.08),
        ("latency=exponential:50ms", 0.0, 0.0347, 3.0),
        ("latency=lognormal:50ms:0.5", 0.0, 0.05, 3.0),
    ],
)
def test_latencies_have_their_distribution(text: str, low: float, median: float, high: float) -> None:
    drawn = sorted(draw(parse(text), chance_of(1, "m", nth)).latency_s for nth in range(2001))
    assert low <= drawn[0] <= drawn[-1] <= high
    assert drawn[1000] == pytest.approx(median, rel=0.1)
