"""The words in which faults are ordered: `latency=50ms,status=503@0.2`. Pure: text in, faults or a clear refusal out.

SPEC  := "none" | FAULT ("," FAULT)*
FAULT := NAME ["=" VALUE] ["@" PROBABILITY]
A time is a number with its unit: `50ms`, `2s`.

| shapes: all that occur apply     | value                                                              |
|----------------------------------|--------------------------------------------------------------------|
| `latency`                        | T, `uniform:T:T`, `exponential:MEAN`, `lognormal:MEDIAN:SIGMA`     |
| `pace`                           | T between two frames of a stream                                   |
| `drip`                           | [T] between two pieces of eight bytes                              |
| `tokens`                         | N words in the reply                                               |
| `capacity`                       | N requests at once; beyond: `N:429[:T]` (default) or `N:slow`      |
| `usage`                          | `missing`, `zero`, `absurd`                                        |
| `duplicate-frames`               | each frame with text comes twice                                   |
| `off-schema`                     | [`json`], `text`, `cut`: does not fit the JSON Schema asked for    |

| endings: the first that occurs   | value                                                              |
|----------------------------------|--------------------------------------------------------------------|
| `status`                         | 400..599, `429:T` with Retry-After                                 |
| `hang`                           | [`before-head`], `after-head`, `mid-stream`                        |
| `reset`                          | [`before-head`], `mid-stream`                                      |
| `mid-stream-cut`                 | [K frames], then the connection closes                             |
| `mid-stream-end`                 | [K frames], then the HTTP body ends in order, the reply does not   |
| `error-event`                    | [K frames], then an error in the dialect's words                   |
| `malformed`                      | [`body`], `chunk`: what should be JSON is none                     |
| `html`, `empty`, `gzip-bomb`     |                                                                    |
| `oversize`                       | `body`, `event`, `header`: without an end                          |
| `redirect`                       | [URL]; default: an address of the provider's own on loopback       |
"""

import re
from collections.abc import Callable, Sequence

from msgspec import Struct

NONE = "none"
SHAPES = ("latency", "pace", "drip", "tokens", "capacity", "usage", "duplicate-frames", "off-schema")
ENDINGS = (
    *("status", "hang", "reset", "mid-stream-cut", "mid-stream-end", "error-event", "malformed", "html", "empty"),
    *("gzip-bomb", "oversize", "redirect"),
)
DRIP_S = 0.02
RETRY_AFTER_S = 1

_MAX_SPEC = 1000  # characters
_MAX_S = 3600.0
_MAX_TOKENS = 10_000
_MAX_PLACES = 100_000
_MAX_SIGMA = 5.0
_TIME = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s)")
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})?")
_URL = re.compile(r"https?://[\x21-\x7e]+")


class FaultSpecError(ValueError):
    """The words order no fault that exists; the message says which word, and what would be right."""


class Fault(Struct, frozen=True, kw_only=True):
    """`mode` and `numbers` mean what the table above says of `name`; times are seconds."""

    name: str
    mode: str = ""
    numbers: tuple[float, ...] = ()
    probability: float = 1.0

    @property
    def ends(self) -> bool:
        return self.name in ENDINGS


Faults = tuple[Fault, ...]
_Value = tuple[str, tuple[float, ...]]


def parse(spec: str) -> Faults:
    """In the order written. Raises FaultSpecError."""
    if len(spec) > _MAX_SPEC:
        raise FaultSpecError(f"a fault specification has at most {_MAX_SPEC} characters")
    if spec.strip() == NONE:
        return ()
    faults = tuple(_fault(word.strip()) for word in spec.split(","))
    _refuse_contradictions(faults)
    return faults


