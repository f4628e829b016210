"""An answer that was given to another question, over other passages: its marks are put anew, or it is not used.

A semantic hit brings the text of an earlier answer, in which [2] is the second passage of that time. What stands in a
passage of today is marked with it; where one marked sentence finds none, the answer cannot be cited, and is not given.
"""

from collections.abc import Sequence

from tenfold.assistant.citations import MARK
from tenfold.assistant.confidence import sentences, share_held
from tenfold.assistant.types import Hit

LEAST_HELD = 0.8  # of a sentence's words, that a passage holds which it is marked with


def recited(text: str, hits: Sequence[Hit]) -> str | None:
    """The text with marks of these passages; None: some sentence that was marked stands in none of them."""
    said = []
    for sentence in sentences(text):
        bare = MARK.sub("", sentence).strip()
        if MARK.search(sentence) is None:
            said.append(bare)
            continue
        shares = [share_held(bare, [hit.text]) for hit in hits]
        best = max(range(len(shares)), key=shares.__getitem__, default=None)
        if best is None or shares[best] < LEAST_HELD:
            return None
        ending = bare[-1] if bare[-1:] in ".!?" else "."
        said.append(f"{bare.rstrip('.!? ')} [{best + 1}]{ending}")
    return " ".join(said)
