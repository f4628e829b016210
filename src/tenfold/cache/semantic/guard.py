"""Refuses a candidate that states something else than the question, however near the two are as vectors.

It refuses to know of answers: two questions it lets pass may still want different ones. Its false alarms cost hits,
its misses are caught by the checks of the scope and by nothing before them, so it is strict.
"""

from tenfold.cache.semantic.facts import Facts, stem
from tenfold.cache.semantic.lexicon import PREFIXES, SYNONYMS

_MEANT = {stem(word): at for at, line in enumerate(SYNONYMS) for word in line.split()}
_SAME_BAG = 0.8  # of the content words shared: from there on their order counts


def objection(asked: Facts, kept: Facts) -> str:
    """Why an answer to `kept` must not serve `asked`; empty when nothing speaks against it. Symmetric."""
    if asked.text == kept.text and asked.names == kept.names and asked.symbols == kept.symbols:
        return ""
    if asked.numbers != kept.numbers:
        return "number"
    if asked.number_order != kept.number_order and sorted(asked.number_order) == sorted(kept.number_order):
        return "order of numbers"
    if asked.marks != kept.marks:
        return "operator"
    if asked.symbols != kept.symbols and asked.symbols and kept.symbols:  # where one has none, they adorn the other
        return "symbol"
    if not (asked.names <= kept.spoken and kept.names <= asked.spoken):
        return "name"
    if asked.siblings != kept.siblings and _siblings_differ(asked, kept):
        return "other of a kind"
    if bool(asked.negated) != bool(kept.negated) or (
        len(asked.negated) != len(kept.negated) and asked.negated[-1:] != kept.negated[-1:]
    ):
        return "negation"
    if asked.negated and _negation_moved(asked, kept):
        return "negation moved"
    if _opposed(asked, kept):
        return "opposite"
    if asked.asks and kept.asks and asked.asks != kept.asks:
        return "asks"
    if (asked.must and not asked.may and kept.may and not kept.must) or (
        kept.must and not kept.may and asked.may and not asked.must
    ):
        return "must or may"
    if _prefixed(asked, kept):
        return "opposite"
    if _roles_swapped(asked, kept):
        return "roles"
    if word_exchanged(asked, kept):
        return "other word"
    return ""


def _siblings_differ(a: Facts, b: Facts) -> bool:
    for group in a.siblings.keys() | b.siblings.keys():
        mine, other = a.siblings.get(group, _NONE), b.siblings.get(group, _NONE)
        if mine and other and mine != other:
            return True
    return False


_NONE: frozenset[str] = frozenset()


def _negation_moved(a: Facts, b: Facts) -> bool:
    mine, other = frozenset(a.negated), frozenset(b.negated)
    only_mine, only_other = mine - other, other - mine
    return any(word and word in b.bag for word in only_mine) or any(word and word in a.bag for word in only_other)


def _opposed(a: Facts, b: Facts) -> bool:
    for pair, sides in a.opposites.items():
        others = b.opposites.get(pair)
        if others is not None and others != sides:
            return True
    return False


def _prefixed(a: Facts, b: Facts) -> bool:
    """`subscribe` here where `unsubscribe` stands there."""
    only_a, only_b = a.bag - b.bag, b.bag - a.bag
    for ones, others in ((only_a, b.bag), (only_b, a.bag)):
        for word in ones:
            for prefix in PREFIXES:
                if word.startswith(prefix) and len(word) - len(prefix) >= 3:
                    rest = word[len(prefix) :].lstrip("-")
                    if rest in others:
                        return True
    return False


def word_exchanged(a: Facts, b: Facts) -> bool:
    """All is the same but one word, and the two are not known to mean the same: rice, pasta."""
    only_a, only_b = a.bag - b.bag, b.bag - a.bag
    if len(only_a) != 1 or len(only_b) != 1:
        return False
    (one,), (other,) = only_a, only_b
    return not (_MEANT.get(one, one) == _MEANT.get(other, other) or _spelt_alike(one, other))


def _spelt_alike(one: str, other: str) -> bool:
    """A slip of the pen, or two forms of a word: half of it and more begins alike, or it is letters exchanged."""
    same = 0
    for x, y in zip(one, other, strict=False):
        if x != y:
            break
        same += 1
    longer = max(len(one), len(other))
    return (same >= 3 and 2 * same >= longer) or (longer >= 5 and len(set(one) ^ set(other)) <= 1)


def _roles_swapped(a: Facts, b: Facts) -> bool:
    if [name for name in a.name_order if name in b.names] != [name for name in b.name_order if name in a.names]:
        return True
    for role, things in a.roles.items():
        for other_role, others in b.roles.items():
            # the same thing stands after another preposition, and another thing after this one
            if role == other_role or not things & others or (role, other_role) in _ALIKE:
                continue
            if (
                things - b.roles.get(role, _NONE)
                and others - a.roles.get(other_role, _NONE)
                and (role in b.roles or other_role in a.roles)
            ):
                return True
    shared = a.bag & b.bag
    if len(shared) >= 2 and len(shared) >= _SAME_BAG * max(len(a.bag), len(b.bag)):
        mine = [word for word in a.content if word in shared]
        other = [word for word in b.content if word in shared]
        if mine != other and (len(shared) >= 3 or bool(a.names and b.names)):
            return True
    return False


_ALIKE = frozenset((x, y) for x in ("to", "into", "onto") for y in ("to", "into", "onto")) | frozenset(
    (("of", "for"), ("for", "of"), ("with", "by"), ("by", "with"), ("via", "by"), ("by", "via"), ("through", "by"))
)
