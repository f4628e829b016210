"""The offline chat model: a conversation in, the text of an answer out. Pure.

Passages come in the written form of `core.grounding` (the assistant sends it). Without them there is only what the
conversation itself says, and the answer states plainly what kind of model this is.
"""

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tenfold.core.grounding import Passage, parse
from tenfold.providers.offline.extractive import Extraction, extract

CHAT_MODEL: Final = "offline-extractive"

# Of 60 questions to product documentation 59 reach it over the passages that a search found; what is on another subject
# finds no passages at all (122 of 124 questions).
MIN_COVERAGE: Final = 0.4
_MIN_BARE_COVERAGE = 0.5  # where nobody has searched
_MAX_CHARS = 100_000  # of text searched; the newest is kept

ABSTENTION: Final = "The passages do not answer this question."
ABOUT: Final = (
    "I am Tenfold's offline model: I quote sentences from text I am given and have no knowledge of my own. "
    "To get answers from a language model, configure a provider in tenfold.toml."
)
_QUOTING: Final = "From this conversation:"
_NOTHING: Final = "The text of this conversation does not answer the question."

_NUMBER_MARK = re.compile(r"\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")
_PARAGRAPHS = re.compile(r"\n\s*\n")


class Turn(Struct, frozen=True, kw_only=True):
    """One message, its text parts joined."""

    role: str
    text: str


def answer(turns: Sequence[Turn]) -> str:
    """What the model says to the last user message."""
    asked = next((place for place in range(len(turns) - 1, -1, -1) if turns[place].role == "user"), None)
    if asked is None:
        return ABOUT
    grounded = parse(turns[asked].text)
    if grounded is not None:
        passages, question = grounded
        return _grounded_answer(question, passages)
    return _bare_answer(turns, asked)


def _grounded_answer(question: str, passages: Sequence[Passage]) -> str:
    found = _confident(question, passages, MIN_COVERAGE)
    if found is None:
        return ABSTENTION
    return " ".join(_marked(extract.sentence, extract.passage) for extract in found.extracts)


def _bare_answer(turns: Sequence[Turn], asked: int) -> str:
    *context, question = _PARAGRAPHS.split(turns[asked].text.strip())
    texts = [turn.text for turn in turns[:asked] if turn.role not in ("assistant", "system", "developer")]
    texts = [*texts, "\n\n".join(context)]
    budget = _MAX_CHARS
    passages = []
    for text in reversed([text for text in texts if text.strip()]):
        passages.append(Passage(title="", text=text[:budget]))
        budget -= len(passages[-1].text)
        if budget <= 0:
            break
    if not passages:
        return ABOUT
    found = _confident(question, passages, _MIN_BARE_COVERAGE)
    if found is None:
        return f"{ABOUT} {_NOTHING}"
    return " ".join([ABOUT, _QUOTING, *(f'"{extract.sentence}"' for extract in found.extracts)])


def _confident(question: str, passages: Sequence[Passage], least: float) -> Extraction | None:
    found = extract(question, passages)
    return found if found is not None and found.coverage >= least else None


def _marked(sentence: str, passage: int) -> str:
    """The sentence with its citation before the full stop. Marks that stood in the document are not citations."""
    sentence = _NUMBER_MARK.sub(r"(\1)", sentence).rstrip()
    if sentence[-1:] in ".!?":
        return f"{sentence[:-1]} [{passage}]{sentence[-1]}"
    return f"{sentence} [{passage}]."
