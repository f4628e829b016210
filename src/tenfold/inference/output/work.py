"""How much work a check may be, counted before it is done: a client's schema and a model's reply are both input that
may be hostile, and a check that runs cannot be stopped.

A schema becomes a graph. Some keywords apply to the same value (`allOf`, `$ref`), others to the values inside it
(`properties`, `items`). The ways through the first kind are added up once, for each place in the schema; of a reply,
every value is then met with the places that apply to it and in how many ways. Nothing here says what is valid.
"""

import math
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from tenfold.core.chat import JsonObject

MOST_WORK = 1_000_000
"""Of one check, in units of about 50 ns: the validator's time for one keyword."""

MOST_PLACES = 3_000
_MOST_LINKS = 50_000
_MOST_AT_ONE_PLACE = 50_000

_KINDS = {
    **dict.fromkeys(("allOf", "anyOf", "oneOf", "dependentSchemas", "dependencies"), "each the same"),
    **dict.fromkeys(("not", "if", "then", "else"), "same"),
    **dict.fromkeys(("additionalProperties", "unevaluatedProperties"), "every member"),
    **dict.fromkeys(("items", "prefixItems", "additionalItems", "unevaluatedItems", "contains"), "every item"),
    **dict.fromkeys(("enum", "const", "required", "type"), "size"),
    **dict.fromkeys(("$dynamicRef", "$recursiveRef"), "dynamic"),
    "properties": "members",
    "patternProperties": "patterns",
    "propertyNames": "names",
    "$ref": "reference",
    "$id": "id",
    "uniqueItems": "each",
    "pattern": "letters",
}
_LOOKS_AGAIN = 3  # `unevaluatedProperties` asks every part of its schema again what it has looked at; measured: 2.7
_EACH_IS_COMPARED = 8
_REPEATED = re.compile(r"\{(\d{1,6})(?:,(\d{0,6}))?\}")
_LARGEST_PATTERN = 4_000  # the engine's own limit of an automaton is reached before

Ways = dict[int, int]  # place -> in how many ways


class TooHard(Exception):
    """The schema cannot be checked within bounds. The text is for the client."""


class _Place:
    """One schema inside the schema."""

    __slots__ = ("each", "every_item", "every_member", "letters", "members", "names", "same", "units")

    def __init__(self) -> None:
        self.same: Ways = {}
        self.members: dict[str, Ways] = {}
        self.every_member: Ways = {}
        self.every_item: Ways = {}
        self.names: Ways = {}  # of members
        self.units = 1
        self.each = 0  # units for each item
        self.letters = 0  # units for each character of a string


