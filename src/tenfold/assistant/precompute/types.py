"""What is counted of questions, and what a run of answers ahead of time came to."""

import hashlib
import re
import unicodedata
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from msgspec import Struct

from tenfold.assistant.types import Citation
from tenfold.core.ids import TenantId

KIND: Final = "precompute"  # of its jobs
FEATURE: Final = "precompute"  # what its calls are named by in receipts
WINDOW_DAYS: Final = 14  # what was asked longer ago does not count
RISING_DAYS: Final = 2  # the last so many days are held against those before them
KEEP_DAYS: Final = 30
KEEP_RUN_DAYS: Final = 400

EndedWhy = Literal["", "done", "budget", "no_model"]
"""Of a run: it goes on; no question is left; what is left of a budget is too little for one more; no model answers."""

# What may differ in one and the same question. No other sign: "C++" is not "C", and in many scripts marks are vowels.
_BETWEEN_WORDS = re.compile(r"""[\s.,;:!?¡¿…"'`´‘’“”„«»()\[\]]+""")


class Policy(Struct, frozen=True, kw_only=True):
    """`min_askers`: so many people must have asked a question before its words are kept. `budget_nano`: 10^-9 USD, of
    one run of a tenant. `at`: "hh:mm", in `zone`. `public`: whoever has a key for web pages may read the answers."""

    enabled: bool = False
    at: str = "03:00"
    zone: str = "UTC"
    min_askers: int = 5
    most_questions: int = 50
    budget_nano: int = 1_000_000_000
    public: bool = False


class Noted(Struct, frozen=True, kw_only=True):
    """A question that was asked once. `asker`: see `asker_of`. `from_cache`: no model was paid for its answer."""

    tenant_id: TenantId
    digest: bytes
    asker: bytes
    text: str
    from_cache: bool


class Frequent(Struct, frozen=True, kw_only=True):
    """A question that enough people have asked. `asks` in the last WINDOW_DAYS, `rising` those of the last RISING_DAYS;
    amounts are 10^-9 USD. See `score`."""

    digest: bytes
    text: str
    asks: int
    rising: int
    answered_at: datetime | None = None
    hits: int = 0
    paid_nano: int = 0
    saved_nano: int = 0


def score(asks: int, rising: int) -> int:
    """What questions are put in order by: all asks of the window, and what those of the last days would come to in as
    many days as there were before them, less what there was."""
    return asks + max(0, rising * ((WINDOW_DAYS - RISING_DAYS) // RISING_DAYS) - (asks - rising))


class Ahead(Struct, frozen=True, kw_only=True):
    """An answer that was given ahead of time."""

    question: str
    text: str
    citations: list[Citation]
    answered_at: datetime


class Run(Struct, frozen=True, kw_only=True):
    """`questions` asked so far, `answered` of them with an answer worth keeping. `done`: their digests."""

    id: UUID
    budget_nano: int
    questions: int
    answered: int
    cost_nano: int
    started_at: datetime
    ended_at: datetime | None = None
    ended_why: EndedWhy = ""
    done: frozenset[bytes] = frozenset()


class Earned(Struct, frozen=True, kw_only=True):
    """Of the questions whose words are kept. `hits`: one that was answered ahead of time was asked in the same words
    and found in a cache; `saved_nano` is what a model would have been paid for those, by what it was paid the last
    time."""

    questions: int
    answered: int
    hits: int
    paid_nano: int
    saved_nano: int

    @property
    def hits_per_usd(self) -> float | None:
        """None: nothing was paid."""
        return self.hits * 1e9 / self.paid_nano if self.paid_nano else None


def digest_of(tenant_id: TenantId, question: str) -> bytes:
    """The same for questions that differ in nothing but case, the signs of sentences, and blanks. It keeps a question
    from whoever reads it, and not from who guesses it word by word and knows the tenant."""
    words = _BETWEEN_WORDS.sub(" ", unicodedata.normalize("NFKC", question).casefold()).strip()
    return hashlib.blake2b(words.encode("utf-8", "replace"), key=tenant_id.bytes, digest_size=16).digest()


def asker_of(digest: bytes, who: str) -> bytes:
    """Somebody, as this question knows them: no other question does."""
    return hashlib.blake2b(who.encode("utf-8", "replace"), key=digest, digest_size=16).digest()
