"""How far an answer is to be trusted, from what can be seen of it without asking anybody.

The figure orders answers; it is no probability. Calibrating it is for evaluation, behind the port `Confidence`.
"""

import re
from collections.abc import Sequence

from tenfold.assistant.citations import MARK
from tenfold.assistant.ports import Evidence

_RELEVANCE, _MARKED, _HELD = 0.4, 0.3, 0.3  # how much each share weighs; by hand, not fitted

_SENTENCE = re.compile(r"[^.!?\n]+(?:[.!?]+(?=\s|\Z|\[)|\n|\Z|(?:[.!?]+))(?:\s*\[\d[\d,\s]*\])*")
_WORD = re.compile(r"[^\W_]{3,}")


class GroundedConfidence:
    """0 for an answer that cites nothing. Else the weighted geometric mean of three shares, none of which makes up for
    another: how relevant the best passage it cites is, how many of its sentences carry a mark, and how many of its
    words stand in what it cites."""

    def of(self, evidence: Evidence) -> float:
        """See `ports.Confidence`."""
        if not evidence.cited:
            return 0.0
        hits = [evidence.hits[number - 1] for number in evidence.cited]
        said = sentences(evidence.text)
        marked = sum(MARK.search(sentence) is not None for sentence in said) / max(1, len(said))
        held = share_held(MARK.sub("", evidence.text), [hit.text for hit in hits])
        relevance = max(0.0, *(hit.relevance for hit in hits))
        trust: float = relevance**_RELEVANCE * marked**_MARKED * held**_HELD
        return round(min(1.0, trust), 3)


def sentences(text: str) -> list[str]:
    """With the marks that stand behind them."""
    return [sentence for each in _SENTENCE.findall(text) if words(sentence := each.strip())]


def words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)}


def share_held(text: str, passages: Sequence[str]) -> float:
    """The share of the text's words that stand in the passages, 0 to 1; 1 for a text without any."""
    wanted = words(text)
    return len(wanted & words("\n".join(passages))) / len(wanted) if wanted else 1.0