def parse_time(text: str) -> float:
    """Seconds of `50ms` or `2s`. Raises FaultSpecError."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise FaultSpecError(f"{text!r} is no time: write 50ms or 2s")
    seconds = float(found[1]) / (1000 if found[2] == "ms" else 1)
    if seconds > _MAX_S:
        raise FaultSpecError(f"{text!r} is too long: a time is at most {_MAX_S:.0f}s")
    return seconds


def parse_probability(text: str) -> float:
    """Above 0, at most 1. Raises FaultSpecError."""
    value = float(text) if _NUMBER.fullmatch(text) else 0.0
    if not 0 < value <= 1:
        raise FaultSpecError(f"{text!r} is no probability: write a number above 0 and up to 1, such as 0.2")
    return value


def _fault(word: str) -> Fault:
    before, at, chance = word.rpartition("@")
    if not at or "://" in chance:  # a URL may hold one
        before, chance = word, "1"
    name, has_value, value = before.partition("=")
    read = _READERS.get(name)
    if read is None:
        known = ", ".join((*SHAPES, *ENDINGS))
        raise FaultSpecError(f"{name!r} is no fault. There are: {known}, and {NONE} alone")
    try:
        mode, numbers = read(value.split(":") if has_value else [])
        return Fault(name=name, mode=mode, numbers=numbers, probability=parse_probability(chance))
    except FaultSpecError as error:
        raise FaultSpecError(f"{name}: {error}") from None


def _refuse_contradictions(faults: Faults) -> None:
    seen: set[tuple[str, str]] = set()
    certain: Fault | None = None
    for fault in faults:
        # An ending may stand there again with another value: it is another fate. A shape has one value.
        key = (fault.name, f"{fault.mode} {fault.numbers}" if fault.ends else "")
        if key in seen:
            raise FaultSpecError(f"{fault.name}: stands there twice")
        seen.add(key)
        if not fault.ends:
            continue
        if certain is not None:
            raise FaultSpecError(f"{fault.name}: never comes to pass, since {certain.name} before it always does")
        certain = fault if fault.probability == 1 else None


# -- values


def _times(words: Sequence[str]) -> tuple[float, ...]:
    return tuple(parse_time(word) for word in words)


def _whole(text: str, least: int, most: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not least <= int(text) <= most:
        raise FaultSpecError(f"{text!r} is no whole number from {least} to {most}")
    return int(text)


def _latency(words: list[str]) -> _Value:
    match words:
        case [one]:
            return "fixed", _times([one])
        case ["uniform", low, high]:
            times = _times([low, high])
            if times[0] > times[1]:
                raise FaultSpecError(f"from {low} to {high} there is nothing")
            return "uniform", times
        case ["exponential", mean]:
            return "exponential", _times([mean])
        case ["lognormal", median, sigma]:
            if not _NUMBER.fullmatch(sigma) or float(sigma) > _MAX_SIGMA:
                raise FaultSpecError(f"{sigma!r} is no sigma: write a number up to {_MAX_SIGMA:g}, such as 0.8")
            return "lognormal", (*_times([median]), float(sigma))
    raise FaultSpecError("write a time, uniform:T:T, exponential:MEAN or lognormal:MEDIAN:SIGMA")


def _status(words: list[str]) -> _Value:
    match words:
        case [status]:
            return "", (_whole(status, 400, 599),)
        case [status, after]:
            return "", (_whole(status, 400, 599), _retry_after(after))
    raise FaultSpecError("write a status from 400 to 599, with Retry-After as in 429:2s")


def _retry_after(text: str) -> float:
    seconds = parse_time(text)
    if seconds != int(seconds):
        raise FaultSpecError(f"{text!r}: Retry-After is told in whole seconds")
    return seconds


def _capacity(words: list[str]) -> _Value:
    match words:
        case [places]:
            return "429", (_whole(places, 1, _MAX_PLACES), RETRY_AFTER_S)
        case [places, "429"]:
            return "429", (_whole(places, 1, _MAX_PLACES), RETRY_AFTER_S)
        case [places, "429", after]:
            return "429", (_whole(places, 1, _MAX_PLACES), _retry_after(after))
        case [places, "slow"]:
            return "slow", (_whole(places, 1, _MAX_PLACES),)
    raise FaultSpecError("write N, N:429:T or N:slow")


def _time(default: float | None) -> Callable[[list[str]], _Value]:
    def read(words: list[str]) -> _Value:
        if not words and default is not None:
            return "", (default,)
        if len(words) != 1:
            raise FaultSpecError("write one time, such as 50ms")
        return "", _times(words)

    return read


def _count(least: int, most: int, *, optional: bool) -> Callable[[list[str]], _Value]:
    def read(words: list[str]) -> _Value:
        if not words and optional:
            return "", ()
        if len(words) != 1:
            raise FaultSpecError("write one number")
        return "", (_whole(words[0], least, most),)

    return read


def _one_of(*modes: str, default: str | None = None) -> Callable[[list[str]], _Value]:
    def read(words: list[str]) -> _Value:
        if not words and default is not None:
            return default, ()
        if len(words) != 1 or words[0] not in modes:
            raise FaultSpecError(f"write one of {', '.join(modes)}")
        return words[0], ()

    return read


def _nothing(words: list[str]) -> _Value:
    if words:
        raise FaultSpecError("takes no value")
    return "", ()


def _redirect(words: list[str]) -> _Value:
    url = ":".join(words)
    if url and not _URL.fullmatch(url):
        raise FaultSpecError(f"{url!r} is no http:// or https:// URL")
    return url, ()


_READERS: dict[str, Callable[[list[str]], _Value]] = {
    "latency": _latency,
    "pace": _time(None),
    "drip": _time(DRIP_S),
    "tokens": _count(1, _MAX_TOKENS, optional=False),
    "capacity": _capacity,
    "usage": _one_of("missing", "zero", "absurd"),
    "duplicate-frames": _nothing,
    "off-schema": _one_of("json", "text", "cut", default="json"),
    "status": _status,
    "hang": _one_of("before-head", "after-head", "mid-stream", default="before-head"),
    "reset": _one_of("before-head", "mid-stream", default="before-head"),
    "mid-stream-cut": _count(0, _MAX_TOKENS, optional=True),
    "mid-stream-end": _count(0, _MAX_TOKENS, optional=True),
    "error-event": _count(0, _MAX_TOKENS, optional=True),
    "malformed": _one_of("body", "chunk", default="body"),
    "html": _nothing,
    "empty": _nothing,
    "gzip-bomb": _nothing,
    "oversize": _one_of("body", "event", "header"),
    "redirect": _redirect,
}
