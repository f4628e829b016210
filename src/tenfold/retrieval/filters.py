"""What a filter says of a document's metadata, twice: as SQL and, for fakes and tests, over plain values."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from tenfold.core.errors import InvalidRequest
from tenfold.retrieval.types import AllOf, AnyOf, Compare, Filter, Scalar

MAX_COMPARISONS: Final = 100
MAX_DEPTH: Final = 8
MAX_VALUES: Final = 1_000  # of one `in`

_ORDERS: Final = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_FIELD: Final = "(d.metadata -> {key})"
# Texts are ordered by their code points, whatever the locale of the database is.
_TEXT: Final = """(d.metadata ->> {key}) COLLATE "C" """
_KINDS: Final = {str: "string", bool: "boolean", float: "number", int: "number"}


class Condition(Struct, frozen=True, kw_only=True):
    """SQL about `documents d`, and the values of its parameters."""

    sql: str
    values: list[Any]


def condition(given: Filter | None, *, first: int) -> Condition:
    """`first`: the number of its first parameter. Raises InvalidRequest as `check` does."""
    if given is None:
        return Condition(sql="true", values=[])
    check(given)
    values: list[Any] = []
    return Condition(sql=_sql(given, first, values), values=values)


def check(given: Filter) -> None:
    """Raises InvalidRequest: too many or too deep, or a value that it cannot be compared with."""
    comparisons = list(_comparisons(given))
    if len(comparisons) > MAX_COMPARISONS:
        raise _refused(f"A filter has at most {MAX_COMPARISONS} comparisons; this one has {len(comparisons)}.")
    for one in comparisons:
        _check_comparison(one)


def matches(given: Filter | None, metadata: Mapping[str, Any]) -> bool:
    """The same in Python."""
    match given:
        case None:
            return True
        case AllOf(filters=parts):
            return all(matches(part, metadata) for part in parts)
        case AnyOf(filters=parts):
            return any(matches(part, metadata) for part in parts)
    return _compares(given, metadata.get(given.key))


# -- inside ------------------------------------------------------------------------------


def _sql(given: Filter, first: int, values: list[Any]) -> str:
    if isinstance(given, Compare):
        return _comparison(given, first, values)
    parts = [_sql(part, first, values) for part in given.filters]
    joined = (" AND " if isinstance(given, AllOf) else " OR ").join(parts)
    return f"({joined})" if parts else str(isinstance(given, AllOf)).lower()


def _comparison(one: Compare, first: int, values: list[Any]) -> str:
    def parameter(value: Any, kind: str) -> str:
        values.append(value)
        return f"${first + len(values) - 1}::{kind}"

    key = parameter(one.key, "text")
    field = _FIELD.format(key=key)
    match one.type:
        case "eq":
            return f"coalesce({field} = {parameter(one.value, 'jsonb')}, false)"
        case "ne":
            return f"({field} IS DISTINCT FROM {parameter(one.value, 'jsonb')})"
        case "in":
            return f"coalesce({field} = ANY ({parameter(_several(one), 'jsonb[]')}), false)"
        case "nin":
            return f"(NOT coalesce({field} = ANY ({parameter(_several(one), 'jsonb[]')}), false))"
    # A text is neither above nor below a number.
    alike = f"jsonb_typeof({field}) = '{_KINDS[type(one.value)]}'"
    if isinstance(one.value, str):
        compared = f"{_TEXT.format(key=key)}{_ORDERS[one.type]} {parameter(one.value, 'text')}"
    else:
        compared = f"{field} {_ORDERS[one.type]} {parameter(one.value, 'jsonb')}"
    return f"coalesce({alike} AND {compared}, false)"


def _compares(one: Compare, there: Any) -> bool:
    match one.type:
        case "eq":
            return _same(there, one.value)
        case "ne":
            return not _same(there, one.value)
        case "in":
            return any(_same(there, value) for value in _several(one))
        case "nin":
            return not any(_same(there, value) for value in _several(one))
    if _kind(there) is None or _kind(there) != _kind(one.value):
        return False
    match one.type:
        case "gt":
            return bool(there > one.value)
        case "gte":
            return bool(there >= one.value)
        case "lt":
            return bool(there < one.value)
    return bool(there <= one.value)


def _same(there: Any, value: Any) -> bool:
    return _kind(there) is not None and _kind(there) == _kind(value) and bool(there == value)


def _kind(value: Any) -> str | None:
    return _KINDS.get(type(value))


def _several(one: Compare) -> list[Scalar]:
    return list(one.value) if isinstance(one.value, tuple) else [one.value]


def _comparisons(given: Filter, depth: int = 1) -> Iterator[Compare]:
    if isinstance(given, Compare):
        yield given
        return
    if depth > MAX_DEPTH:
        raise _refused(f"Filters are nested at most {MAX_DEPTH} deep.")
    for part in given.filters:
        yield from _comparisons(part, depth + 1)


def _check_comparison(one: Compare) -> None:
    if isinstance(one.value, tuple) != (one.type in ("in", "nin")):
        listed = "a list of values" if one.type in ("in", "nin") else "one value"
        raise _refused(f"{one.type!r} of {one.key!r} compares with {listed}.")
    several = _several(one)
    if len(several) > MAX_VALUES:
        raise _refused(f"{one.type!r} of {one.key!r} has {len(several)} values; at most {MAX_VALUES} are possible.")
    for text in (one.key, *(value for value in several if isinstance(value, str))):
        if "\x00" in text or not _is_unicode(text):
            raise _refused("A filter holds a character that no metadata can hold: NUL or half of a surrogate pair.")
    for value in several:
        if isinstance(value, float) and not math.isfinite(value):
            raise _refused(f"{one.key!r} is compared with {value}, which is no number of JSON.")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refused(message: str) -> InvalidRequest:
    return InvalidRequest(message, param="filters")
