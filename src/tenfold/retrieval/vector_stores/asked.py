"""What a client asks of a search, from JSON: filters by attributes, and how well a passage must fit. Pure."""

from collections.abc import Mapping
from typing import Any, Final, get_args

from tenfold.core.errors import InvalidRequest
from tenfold.core.inputs import one_of
from tenfold.retrieval.types import AllOf, AnyOf, Compare, Comparison, Filter, Scalar

MAX_DEPTH: Final = 8
MAX_COMPARISONS: Final = 64
MAX_VALUES: Final = 256
_MAX_KEY, _MAX_TEXT = 64, 512

RANKERS: Final = ("none", "auto", "default-2024-11-15", "default_2024_08_21")
_COMPARISONS: Final[tuple[Comparison, ...]] = get_args(Comparison)
_ORDERS: Final = ("gt", "gte", "lt", "lte")


def filter_of(asked: Mapping[str, Any] | None, param: str = "filters") -> Filter | None:
    """A `ComparisonFilter` or `CompoundFilter` as OpenAI documents them. Raises InvalidRequest."""
    if asked is None:
        return None
    left = [MAX_COMPARISONS]
    return _filter(asked, param, MAX_DEPTH, left)


def threshold_of(asked: Mapping[str, Any] | None, param: str = "ranking_options") -> float:
    """Of ranking options: the least score. Which ranker is named makes no difference. Raises InvalidRequest."""
    if asked is None:
        return 0.0
    if not isinstance(asked, Mapping):
        raise InvalidRequest("It is an object.", param=param)
    ranker = asked.get("ranker")
    if ranker is not None:
        one_of(ranker if isinstance(ranker, str) else "", RANKERS, f"{param}.ranker")
    threshold = asked.get("score_threshold")
    if threshold is None:
        return 0.0
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise InvalidRequest("`score_threshold` is a number from 0 to 1.", param=f"{param}.score_threshold")
    return float(threshold)


def _filter(asked: Any, param: str, depth: int, left: list[int]) -> Filter:
    if not isinstance(asked, Mapping) or not isinstance(asked.get("type"), str):
        raise InvalidRequest("A filter is an object with a `type`.", param=param)
    if depth == 0:
        raise InvalidRequest(f"Filters stand in each other at most {MAX_DEPTH} deep.", param=param)
    if asked["type"] in ("and", "or"):
        return _compound(asked, param, depth, left)
    left[0] -= 1
    if left[0] < 0:
        raise InvalidRequest(f"A search has at most {MAX_COMPARISONS} comparisons.", param=param)
    return _comparison(asked, param)


def _compound(asked: Mapping[str, Any], param: str, depth: int, left: list[int]) -> Filter:
    _only(asked, ("type", "filters"), param)
    parts = asked.get("filters")
    if not isinstance(parts, list) or not parts:
        raise InvalidRequest("`filters` is a list of at least one filter.", param=f"{param}.filters")
    filters = tuple(_filter(part, f"{param}.filters[{at}]", depth - 1, left) for at, part in enumerate(parts))
    return AllOf(filters=filters) if asked["type"] == "and" else AnyOf(filters=filters)


def _comparison(asked: Mapping[str, Any], param: str) -> Compare:
    kind = one_of(asked["type"], _COMPARISONS, f"{param}.type")
    _only(asked, ("type", "key", "value"), param)
    key = asked.get("key")
    if not isinstance(key, str) or not 1 <= len(key) <= _MAX_KEY or "\0" in key:
        raise InvalidRequest(f"`key` is the name of an attribute, of 1 to {_MAX_KEY} characters.", param=f"{param}.key")
    value = asked.get("value")
    at = f"{param}.value"
    if kind in ("in", "nin"):
        if not isinstance(value, list) or not 1 <= len(value) <= MAX_VALUES:
            raise InvalidRequest(f"`value` of `{kind}` is a list of 1 to {MAX_VALUES} values.", param=at)
        return Compare(key=key, type=kind, value=tuple(_scalar(one, at) for one in value))
    scalar = _scalar(value, at)
    if kind in _ORDERS and isinstance(scalar, bool):
        raise InvalidRequest(f"`{kind}` compares numbers, or texts.", param=at)
    return Compare(key=key, type=kind, value=scalar)


def _scalar(value: Any, param: str) -> Scalar:
    if isinstance(value, str):
        if len(value) > _MAX_TEXT or "\0" in value:
            raise InvalidRequest(f"A text has at most {_MAX_TEXT} characters, and no NUL.", param=param)
        return value
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            pass
    raise InvalidRequest("A value is a text, a number, or true or false.", param=param)


def _only(asked: Mapping[str, Any], known: tuple[str, ...], param: str) -> None:
    for key in asked:
        if key not in known:
            raise InvalidRequest(f"Unknown parameter: '{str(key)[:80]}'.", param=f"{param}.{str(key)[:80]}")
