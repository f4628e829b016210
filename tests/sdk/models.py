"""The models the suites run over: one of each upstream, and what they are asked."""

from typing import Literal

import pytest
from pydantic import BaseModel

OPENAI, CLAUDE, GEMINI = "gpt-4o-mini", "claude-haiku-4-5", "gemini-2.5-flash"
OFFLINE = "offline-extractive"

every_vendor = pytest.mark.parametrize("model", [OPENAI, CLAUDE, GEMINI])
every_model = pytest.mark.parametrize("model", [OPENAI, CLAUDE, GEMINI, OFFLINE])

GREETING = "You said: hello. Łódź sends greetings 👋."
"""What each stand-in answers to `hello`."""

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class Address(BaseModel):
    street: str
    city: str | None


class Person(BaseModel):
    """Nested, with a choice, an optional and a list."""

    name: str
    age: int
    role: Literal["engineer", "poet"]
    address: Address
    scores: list[float]


PERSON_QUESTION = "Record 'Ada', a poet of 36 at 'Baker Street' in 'London' with scores 1.5 and 2.5."


def check_person(person: Person) -> None:
    """What the rules of the stand-in take from the question."""
    assert person.name == "Ada"
    assert person.age == 36
    assert person.role == "poet"
    assert person.address.street == "Baker Street"
    assert person.scores == [1.5, 2.5]
