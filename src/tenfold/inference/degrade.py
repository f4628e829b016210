"""The declared degradation: what a client gets when no provider answers, by what its feature says, step after step.

A step is taken only where it is declared, and each one that is taken is named on the call. It refuses to touch what is
the client's own fault, or a matter of its limits and money: those errors are told as they are.
"""

from collections.abc import Hashable, Mapping

from tenfold.core.call import Call, Step
from tenfold.core.chat import ChatReply, Choice, TextPart
from tenfold.core.errors import DeadlineExceeded, FeatureOff, Overloaded, TenfoldError, UpstreamError
from tenfold.core.usage import Usage
from tenfold.inference import respond
from tenfold.inference.call import Question
from tenfold.inference.lookup import Lookup
from tenfold.inference.output.expected import fits
from tenfold.inference.output.put_back import events_of
from tenfold.inference.policy import Feature
from tenfold.inference.policy import Step as PolicyStep
from tenfold.inference.ports import Parking, Responder

ANY = "*"
"""The feature that stands for calls of no declared one."""

_NOTHING = Usage()


def feature_of(features: Mapping[str, Feature], call: Call) -> Feature | None:
    """What is declared for this call."""
    return features.get(call.options.feature or ANY) or features.get(ANY)


class Degrade:
    def __init__(
        self, *, lookup: Lookup, features: Mapping[str, Feature] | None = None, parking: Parking | None = None
    ) -> None:
        self._features = dict(features or {})
        self._lookup = lookup
        self._parking = parking

    def feature(self, call: Call) -> Feature | None:
        """What is declared for this call."""
        return feature_of(self._features, call) if self._features else None

    def keeps_stale(self, call: Call) -> bool:
        """Whether its answer may be wanted later, when nobody answers."""
        feature = self.feature(call)
        return feature is not None and "stale" in feature.steps

    async def answer(self, question: Question, key: Hashable, error: TenfoldError, responder: Responder) -> bool:
        """Whether one of the steps made a reply. Raises nothing but what the responder does."""
        call = question.call
        feature = self.feature(call)
        if feature is None or call.operation != "chat" or not _may_degrade(error):
            return False
        for step in feature.steps:
            if await self._take(step, feature, question, key, responder):
                call.error = None
                return True
        return False

    async def _take(
        self, step: PolicyStep, feature: Feature, question: Question, key: Hashable, responder: Responder
    ) -> bool:
        if step == "stale":
            return await self._stale(feature, question, key, responder)
        if step == "template":
            return await _say(question, feature.template, "template", responder)
        return await self._queue(feature, question, responder)

    async def _stale(self, feature: Feature, question: Question, key: Hashable, responder: Responder) -> bool:
        call = question.call
        key = self._lookup.stale_key(call) if key is None else key
        answer = self._lookup.stale(call, key, feature.stale_s)
        if answer is None:
            return False
        call.degraded += ("stale",)
        await respond.at_once(call, answer.body, responder)
        return True

    async def _queue(self, feature: Feature, question: Question, responder: Responder) -> bool:
        if self._parking is None or question.call.options.upstream_key is not None:  # a job's call: the job waits
            return False
        try:
            ticket = await self._parking.park(question.call)
        except TenfoldError:
            return False  # the error that led here says more
        question.call.ticket = ticket.id
        return await _say(question, feature.queued.replace("{ticket}", ticket.id), "queue", responder)


def _may_degrade(error: TenfoldError) -> bool:
    if isinstance(error, UpstreamError):
        return error.retryable or error.status in (401, 403, 404)
    return isinstance(error, FeatureOff | Overloaded | DeadlineExceeded)


async def _say(question: Question, text: str, step: Step, responder: Responder) -> bool:
    """The text as the model's answer, in the client's dialect; it used nothing. False: it is not what was asked for."""
    call, dialect = question.call, question.dialect
    try:
        request = question.canonical()
    except TenfoldError:  # it passed as bytes so far; what led here says more
        return False
    if question.expected is not None and not fits(question.expected, text):
        return False
    call.degraded += (step,)
    call.provider = call.upstream_model = call.upstream_request_id = None
    call.served_by, call.carried, call.ignored = "", (), ()  # those of an attempt that failed
    reply = ChatReply(
        id=call.request_id,
        model=call.model,
        created_s=int(call.started_at),
        choices=[Choice(parts=[TextPart(text=text)], finish_reason="stop")],
        usage=_NOTHING,
    )
    if call.stream:
        body = dialect.reply_encoder(request).encode(list(events_of(reply)))
    else:
        body = dialect.encode_reply(reply, request)
    await respond.at_once(call, body, responder, 202 if step == "queue" else 200)
    return True
