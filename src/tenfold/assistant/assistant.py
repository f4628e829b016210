"""Asking: search, one call of a model over what was found, an answer that says where it comes from.

It says so when the documents do not answer, and shows what the search found when no model does, or none may: it is of
use with all models switched off. It refuses to answer from anything but the passages, and knows neither the index nor
any provider.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from tenfold.assistant.citations import citation, cited
from tenfold.assistant.ports import ChatCaller, Recorder, Searcher, Switches
from tenfold.assistant.prompt import request_for, within_budget
from tenfold.assistant.types import Answer, AnswerDelta, AnswerEnd, AskEvent, CallSummary, Citation, Hit
from tenfold.core.chat import Ended, Failed, RefusalDelta, TextDelta
from tenfold.core.clock import Clock
from tenfold.core.errors import (
    BrokenStream,
    FeatureOff,
    InvalidRequest,
    PermissionDenied,
    RateLimited,
    TenfoldError,
    Unauthenticated,
)
from tenfold.core.principal import SCOPE_INFERENCE, Principal

FEATURE = "assistant"  # what its calls are named by, and switched off by

MAX_QUESTION_CHARS = 2_000
PASSAGES = 6
NEAREST = 3

NOT_ANSWERED = "The documents do not answer this question. The nearest passages are shown below."
NOT_CITED = "This reply rests on no passage of the documents. The nearest passages are shown below."
NO_MODEL = "No model could answer just now. These are the passages the search found."
SWITCHED_OFF = "Answers by a model are switched off just now. These are the passages the search found."
BROKE_OFF = "The answer broke off. These are the passages the search found."
NOTHING_FOUND = "The documents hold nothing on this question."


class Assistant:
    """`floor` is the relevance below which passages are taken for noise: then no model is asked. Nor is one that the
    `switches` have off, or that answers for this feature."""

    def __init__(
        self,
        searcher: Searcher,
        caller: ChatCaller,
        clock: Clock,
        *,
        model: str,
        floor: float,
        switches: Switches | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self._searcher = searcher
        self._caller = caller
        self._clock = clock
        self._model = model
        self._floor = floor
        self._switches = switches
        self._recorder = recorder

    async def ask(self, principal: Principal, question: str) -> AsyncGenerator[AskEvent, None]:
        """Deltas of the text, then one AnswerEnd. Raises at the first step: InvalidRequest, PermissionDenied,
        RateLimited, StoreUnavailable. Closing it early cancels the call."""
        principal.require(SCOPE_INFERENCE)
        question = clean_question(question)
        started_s = self._clock.monotonic_s()
        try:
            async with aclosing(self._answers(principal, question, started_s)) as events:
                async for event in events:
                    if isinstance(event, AnswerEnd):
                        self._took(started_s, good=event.notice != BROKE_OFF)
                    yield event
        except TenfoldError as error:
            if error.status >= 500:
                self._took(started_s, good=False)
            raise

    async def _answers(self, principal: Principal, question: str, started_s: float) -> AsyncGenerator[AskEvent, None]:
        found = await self._searcher.search(principal, question, limit=PASSAGES)
        hits = within_budget([hit for hit in found if hit.relevance >= self._floor])
        if not hits:
            yield AnswerEnd(
                outcome="abstained",
                latency_ms=self._elapsed_ms(started_s),
                nearest=_numbered(found),
                notice=NOT_ANSWERED if found else NOTHING_FOUND,
            )
            return
        reply = _Reply()
        async with aclosing(self._stream(principal, question, hits, reply)) as deltas:
            async for delta in deltas:
                yield delta
        yield _end(reply, hits, self._elapsed_ms(started_s))

    async def answer(self, principal: Principal, question: str) -> Answer:
        """The whole of `ask`."""
        pieces: list[str] = []
        async for event in self.ask(principal, question):
            if isinstance(event, AnswerEnd):
                return Answer(text="".join(pieces), end=event)
            pieces.append(event.text)
        raise AssertionError("an answer ends with AnswerEnd")

    async def _stream(
        self, principal: Principal, question: str, hits: Sequence[Hit], reply: "_Reply"
    ) -> AsyncGenerator[AnswerDelta, None]:
        """The text as it comes. A model that is away or breaks off is noted, not raised: the search result stands."""
        request = request_for(question, hits, self._model)
        try:
            await self._refuse_switched_off(principal)
            async with aclosing(self._caller.call(principal, request)) as events:
                async for event in events:
                    if isinstance(event, TextDelta | RefusalDelta) and event.choice == 0 and event.text:
                        reply.text += event.text
                        yield AnswerDelta(text=event.text)
                    elif isinstance(event, Ended):
                        reply.ended = True
                    elif isinstance(event, CallSummary):
                        reply.summary = event
                    elif isinstance(event, Failed):
                        raise BrokenStream(event.message)
        except (Unauthenticated, PermissionDenied, RateLimited):
            raise  # the caller's own doing: no answer would be honest about it
        except FeatureOff:
            reply.ended, reply.switched_off = False, True
        except TenfoldError:
            reply.ended = False

    async def _refuse_switched_off(self, principal: Principal) -> None:
        """Before there is a call; a provider that is off the path refuses. Raises FeatureOff, StoreUnavailable."""
        if self._switches is not None:
            await self._switches.ready(principal)
            if self._switches.killed(principal, feature=FEATURE, model=self._model) is not None:
                raise FeatureOff(SWITCHED_OFF)

    def _took(self, started_s: float, *, good: bool) -> None:
        if self._recorder is not None:
            self._recorder.took("end_to_end", self._clock.monotonic_s() - started_s, good=good)

    def _elapsed_ms(self, started_s: float) -> int:
        return round((self._clock.monotonic_s() - started_s) * 1000)


@dataclass
class _Reply:
    """What a call has given so far. `ended` is true once the model said that it is complete; `switched_off`: it was not
    to be asked."""

    text: str = ""
    ended: bool = False
    switched_off: bool = False
    summary: CallSummary | None = None


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


def _end(reply: _Reply, hits: Sequence[Hit], latency_ms: int) -> AnswerEnd:
    citations = cited(reply.text, hits)
    if not reply.ended:
        return AnswerEnd(
            outcome="degraded",
            latency_ms=latency_ms,
            citations=citations,
            nearest=_numbered(hits),
            notice=BROKE_OFF if reply.text else SWITCHED_OFF if reply.switched_off else NO_MODEL,
            call=reply.summary,
        )
    if not citations:
        return AnswerEnd(
            outcome="abstained",
            latency_ms=latency_ms,
            nearest=_numbered(hits),
            notice=NOT_CITED if reply.text else NOT_ANSWERED,
            call=reply.summary,
        )
    return AnswerEnd(outcome="answered", latency_ms=latency_ms, citations=citations, call=reply.summary)


def _numbered(hits: Sequence[Hit]) -> list[Citation]:
    return [citation(number, hit) for number, hit in enumerate(hits[:NEAREST], 1)]
