"""When a person should look at a question. The rules are the operator's; `asked`, `unhelpful` and `failed` need no
answer to be looked at."""

from msgspec import Struct

from tenfold.assistant.questions import wants_a_person
from tenfold.assistant.types import HandOff, Outcome


class HandOffRules(Struct, frozen=True, kw_only=True):
    """`on`: the reasons that hand a ticket over; what is asked for by hand, and what died, always is. `below`: the
    confidence under which an answer is handed over as `unsure`."""

    on: frozenset[HandOff] = frozenset({"asked", "abstained", "degraded"})
    below: float = 0.0

    def why(self, question: str, outcome: Outcome, confidence: float) -> HandOff | None:
        """None: nobody needs to look."""
        reasons: list[HandOff] = []
        if wants_a_person(question):
            reasons.append("asked")
        if outcome != "answered":
            reasons.append(outcome)
        elif confidence < self.below:
            return "unsure"
        return next((reason for reason in reasons if reason in self.on), None)