class WorkOf:
    """The work of checking any value against one schema."""

    def __init__(self, schema: JsonObject | bool) -> None:
        """Raises TooHard."""
        self._schema = schema
        self._places: list[_Place] = []
        self._numbers: dict[int, int] = {}
        self._unread: list[tuple[_Place, JsonObject]] = []
        self._anchors: JsonObject | None = None
        self._root = self._number(schema)
        while self._unread:
            self._read(*self._unread.pop())
        self._add_up()
        self._dearest = self._dearest_value()

    def exceeds(self, value: Any, text: str, most: int = MOST_WORK) -> bool:
        """Whether checking the value, which `text` is the JSON of, may be more work than `most`."""
        if self._dearest is not None:
            units, letters = self._dearest
            values = text.count(",") + text.count("{") + text.count("[") + 1
            if 2 * values * units + len(text) * letters <= most:  # twice: members have names
                return False
        return self._walk_exceeds(value, most)

    def _walk_exceeds(self, value: Any, most: int) -> bool:
        """Counts the work, and no further than `most`: 5 us for a value."""
        places, done = self._places, 0
        waiting: list[tuple[Any, Ways]] = [(value, {self._root: 1})]
        while waiting:
            found, applied = waiting.pop()
            length = len(found) if isinstance(found, str | list | dict) else 0
            for number, ways in applied.items():
                place = places[number]
                done += ways * place.units
                if place.letters and isinstance(found, str):
                    done += ways * place.letters * length
                elif place.each and isinstance(found, list):
                    done += ways * place.each * length
            if isinstance(found, dict):
                waiting.extend(self._inside_object(found, applied))
            elif isinstance(found, list):
                inside: Ways = {}
                for number, ways in applied.items():
                    _add(inside, places[number].every_item, ways)
                if inside:
                    waiting.extend((item, inside) for item in found)
            if done + len(waiting) > most:
                return True
        return False

    def _inside_object(self, found: JsonObject, applied: Ways) -> Iterator[tuple[Any, Ways]]:
        every: Ways = {}
        names: Ways = {}
        for number, ways in applied.items():
            _add(every, self._places[number].every_member, ways)
            _add(names, self._places[number].names, ways)
        for name, member in found.items():
            inside = every
            for number, ways in applied.items():
                own = self._places[number].members.get(name)
                if own is not None:
                    if inside is every:
                        inside = dict(every)
                    _add(inside, own, ways)
            if inside:
                yield member, inside
            if names:
                yield name, names

    # -- reading a schema --------------------------------------------------------------------

    def _number(self, schema: Any) -> int:
        known = self._numbers.get(id(schema))
        if known is not None and isinstance(schema, dict):
            return known
        if len(self._places) >= MOST_PLACES:
            raise TooHard(f"it has more than {MOST_PLACES} schemas in it")
        place = _Place()
        self._places.append(place)
        if isinstance(schema, dict):
            self._numbers[id(schema)] = len(self._places) - 1
            self._unread.append((place, schema))
        return len(self._places) - 1

    def _read(self, place: _Place, schema: JsonObject) -> None:
        again = _LOOKS_AGAIN if "unevaluatedProperties" in schema or "unevaluatedItems" in schema else 1
        place.units += len(schema)
        for keyword, part in schema.items():
            match _KINDS.get(keyword):
                case "same":
                    self._link(place.same, part, again)
                case "each the same":
                    for one in _parts(part):
                        if isinstance(one, dict | bool):  # old drafts have lists of names among the dependencies
                            self._link(place.same, one, again)
                case "reference" if isinstance(part, str):
                    self._link(place.same, self._find(part), again)
                case "members" if isinstance(part, dict):
                    place.units += len(part)
                    for name, one in part.items():
                        self._link(place.members.setdefault(name, {}), one)
                case "patterns" if isinstance(part, dict):
                    for pattern, one in part.items():
                        self._link(place.every_member, one)
                        place.names[self._pattern(pattern)] = 1
                case "every member":
                    self._link(place.every_member, part)
                case "every item":
                    for one in part if isinstance(part, list) else (part,):
                        self._link(place.every_item, one)
                case "names":
                    self._link(place.names, part)
                case kind:
                    self._read_assertion(place, kind, part, is_root=schema is self._schema)

    def _read_assertion(self, place: _Place, kind: str | None, part: Any, *, is_root: bool) -> None:
        if kind == "size":
            place.units += _size(part)
        elif kind == "each" and part is True:
            place.each = _EACH_IS_COMPARED
        elif kind == "letters" and isinstance(part, str):
            place.letters = _units_of_pattern(part)
        elif kind == "id" and isinstance(part, str) and not is_root:
            raise TooHard("only its root may have an $id")
        elif kind == "dynamic":
            raise TooHard("$dynamicRef and $recursiveRef are not followed")

    def _link(self, ways: Ways, schema: Any, times: int = 1) -> None:
        number = self._number(schema)
        ways[number] = ways.get(number, 0) + times

    def _pattern(self, pattern: str) -> int:
        number = self._number(True)
        self._places[number].letters = _units_of_pattern(pattern)
        return number

    def _find(self, reference: str) -> Any:
        start, _, fragment = reference.partition("#")
        if start:
            raise TooHard(f"$ref {reference[:80]!r} leads out of it, and nothing is fetched")
        fragment = unquote(fragment)
        if fragment and not fragment.startswith("/"):
            if self._anchors is None:
                self._anchors = _anchors(self._schema)
            if fragment not in self._anchors:
                raise TooHard(f"$ref {reference[:80]!r} leads nowhere")
            return self._anchors[fragment]
        found: Any = self._schema
        for step in fragment.split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and step in found:
                found = found[step]
            elif isinstance(found, list) and step.isdecimal() and len(step) < 9 and int(step) < len(found):
                found = found[int(step)]
            else:
                raise TooHard(f"$ref {reference[:80]!r} leads nowhere")
        if not isinstance(found, dict | bool):
            raise TooHard(f"$ref {reference[:80]!r} leads to no schema")
        return found

    # -- adding up ---------------------------------------------------------------------------

    def _add_up(self) -> None:
        """Each place takes in those that apply to the same value, the innermost first."""
        links = 0
        for place in self._in_order():
            for number, ways in place.same.items():
                other = self._places[number]
                place.units += ways * other.units
                place.each += ways * other.each
                place.letters += ways * other.letters
                _add(place.every_member, other.every_member, ways)
                _add(place.every_item, other.every_item, ways)
                _add(place.names, other.names, ways)
                for name, own in other.members.items():
                    _add(place.members.setdefault(name, {}), own, ways)
                    links += len(own)
                links += len(other.every_member) + len(other.every_item) + len(other.names)
                if links > _MOST_LINKS:
                    raise TooHard("it has too many schemas that apply to one value")
            if place.units > _MOST_AT_ONE_PLACE:
                raise TooHard("it has too many ways to apply schemas to one value")

    def _dearest_value(self) -> tuple[int, int] | None:
        """The most work of any one value and of a character, where every value is met with one place that leads on, at
        most: then it takes no walk to know what a whole text may be. So it is with what SDKs make of classes.
        None: the same value may be met by more and more places the deeper it stands."""
        root = self._places[self._root]
        most_units, most_letters = root.units + root.each, root.letters
        leads_on = [bool(p.members or p.every_member or p.every_item or p.names) for p in self._places]
        for place in self._places:
            for own, every in (
                *((own, place.every_member) for own in place.members.values()),
                ({}, place.every_member),
                ({}, place.every_item),
                ({}, place.names),
            ):
                units = letters = ways_on = 0
                for number, ways in (*own.items(), *every.items()):
                    other = self._places[number]
                    units += ways * (other.units + other.each)
                    letters += ways * other.letters
                    ways_on += ways * leads_on[number]
                if ways_on > 1:
                    return None
                most_units, most_letters = max(most_units, units), max(most_letters, letters)
        return most_units, most_letters

    def _in_order(self) -> list[_Place]:
        """Every place after those that apply to the same value (Kahn's algorithm)."""
        uses = [0] * len(self._places)
        for place in self._places:
            for number in place.same:
                uses[number] += 1
        free = [number for number, count in enumerate(uses) if not count]
        order: list[_Place] = []
        while free:
            place = self._places[free.pop()]
            order.append(place)
            for number in place.same:
                uses[number] -= 1
                if not uses[number]:
                    free.append(number)
        if len(order) < len(self._places):
            raise TooHard("a schema of it refers to itself without going into the value")
        return order[::-1]


def _add(to: Ways, more: Ways, times: int) -> None:
    for number, ways in more.items():
        to[number] = to.get(number, 0) + ways * times


def _parts(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _size(value: Any) -> int:
    """How many values stand in it."""
    count, waiting = 0, [value]
    while waiting:
        found = waiting.pop()
        count += 1
        if isinstance(found, dict):
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)
    return count


def _anchors(schema: Any) -> JsonObject:
    """The schemas that have a name of their own. Raises TooHard when two share one."""
    found: JsonObject = {}
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            for keyword in ("$anchor", "$dynamicAnchor"):
                name = value.get(keyword)
                if isinstance(name, str) and found.setdefault(name, value) is not value:
                    raise TooHard(f"two schemas of it have the name {name[:80]!r}")
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return found


def _units_of_pattern(pattern: str) -> int:
    """For each character. The engine is linear in the text, and at worst in the size of its automaton as well; that
    is guessed from the repetitions written out, multiplied where one may stand in another."""
    most = [int(last or first) for first, last in _REPEATED.findall(pattern)]
    written = math.prod(most) if ")" in pattern else sum(most)
    return 1 + min(_LARGEST_PATTERN, len(pattern) + 8 * written) // 16
