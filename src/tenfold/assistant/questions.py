"""Questions as they are searched for: checked, and, where one goes on from another, with what it goes on from."""

import re
from collections.abc import Sequence

from tenfold.assistant.types import Turn
from tenfold.core.errors import InvalidRequest

MAX_QUESTION_CHARS = 2_000
_MOST_BACK = 2  # questions that one which says little is read together with

_POINTS_BACK = re.compile(
    r"\A\W*(?:and|but|so|or|then|also|what about|how about)\b|\b(?:it|its|that|them|they|those|these|this|the same)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+(?:[-'.][^\W_]+)*")
# Words that say nothing of the subject, and those that point at one named before.
_LITTLE = frozenset(
    _WORD.findall(
        "a about also an and any are at be but by can could did do does for from get give has have how i if in is it "
        "its me more my no not of on one ones or other others please same should so tell than that the their them then "
        "there these they this those to too us use was we what when where which who why will with would you your"
    )
)
_SAYS_ENOUGH = 4  # words of its own, from which on a question that points back is one of its own all the same

_WANTS_A_PERSON = re.compile(
    r"\b(?:talk|speak|chat|connect(?: me)?|transfer(?: me)?|escalate(?: this)?|hand (?:me|this) over|contact|reach)\b"
    r"[^.?!]{0,30}\b(?:human|(?:real|live|actual) (?:person|agent|human)|a person|an agent|a representative|somebody"
    r"|someone|(?:your|the|a) support (?:team|agent)|customer service)\b"
    r"|\A\W*(?:human|agent|representative|real person)(?:,? please)?\W*\Z",
    re.IGNORECASE,
)


def clean_question(question: str) -> str:
    """Raises InvalidRequest: empty, longer than 2,000 characters, or not text."""
    question = question.replace("\x00", "").strip()
    if not question:
        raise InvalidRequest("Please ask a question.", param="question")
    if len(question) > MAX_QUESTION_CHARS:
        raise InvalidRequest(f"A question has at most {MAX_QUESTION_CHARS} characters.", param="question")
    try:
        question.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidRequest("The question is not valid text.", param="question") from None
    return question


def standing_alone(question: str, turns: Sequence[Turn]) -> str:
    """The question with those before it that it cannot be understood without: "How do I rotate a key? And on
    Windows?". Of one that says enough itself, nothing is added."""
    asked = [turn.text for turn in turns if turn.role == "user"]
    parts = [question]
    while asked and len(parts) <= _MOST_BACK and _goes_on(parts[0]):
        parts.insert(0, asked.pop()[:MAX_QUESTION_CHARS])
    return " ".join(parts)


def wants_a_person(question: str) -> bool:
    """Whether it asks for somebody instead of something; in English."""
    return _WANTS_A_PERSON.search(question) is not None


def _goes_on(question: str) -> bool:
    own = sum(word.lower() not in _LITTLE for word in _WORD.findall(question))
    return own < 2 or (own < _SAYS_ENOUGH and _POINTS_BACK.search(question) is not None)
