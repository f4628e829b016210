"""What the stand-in answers. The same prompt gets the same answer, whichever vendor's words it came in.

| the prompt | the answer |
|---|---|
| demands a call, or shows a tool and speaks of it | calls whose arguments fit; one for each thing after `each of:` |
| ends with tool results | a sentence that holds them |
| asks for JSON, or holds a schema in its words | JSON that fits the schema |
| `Repeat: X` | X |
| `Count to N.` | 1 2 3 ... N |
| anything else | what was said, with a word on pictures and files |
"""

import contextlib
import hashlib
import json
import re
import time
from collections.abc import Sequence
from dataclasses import replace

from tests.support.upstream import words
from tests.support.upstream.conversation import (
    FORCED_ANY,
    Answer,
    Called,
    Counted,
    Finish,
    Json,
    Offered,
    Prompt,
    Said,
)
from tests.support.upstream.faults import without_markers
from tests.support.upstream.values import fit

REASONING_TOKENS = 16
_CACHE_AT_LEAST = 1024  # tokens, as the vendors have it
_EACH = re.compile(r"each of: ([^.?!]+)")
_REPEAT = re.compile(r"Repeat: (.*)", re.DOTALL)
_COUNT = re.compile(r"Count to (\d+)")
_QUOTED_KEY = re.compile(r"['\"](\w+)['\"]")


class Rules:
    """Remembers what prefixes it has read, for cached tokens."""

    def __init__(self) -> None:
        self._read: set[str] = set()
        self._number = 0

    def answer(self, prompt: Prompt, *, usage_stated: bool = True) -> Answer:
        self._number += 1
        thought = "The user asks; I look at what was said and answer." if prompt.thinks else ""
        choices = tuple(self._choice(prompt, number, thought) for number in range(prompt.n))
        return Answer(
            id=f"{self._number:024d}",
            created=int(time.time()),
            choices=choices,
            usage=self._usage(prompt, choices),
            faulty_usage=not usage_stated,
        )

    def _choice(self, prompt: Prompt, number: int, thought: str) -> Said:
        calls = _calls(prompt, f"{self._number:06d}{number}")
        if calls:
            return Said(text="", thought=thought, calls=calls, finish="tool_calls")
        text = _text(prompt)
        if number:
            text = f"{text} (choice {number + 1})"
        said = _stopped(Said(text=text, thought=thought), prompt.stop)
        return _shortened(said, prompt.max_tokens)

    def _usage(self, prompt: Prompt, choices: Sequence[Said]) -> Counted:
        shown = [json.dumps([tool.name, tool.description, tool.schema]) for tool in prompt.tools]
        media = sum(len(turn.media) for turn in prompt.turns)
        read = count_input([*prompt.texts, *shown], len(prompt.turns), media)
        cached, written = self._cache(prompt)
        read = max(read, cached + written)
        reasoning = REASONING_TOKENS if prompt.thinks else 0
        told = sum(
            words.count([said.text]) + sum(words.count([call.name, json.dumps(call.arguments)]) for call in said.calls)
            for said in choices
        )
        return Counted(input=read, output=told + reasoning, cache_read=cached, cache_write=written, reasoning=reasoning)

    def _cache(self, prompt: Prompt) -> tuple[int, int]:
        """Tokens read from the cache and written to it: a marked prefix, else the system text."""
        prefix = prompt.cached_prefix if prompt.cached_prefix is not None else prompt.system
        size = words.count([prefix])
        if size < _CACHE_AT_LEAST:
            return 0, 0
        key = hashlib.sha256(f"{prompt.model}\0{prefix}".encode()).hexdigest()
        if key in self._read:
            return size - size % 128, 0
        self._read.add(key)
        return 0, size if prompt.cached_prefix is not None else 0


def count_input(texts: Sequence[str], turns: int, media: int = 0) -> int:
    return words.count(texts) + 3 * turns + 100 * media


