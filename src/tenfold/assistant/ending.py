"""How an answer ends: with citations, or with the nearest passages and a notice that says why there is no more."""

from collections.abc import Sequence

from tenfold.assistant.citations import citation, cited
from tenfold.assistant.replying import Reply
from tenfold.assistant.types import AnswerEnd, Citation, Hit

NEAREST = 5

NOT_ANSWERED = "The documents do not answer this question. The nearest passages are shown below."
NOT_CITED = "This reply rests on no passage of the documents. The nearest passages are shown below."
NO_MODEL = "No model could answer just now. These are the passages the search found."
SWITCHED_OFF = "Answers by a model are switched off just now. These are the passages the search found."
BROKE_OFF = "The answer broke off. These are the passages the search found."
NOTHING_FOUND = "The documents hold nothing on this question."


def abstained(found: Sequence[Hit]) -> AnswerEnd:
    """Where no model was asked, since nothing that was found is on the question."""
    notice = NOT_ANSWERED if found else NOTHING_FOUND
    return AnswerEnd(outcome="abstained", latency_ms=0, nearest=_numbered(found), notice=notice)


def end_of(reply: Reply, hits: Sequence[Hit], *, confidence: float) -> AnswerEnd:
    citations = cited(reply.text, hits)
    if not reply.ended:
        return AnswerEnd(
            outcome="degraded",
            latency_ms=0,
            citations=citations,
            nearest=_numbered(hits),
            notice=BROKE_OFF if reply.text else SWITCHED_OFF if reply.switched_off else NO_MODEL,
            call=reply.summary,
        )
    if not citations:
        return AnswerEnd(
            outcome="abstained",
            latency_ms=0,
            nearest=_numbered(hits),
            notice=NOT_CITED if reply.text else NOT_ANSWERED,
            call=reply.summary,
        )
    return AnswerEnd(outcome="answered", latency_ms=0, citations=citations, call=reply.summary, confidence=confidence)


def _numbered(hits: Sequence[Hit]) -> list[Citation]:
    return [citation(number, hit) for number, hit in enumerate(hits[:NEAREST], 1)]
