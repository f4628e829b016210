"""Stage 6 for calls that ask for JSON by a schema: a reply that does not fit is mended, its model is asked to mend it,
a stronger one is, or the reply is no answer. Every question to a model is paid for and bounded as any other attempt.
"""

from collections.abc import Mapping

from msgspec import structs

from tenfold.core.call import Call
from tenfold.core.errors import OutputInvalid, TenfoldError
from tenfold.core.usage import Usage
from tenfold.inference.call import Attempts, Question
from tenfold.inference.output.counters import OutputCounters
from tenfold.inference.output.expected import Expected, Invalid, Promises
from tenfold.inference.output.put_back import repair_request, with_texts
from tenfold.inference.output.said import EndHold, Said, StreamText, faults, mended, said_in
from tenfold.inference.route import Target


class Structured:
    """One for a process."""

    def __init__(self) -> None:
        self.counters = OutputCounters()
        self._promises = Promises()

    def expect(self, question: Question) -> None:
        """Note what a request that asks for JSON asks its answer to be. Raises InvalidRequest for a schema that is
        none, or too hard."""
        question.expected = self._promises.of(question.canonical(), question.dialect.name)

    async def whole(self, question: Question, attempts: Attempts, target: Target, raw: bytes, body: bytes) -> bytes:
        """The client's body, mended where it had to be, of a question that expects something. `raw`: as the provider
        sent it. Raises OutputInvalid."""
        expected = question.expected
        assert expected is not None
        reply = target.provider.wire.decode_chat(raw)
        said = said_in(reply)
        invalid = faults(expected, said)
        if not invalid:
            if any(not one.excused for one in said):
                self.counters.count(target.model, "valid")
            return body
        texts = mended(expected, said, invalid)
        if texts is not None:
            self.counters.count(target.model, "repaired_locally")
            question.call.degraded += ("repair",)
        else:
            texts = await self._by_model(question, attempts, target, said, invalid)
        mended_reply = structs.replace(with_texts(reply, texts), usage=_total(question.call))
        return question.dialect.encode_reply(mended_reply, question.canonical())

    def alone(self, question: Question, target: Target, raw: bytes, body: bytes) -> bytes:
        """The same where no model can be asked to mend it. Raises OutputInvalid."""
        expected = question.expected
        assert expected is not None
        reply = target.provider.wire.decode_chat(raw)
        said = said_in(reply)
        invalid = faults(expected, said)
        if not invalid:
            return body
        texts = mended(expected, said, invalid)
        if texts is None:
            self.counters.count(target.model, "failed")
            raise not_as_asked(next(iter(invalid.values())))
        self.counters.count(target.model, "repaired_locally")
        return question.dialect.encode_reply(with_texts(reply, texts), question.canonical())

    def stream(self, question: Question, target: Target) -> "StreamCheck | None":
        """None: this stream promises nothing."""
        expected = question.expected
        if expected is None:
            return None
        decodes = not question.speaks(target)  # then its events are there already
        text = StreamText(None if decodes else target.provider.wire.stream_decoder())
        return StreamCheck(expected, text, self.counters, target.model)

    async def _by_model(
        self,
        question: Question,
        attempts: Attempts,
        target: Target,
        said: list[Said],
        invalid: Mapping[int, Invalid],
    ) -> dict[int, str]:
        texts = {one.index: one.text for one in said if one.index not in invalid and not one.excused}
        escalated = False
        try:
            for one in said:
                if one.index in invalid:
                    texts[one.index], higher = await self._mend(question, attempts, target, one, invalid[one.index])
                    escalated |= higher
        except TenfoldError:
            self.counters.count(target.model, "failed")
            raise
        self.counters.count(target.model, "escalated" if escalated else "repaired_by_model")
        question.call.degraded += ("escalate" if escalated else "repair",)
        return texts

    async def _mend(
        self, question: Question, attempts: Attempts, target: Target, one: Said, invalid: Invalid
    ) -> tuple[str, bool]:
        """A text that fits, and whether it took the stronger model. Raises OutputInvalid."""
        expected = question.expected
        assert expected is not None
        text, wrong = one.text, invalid
        helpers = [(target, False)] * attempts.policy.output_repairs
        stronger = attempts.stronger()
        if stronger is not None:
            helpers.append((stronger, True))
        for helper, higher in helpers:
            if wrong.too_much:
                break
            try:
                again = await attempts.follow_up(helper, repair_request(question.canonical(), text, wrong.errors))
            except TenfoldError:  # there is no room for it, or it failed; the reply is as bad as it was
                continue
            answers = said_in(again)[:1]
            still = faults(expected, answers)
            if answers and not still and not answers[0].excused:
                return answers[0].text, higher
            by_hand = mended(expected, answers, still) if still else None
            if by_hand is not None:
                return by_hand[answers[0].index], higher
            if still:
                text, wrong = answers[0].text, next(iter(still.values()))
        raise not_as_asked(wrong)


class StreamCheck:
    """Of one stream: its text is collected, and its end is held back until the text is known to fit."""

    def __init__(self, expected: Expected, text: StreamText, counters: OutputCounters, model: str) -> None:
        self.text = text
        self._expected = expected
        self._counters = counters
        self._model = model
        self._hold = EndHold()

    def feed(self, frames: bytes) -> bytes:
        """What may go out now of the client's frames."""
        return self._hold.feed(frames)

    def end(self) -> bytes:
        """What was held back. Raises OutputInvalid."""
        if not self.text.failed:
            said = self.text.said()
            invalid = faults(self._expected, said)
            if invalid:
                self._counters.count(self._model, "failed")
                raise not_as_asked(next(iter(invalid.values())))
            if any(not one.excused for one in said):
                self._counters.count(self._model, "valid")
        return self._hold.rest()


def not_as_asked(invalid: Invalid) -> OutputInvalid:
    return OutputInvalid(f"The reply is not the JSON that was asked for: {'; '.join(invalid.errors)}")


def _total(call: Call) -> Usage | None:
    """What all replies of the call used."""
    if call.usage is None or call.earlier_usage is None:
        return call.usage
    return call.usage + call.earlier_usage