def _calls(prompt: Prompt, number: str) -> tuple[Called, ...]:
    tools = _tools_to_call(prompt)
    question = without_markers(prompt.question)
    made: list[tuple[Offered, str]] = []
    for tool in tools:
        listed = _EACH.search(question)
        if listed and prompt.parallel and tool.schema.get("properties"):
            made += [(tool, f"'{item.strip()}'") for item in re.split(r",| and ", listed[1]) if item.strip()]
        else:
            made.append((tool, question))
    return tuple(
        Called(id=f"{number}{place}", name=tool.name, arguments=_arguments(tool, said, prompt))
        for place, (tool, said) in enumerate(made)
    )


def _schema_in_words(prompt: Prompt) -> Json | None:
    """A JSON Schema of an object that stands in the text, as clients write it for models without structured output."""
    decoder = json.JSONDecoder()
    for text in prompt.texts:
        start = text.find("{") if "schema" in text.lower() else -1
        if start < 0:
            continue
        with contextlib.suppress(ValueError):
            value, _ = decoder.raw_decode(text[start:])
            if "properties" in value:
                schema: Json = value
                return schema
    return None


def _arguments(tool: Offered, said: str, prompt: Prompt) -> Json:
    schema = tool.schema
    if schema.get("additionalProperties") is True and not schema.get("properties"):
        in_words = _schema_in_words(prompt)
        if in_words is None:
            return _any_object(said)
        schema = in_words
    arguments: Json = fit({"type": "object", **schema}, said)
    return arguments


def _any_object(question: str) -> Json:
    """With the members that the question names."""
    return {key: f"the {key}" for key in _QUOTED_KEY.findall(question) or ["answer"]}


def _tools_to_call(prompt: Prompt) -> list[Offered]:
    if not prompt.tools or not prompt.calling:
        return []
    if prompt.forced not in (None, FORCED_ANY):
        return [tool for tool in prompt.tools if tool.name == prompt.forced]
    if prompt.forced is None and _results(prompt):
        return []
    asked = [tool for tool in prompt.tools if _asks_for(prompt.question, tool)]
    if prompt.forced == FORCED_ANY and not asked:
        asked = [prompt.tools[0]]
    return asked if prompt.parallel else asked[:1]


def _asks_for(question: str, tool: Offered) -> bool:
    """Whether a word of the tool's name (of four letters or more) stands in the question."""
    said = set(re.findall(r"\w+", question.lower())) | set(re.findall(r"[^\W_]+", question.lower()))
    parts = re.findall(r"[^\W_]{4,}", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", tool.name).lower())
    return tool.name.lower() in said or any(part in said for part in parts)


def _text(prompt: Prompt) -> str:
    question = without_markers(prompt.question)
    schema = prompt.schema if prompt.schema is not None else _schema_in_words(prompt)
    if schema is not None:
        return json.dumps(fit(schema, question), ensure_ascii=False)
    if prompt.json_object:
        return json.dumps(_any_object(question), ensure_ascii=False)
    if results := _results(prompt):
        return " ".join(f"The tool answered: {text}." for text in results)
    if repeat := _REPEAT.search(question):
        return repeat[1].strip()
    if counting := _COUNT.search(question):
        return " ".join(str(number) for number in range(1, int(counting[1]) + 1))
    media = [kind for turn in prompt.turns for kind in turn.media]
    seen = f" I see {len(media)} of these: {', '.join(sorted(set(media)))}." if media else ""
    return f"You said: {question}.{seen} Łódź sends greetings 👋."


def _results(prompt: Prompt) -> list[str]:
    """The results of tools since the user said something."""
    found: list[str] = []
    for turn in reversed(prompt.turns):
        if turn.text or turn.calls:
            break
        found = [text for _, text in turn.results] + found
    return found


def _stopped(said: Said, stop: Sequence[str]) -> Said:
    found = [(said.text.find(sequence), sequence) for sequence in stop if sequence in said.text]
    if not found:
        return said
    at, sequence = min(found)
    finish: Finish = "stop_sequence"
    return replace(said, text=said.text[:at], finish=finish, stopped_by=sequence)


def _shortened(said: Said, max_tokens: int | None) -> Said:
    cut = words.tokens(said.text)
    if max_tokens is None or len(cut) <= max_tokens:
        return said
    return replace(said, text="".join(cut[:max_tokens]), finish="length", stopped_by=None)
