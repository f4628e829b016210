"""Token counts out of reply bodies by rules that are data: one extractor per provider and API flavour.

This is the complete, slow reader: it knows every count a provider states, priced or not. Calls on the hot path
are metered with the three lean readers of `tenfold.core.usage_wire`; tests hold the two to the same answers.
"""

from collections.abc import Mapping as Map
from typing import TypeVar

from msgspec import Struct

from tenfold.core.usage import Usage
from tenfold.core.usage_wire import MAX_COUNT, anthropic_usage, gemini_usage, openai_usage
from tenfold.ledger.data import ExtractorRule, PathStep

__all__ = ["Extracted", "Extractor", "anthropic_usage", "gemini_usage", "openai_usage", "usage_from_counts"]

_USAGE_FIELDS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "cache_write_1h_tokens": "cache_write_1h_tokens",
    "input_audio_tokens": "input_audio_tokens",
    "cache_audio_read_tokens": "cache_audio_read_tokens",
    "output_audio_tokens": "output_audio_tokens",
    "output_image_tokens": "output_image_tokens",
    "output_reasoning_tokens": "reasoning_tokens",
}
_MISSING = object()


class Extracted(Struct, frozen=True, kw_only=True):
    """`counts`: every non-zero count by its name in the rules; `model` as the body states it."""

    model: str | None
    counts: dict[str, int]

    @property
    def usage(self) -> Usage:
        return usage_from_counts(self.counts)


class Extractor:
    """Reads bodies of one API flavour of one provider."""

    def __init__(self, provider_id: str, rule: ExtractorRule) -> None:
        self.provider_id = provider_id
        self.api_flavor = rule.api_flavor
        self._root = _steps(rule.root)
        self._model = _steps(rule.model_path)
        self._mappings = [(_steps(mapping.path), mapping.dest, mapping.required) for mapping in rule.mappings]

    def read(self, body: object) -> Extracted | None:
        """`body` is the decoded JSON of a whole reply. None when a required count is missing or is no count,
        or when no count is stated at all: then this rule does not fit the body."""
        root = _walk(body, self._root)
        if not isinstance(root, Map):
            return None
        counts: dict[str, int] = {}
        stated = False
        for path, dest, required in self._mappings:
            value = _walk(root, path)
            if type(value) is not int or not 0 <= value <= MAX_COUNT:
                if required:
                    return None
                continue
            stated = True
            if value:
                counts[dest] = counts.get(dest, 0) + value
        if not stated:
            return None
        model = _walk(body, self._model)
        return Extracted(model=model if isinstance(model, str) else None, counts=counts)


def usage_from_counts(counts: Map[str, int]) -> Usage:
    """The counts that `Usage` knows. Names outside it (text, image and tool shares of the input, searches)
    are parts without a price of their own."""
    return Usage(**{field: counts.get(name, 0) for name, field in _USAGE_FIELDS.items()})


_Step = TypeVar("_Step", bound=str | PathStep)


def _steps(path: str | list[_Step]) -> list[str | PathStep]:
    return [path] if isinstance(path, str) else list(path)


def _walk(value: object, path: list[str | PathStep]) -> object:
    for step in path:
        if isinstance(step, str):
            value = value.get(step, _MISSING) if isinstance(value, Map) else _MISSING
        else:
            value = _first_match(value, step)
        if value is _MISSING or value is None:
            return value
    return value


def _first_match(value: object, step: PathStep) -> object:
    if isinstance(value, list):
        for entry in value:
            name = entry.get(step.field) if isinstance(entry, Map) else None
            if isinstance(name, str) and step.match.matches(name.lower()):
                return entry
    return _MISSING
