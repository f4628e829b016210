"""The one flow of a question: search, a small model over what was found, a larger one where that is not to be trusted,
an answer that says where it comes from. The Ask page, the API and the jobs of tickets all go it.

It says so when the documents do not answer, and shows what the search found when no model does, or none may: it is of
use with all models switched off. It refuses to answer from anything but the passages, and knows neither the index nor
any provider.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from msgspec import Struct, structs

from tenfold.assistant.citations import cited_numbers
from tenfold.assistant.confidence import GroundedConfidence
from tenfold.assistant.ending import BROKE_OFF, SWITCHED_OFF, abstained, end_of
from tenfold.assistant.handing_off import HandOffRules
from tenfold.assistant.ports import ChatCaller, Confidence, Evidence, Listener, Recorder, Searcher, Switches
from tenfold.assistant.prompt import PROMPT, request_for, within_budget
from tenfold.assistant.questions import clean_question, standing_alone
from tenfold.assistant.replying import FRESH, Reply, reply_events
from tenfold.assistant.types import Answer, AnswerDelta, AnswerEnd, AskEvent, CallSummary, Hit, Turn
from tenfold.core.call import CallOptions, Grounds
from tenfold.core.clock import Clock
from tenfold.core.errors import (
    FeatureOff,
    PermissionDenied,
    RateLimited,
    StoreUnavailable,
    TenfoldError,
    Unauthenticated,
)
from tenfold.core.principal import SCOPE_INFERENCE, Principal

FEATURE = "assistant"  # what its calls are named by, and switched off by

PASSAGES = 6
ESCALATE_BELOW = 0.5
SEARCH_S = 10.0


class _Asked(Struct, frozen=True, kw_only=True):
    """A question, and what goes with it."""

    principal: Principal
    question: str
    wanted: str  # the question with what it goes on from
    turns: tuple[Turn, ...]
    task: str | None
    end_user: str | None
    caller: ChatCaller


class Assistant:
    """`floor` is the relevance below which passages are taken for noise: then no model is asked. Nor is one that the
    `switches` have off, or that answers for this feature. `larger` is asked where the `confidence` in what `model` says
    is less than `escalate_below`. `semantic`: answers to other words of the same question may serve, where they end
    with the documents they came of."""

    def __init__(
        self,
        searcher: Searcher,
        caller: ChatCaller,
        clock: Clock,
        *,
        model: str,
        floor: float,
        larger: str | None = None,
        escalate_below: float = ESCALATE_BELOW,
        confidence: Confidence | None = None,
        hand_off: HandOffRules | None = None,
        semantic: bool = False,
        switches: Switches | None = None,
        recorder: Recorder | None = None,
        listener: Listener | None = None,
        search_s: float = SEARCH_S,
    ) -> None:
        self._searcher = searcher
        self._caller = caller
        self._clock = clock
        self._models = [model] if larger is None else [model, larger]
        self._floor = floor
        self._escalate_below = escalate_below
        self._confidence = confidence or GroundedConfidence()
        self._hand_off = hand_off or HandOffRules()
        self._semantic = semantic
        self._switches = switches
        self._recorder = recorder
        self._listener = listener
        self._search_s = search_s

    async def ask(
        self,
        principal: Principal,
        question: str,
        *,
        turns: Sequence[Turn] = (),
        task: str | None = None,
        end_user: str | None = None,
        caller: ChatCaller | None = None,
    ) -> AsyncGenerator[AskEvent, None]:
        """Deltas of the text, then one AnswerEnd. `turns`: what was said before. `task`: what its calls are one unit of
        work with, in receipts. `caller`: another way to a model than its own. Raises at the first step: InvalidRequest,
        PermissionDenied, RateLimited, StoreUnavailable. Closing it early cancels the call."""
        principal.require(SCOPE_INFERENCE)
        question = clean_question(question)
        asked = _Asked(
            principal=principal,
            question=question,
            wanted=standing_alone(question, turns),
            turns=tuple(turns),
            task=task,
            end_user=end_user,
            caller=caller or self._caller,
        )
        started_s = self._clock.monotonic_s()
        try:
            async with aclosing(self._answers(asked)) as events:
                async for event in events:
                    if isinstance(event, AnswerEnd):
                        event = self._ended(asked, event, started_s)
                        self._took(started_s, good=event.notice != BROKE_OFF)
                        if self._listener is not None and not turns:
                            self._listener.heard(principal, question, end_user, event)
                    yield event
        except TenfoldError as error:
            if error.status >= 500:
                self._took(started_s, good=False)
            raise

    async def answer(self, principal: Principal, question: str, *, turns: Sequence[Turn] = ()) -> Answer:
        """The whole of `ask`."""
        pieces: list[str] = []
        async for event in self.ask(principal, question, turns=turns):
            if isinstance(event, AnswerEnd):
                return Answer(text="".join(pieces), end=event)
            pieces.append(event.text)
        raise AssertionError("an answer ends with AnswerEnd")

    async def _answers(self, asked: _Asked) -> AsyncGenerator[AskEvent, None]:
        found = await self._search(asked)
        hits = within_budget([hit for hit in found if hit.relevance >= self._floor])
        if not hits:
            yield abstained(found)
            return
        kept: Reply | None = None
        earlier: list[CallSummary] = []
        for model in self._models:
            is_last = model == self._models[-1]
            reply = Reply(model=model)
            async with aclosing(self._replies(asked, hits, reply)) as deltas:
                async for delta in deltas:
                    if is_last:  # what is shown is not taken back: what may yet be replaced is not shown
                        yield delta
            earlier += reply.earlier
            if is_last and (reply.text or kept is None or not kept.ended):
                break
            if is_last and kept is not None:  # the larger one is away: the small one's word is better than none
                earlier += [reply.summary] if reply.summary else []
                reply, kept = kept, None
                yield AnswerDelta(text=reply.text)
                break
            if reply.ended and self._trust(asked, hits, reply) >= self._escalate_below:
                yield AnswerDelta(text=reply.text)
                break
            kept = reply
        if kept is not None and kept.summary is not None:
            earlier.append(kept.summary)
        end = end_of(reply, hits, confidence=self._trust(asked, hits, reply) if reply.ended else 0.0)
        yield structs.replace(end, earlier=earlier, documents=_documents(hits))

    async def _search(self, asked: _Asked) -> list[Hit]:
        """Raises StoreUnavailable, also where the database takes too long."""
        try:
            async with asyncio.timeout(self._search_s):
                return await self._searcher.search(asked.principal, asked.wanted, limit=PASSAGES)
        except TimeoutError:
            raise StoreUnavailable("The search took too long. Try again.", retry_after_s=1) from None

    async def _replies(self, asked: _Asked, hits: Sequence[Hit], reply: Reply) -> AsyncGenerator[AnswerDelta, None]:
        """The text as it comes. A model that is away or breaks off is noted, not raised: the search result stands."""
        request = request_for(asked.wanted, hits, reply.model, asked.turns)
        options = CallOptions(
            feature=FEATURE,
            task=asked.task,
            end_user=asked.end_user,
            cache=frozenset({"semantic"}) if self._semantic and all(hit.document for hit in hits) else frozenset(),
            grounds=Grounds(question=asked.wanted, documents=frozenset(_documents(hits))),
        )
        try:
            await self._refuse_switched_off(asked.principal, reply.model)
            for of_try in (options, structs.replace(options, cache=FRESH)):
                async with aclosing(asked.caller.call(asked.principal, request, of_try)) as events:
                    async for delta in reply_events(events, hits, reply):
                        yield delta
                if not reply.unusable:
                    return
        except (Unauthenticated, PermissionDenied, RateLimited):
            raise  # the caller's own doing: no answer would be honest about it
        except FeatureOff:
            reply.ended, reply.switched_off = False, True
        except TenfoldError:
            reply.ended = False

    async def _refuse_switched_off(self, principal: Principal, model: str) -> None:
        """Before there is a call; a provider that is off the path refuses. Raises FeatureOff, StoreUnavailable."""
        if self._switches is not None:
            await self._switches.ready(principal)
            if self._switches.killed(principal, feature=FEATURE, model=model) is not None:
                raise FeatureOff(SWITCHED_OFF)

    def _trust(self, asked: _Asked, hits: Sequence[Hit], reply: Reply) -> float:
        cited = cited_numbers(reply.text, hits)
        return self._confidence.of(Evidence(question=asked.wanted, text=reply.text, hits=hits, cited=cited))

    def _ended(self, asked: _Asked, end: AnswerEnd, started_s: float) -> AnswerEnd:
        return structs.replace(
            end,
            latency_ms=round((self._clock.monotonic_s() - started_s) * 1000),
            prompt=PROMPT,
            hand_off=self._hand_off.why(asked.question, end.outcome, end.confidence),
        )

    def _took(self, started_s: float, *, good: bool) -> None:
        if self._recorder is not None:
            self._recorder.took("end_to_end", self._clock.monotonic_s() - started_s, good=good)


def _documents(hits: Sequence[Hit]) -> list[str]:
    return list(dict.fromkeys(hit.document for hit in hits if hit.document))
