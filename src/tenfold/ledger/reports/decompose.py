"""Why the mean cost of a request changed: the exact share of price, model mix, tokens and cache in the difference.

The mean is, over the models m,

    sum of  share_m * paid_m * (input_m * input_price_m + output_m * output_price_m + fee_m)

share: of the calls; paid: of its calls, those no cache answered for nothing; input, output: tokens of a paid call;
prices: of a token; fee: what a paid call costs beside its tokens. Each factor's part is its Shapley value (L. S.
Shapley, A Value for n-Person Games, 1953): the mean, over all orders in which the factors could have changed one after
the other, of what the change of this one did. The parts add up to the difference exactly, because these are fractions.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from math import factorial

from msgspec import Struct

from tenfold.ledger.reports.types import Factor, ModelUse, Parts

FACTORS: tuple[Factor, ...] = ("price", "model_mix", "tokens", "cache_share")

_ZERO = Fraction(0)
_UNUSED = ModelUse(calls=0, paid=0, input_tokens=0, output_tokens=0, input_nano=0, output_nano=0, total_nano=0)


class _Model(Struct, frozen=True):
    share: Fraction
    paid: Fraction
    tokens: tuple[Fraction, Fraction]
    prices: tuple[Fraction, Fraction, Fraction]


def mean_cost(models: Mapping[str, ModelUse]) -> Fraction:
    """10^-9 USD a priced call; 0 without calls."""
    calls = sum(use.calls for use in models.values())
    return Fraction(sum(use.total_nano for use in models.values()), calls) if calls else _ZERO


def explain(before: Mapping[str, ModelUse], after: Mapping[str, ModelUse]) -> Parts:
    """The parts of `mean_cost(after) - mean_cost(before)`. Both sides need a call.

    What one side does not know of a model (it was not called, or every call was free) is taken from the other: a model
    that came or went counts as mix, and one whose calls all became free as cache."""
    calls_before, calls_after = _calls(before), _calls(after)
    pairs = []
    for name in {**before, **after}:
        old, new = before.get(name, _UNUSED), after.get(name, _UNUSED)
        pairs.append((_model(old, new, calls_before), _model(new, old, calls_after)))
    value = {
        chosen: sum((_cost(pair, chosen) for pair in pairs), _ZERO)
        for size in range(len(FACTORS) + 1)
        for chosen in combinations(FACTORS, size)
    }
    return {factor: _shapley(factor, value) for factor in FACTORS}


def rounded_parts(parts: Sequence[Fraction], total: int) -> list[int]:
    """Whole numbers that add up to `total`, each within 1 of its part; `total` is the rounded sum of the parts."""
    floors = [part.numerator // part.denominator for part in parts]
    missing = total - sum(floors)
    by_rest = sorted(range(len(parts)), key=lambda place: floors[place] - parts[place])
    for place in by_rest[:missing]:
        floors[place] += 1
    return floors


def _calls(models: Mapping[str, ModelUse]) -> int:
    return sum(use.calls for use in models.values())


def _shapley(factor: Factor, value: Mapping[tuple[Factor, ...], Fraction]) -> Fraction:
    others = [other for other in FACTORS if other != factor]
    part = _ZERO
    for size in range(len(FACTORS)):
        weight = Fraction(factorial(size) * factorial(len(FACTORS) - size - 1), factorial(len(FACTORS)))
        for chosen in combinations(others, size):
            joined = tuple(each for each in FACTORS if each in chosen or each == factor)
            part += weight * (value[joined] - value[chosen])
    return part


def _cost(pair: tuple[_Model, _Model], chosen: tuple[Factor, ...]) -> Fraction:
    """Of one model, where the chosen factors are as they are after and the others as before."""
    before, after = pair
    share = (after if "model_mix" in chosen else before).share
    paid = (after if "cache_share" in chosen else before).paid
    input_tokens, output_tokens = (after if "tokens" in chosen else before).tokens
    input_price, output_price, fee = (after if "price" in chosen else before).prices
    return share * paid * (input_tokens * input_price + output_tokens * output_price + fee)


def _model(own: ModelUse, other: ModelUse, calls: int) -> _Model:
    known = own if own.calls else other
    paid = own if own.paid else other
    return _Model(
        share=Fraction(own.calls, calls),
        paid=Fraction(known.paid, known.calls) if known.calls else _ZERO,
        tokens=_tokens(paid),
        prices=_prices(paid, (paid, own, other)),
    )


def _tokens(use: ModelUse) -> tuple[Fraction, Fraction]:
    if not use.paid:
        return _ZERO, _ZERO
    return Fraction(use.input_tokens, use.paid), Fraction(use.output_tokens, use.paid)


def _prices(paid: ModelUse, sides: Sequence[ModelUse]) -> tuple[Fraction, Fraction, Fraction]:
    """A token's price that one side cannot tell, since it used none, is the next side's."""
    if not paid.paid:
        return _ZERO, _ZERO, _ZERO
    by_input = paid.input_nano if paid.input_tokens else 0
    by_output = paid.output_nano if paid.output_tokens else 0
    fee = Fraction(paid.total_nano - by_input - by_output, paid.paid)
    input_price = next((Fraction(side.input_nano, side.input_tokens) for side in sides if side.input_tokens), _ZERO)
    output_price = next((Fraction(side.output_nano, side.output_tokens) for side in sides if side.output_tokens), _ZERO)
    return input_price, output_price, fee
