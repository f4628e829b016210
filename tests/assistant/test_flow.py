"""The flow beyond one model: escalation, follow-ups, answers from the cache, hand-off, a slow database."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.assistant.assistant import Assistant
from tenfold.assistant.confidence import GroundedConfidence
from tenfold.assistant.fake import FakeCaller, FakeSearcher, FakeSwitches
from tenfold.assistant.handing_off import HandOffRules
from tenfold.assistant.ports import ChatCaller, Evidence
from tenfold.assistant.prompt import PROMPT, SYSTEM
from tenfold.assistant.questions import standing_alone, wants_a_person
from tenfold.assistant.reciting import recited
from tenfold.assistant.types import AnswerDelta, AnswerEnd, AskEvent, CallSummary, FromCache, Hit, Turn
from tenfold.core.call import CallOptions
from tenfold.core.chat import ChatEvent, ChatRequest
from tenfold.core.clock import FakeClock
from tenfold.core.errors import PermissionDenied, StoreUnavailable, UpstreamUnavailable
from tenfold.core.ids import TenantId, uuid7
from tenfold.core.principal import ALL_SCOPES, SCOPE_SUPPORT, Principal

WHO = Principal(tenant_id=TenantId(uuid7()), tenant_slug="acme", scopes=ALL_SCOPES)
FILTER = "Clean the filter every 30 days with cold water."
PUMP = "The pump stops when the tank is empty."


def hit(text: str, relevance: float = 0.9, document: str = "kb/manual@1") -> Hit:
    return Hit(title="Manual", url="/m", text=text, relevance=relevance, document=document)


HITS = (hit(FILTER), hit(PUMP, 0.6))


class ByModel:
    """Each model has a caller of its own; `asked` are the models in their order."""

    def __init__(self, **callers: FakeCaller) -> None:
        self.callers = callers
        self.asked: list[str] = []

    def call(
        self, principal: Principal, request: ChatRequest, options: CallOptions
    ) -> AsyncGenerator[ChatEvent | FromCache | CallSummary, None]:
        self.asked.append(request.model)
        return self.callers[request.model].call(principal, request, options)


def assistant(
    caller: ChatCaller,
    *,
    larger: str | None = None,
    semantic: bool = False,
    hits: Sequence[Hit] = HITS,
    switches: FakeSwitches | None = None,
    rules: HandOffRules | None = None,
) -> Assistant:
    return Assistant(
        FakeSearcher(hits),
        caller,
        FakeClock(),
        model="small",
        larger=larger,
        floor=0.3,
        semantic=semantic,
        switches=switches,
        hand_off=rules,
    )


async def whole(it: Assistant, question: str = "How often is the filter cleaned?") -> tuple[list[str], AnswerEnd]:
    events: list[AskEvent] = [event async for event in it.ask(WHO, question)]
    *deltas, end = events
    assert isinstance(end, AnswerEnd)
    return [delta.text for delta in deltas if isinstance(delta, AnswerDelta)], end


# -- escalation ------------------------------------------------------------------------------


async def test_a_small_model_that_is_trusted_is_the_only_one_asked() -> None:
    caller = ByModel(small=FakeCaller(["Every 30 days with ", "cold water [1]."]), large=FakeCaller())
    said, end = await whole(assistant(caller, larger="large"))
    assert (caller.asked, said) == (["small"], ["Every 30 days with cold water [1]."])
    assert (end.outcome, end.earlier) == ("answered", [])
    assert end.confidence >= 0.5


@pytest.mark.parametrize("text", ["I do not know.", "Zebras migrate in herds across savannas each spring season."])
async def test_a_larger_one_answers_where_the_small_one_is_not_trusted(text: str) -> None:
    caller = ByModel(small=FakeCaller([text]), large=FakeCaller(["Every ", "30 days [1]."]))
    said, end = await whole(assistant(caller, larger="large"))
    assert (caller.asked, said) == (["small", "large"], ["Every ", "30 days [1]."])
    assert (end.outcome, [call.cost_nano for call in end.earlier], end.cost_nano) == ("answered", [12_000], 24_000)


async def test_where_the_larger_one_is_away_the_small_ones_word_stands() -> None:
    weak = FakeCaller(["It may be that zebras herd each spring across savannas, who knows [2]."])
    caller = ByModel(small=weak, large=FakeCaller(error=UpstreamUnavailable("away")))
    said, end = await whole(assistant(caller, larger="large"))
    assert (caller.asked, said) == (["small", "large"], weak.pieces)
    assert (end.outcome, [each.number for each in end.citations]) == ("answered", [2])
    assert end.confidence < 0.5


async def test_where_the_small_one_is_away_or_off_the_larger_one_is_asked() -> None:
    large = FakeCaller(["Every 30 days [1]."])
    away = ByModel(small=FakeCaller(error=UpstreamUnavailable("away")), large=large)
    assert (await whole(assistant(away, larger="large")))[1].outcome == "answered"
    off = ByModel(small=FakeCaller(), large=large)
    _, end = await whole(assistant(off, larger="large", switches=FakeSwitches("small")))
    assert (off.asked, end.outcome) == (["large"], "answered")


async def test_with_all_models_away_the_search_result_stands() -> None:
    away = UpstreamUnavailable("away")
    caller = ByModel(small=FakeCaller(error=away), large=FakeCaller(error=away))
    said, end = await whole(assistant(caller, larger="large"))
    assert (said, end.outcome, len(end.nearest)) == ([], "degraded", 2)


# -- the cache -------------------------------------------------------------------------------


async def test_an_answer_to_other_words_gets_marks_of_these_passages() -> None:
    stored = FakeCaller(
        ["Clean the filter every 30 days [4]. The pump stops when the tank is empty [2]."], layer="semantic"
    )
    said, end = await whole(assistant(stored, semantic=True))
    assert said == ["Clean the filter every 30 days [1]. The pump stops when the tank is empty [2]."]
    assert [each.excerpt for each in end.citations] == [FILTER, PUMP]
    assert [options.cache for options in stored.options] == [{"semantic"}]


async def test_one_whose_words_stand_in_no_passage_is_asked_afresh() -> None:
    stored = FakeCaller(["Zebras migrate each spring [1]."], layer="semantic")
    said, end = await whole(assistant(stored, semantic=True))
    assert [sorted(options.cache) for options in stored.options] == [["semantic"], ["no-cache"]]
    assert (said, len(end.earlier)) == (stored.pieces, 1)


async def test_the_same_question_again_streams_as_it_is() -> None:
    stored = FakeCaller(["Every 30 days", " [1]."], layer="memory")
    said, _ = await whole(assistant(stored, semantic=True))
    assert (said, len(stored.options)) == (stored.pieces, 1)


async def test_what_ends_with_no_document_is_not_taken_from_other_words() -> None:
    caller = FakeCaller(["Every 30 days [1]."])
    await whole(assistant(caller, semantic=True, hits=[hit(FILTER, document="")]))
    assert [options.cache for options in caller.options] == [frozenset()]


@given(text=st.text(st.sampled_from("abc [1]2.!?\n"), max_size=80))
def test_marks_put_anew_are_of_passages_that_are_there(text: str) -> None:
    again = recited(text, HITS)
    assert again is None or all(f"[{number}]" not in again for number in range(3, 10))


# -- follow-ups ------------------------------------------------------------------------------


def turns(*said: str) -> list[Turn]:
    return [Turn(role="user" if place % 2 == 0 else "assistant", text=text) for place, text in enumerate(said)]


@pytest.mark.parametrize(
    ("question", "before", "wanted"),
    [
        ("And on Windows?", ["How do I rotate a key?", "So [1]."], "How do I rotate a key? And on Windows?"),
        ("Why?", ["How do I rotate a key?", "So."], "How do I rotate a key? Why?"),
        ("Why?", ["Rotate a key?", "So.", "And then?", "So."], "Rotate a key? And then? Why?"),
        (
            "How are budgets leased to processes?",
            ["How do I rotate a key?", "So."],
            "How are budgets leased to processes?",
        ),
        ("Does it expire?", ["How do I rotate a key?", "So."], "How do I rotate a key? Does it expire?"),
        ("Why?", [], "Why?"),
    ],
)
def test_a_question_is_searched_for_with_what_it_goes_on_from(question: str, before: list[str], wanted: str) -> None:
    assert standing_alone(question, turns(*before)) == wanted


@pytest.mark.parametrize(
    "question",
    [
        "Can I talk to a human?",
        "I want to speak with a real person please",
        "connect me to an agent",
        "Human, please!",
        "agent",
        "Please transfer me to customer service",
    ],
)
def test_who_asks_for_a_person_is_heard(question: str) -> None:
    assert wants_a_person(question)


@pytest.mark.parametrize(
    "question",
    [
        "How do I create an agent with tools?",
        "What is human-in-the-loop review?",
        "How does the support assistant hand over tickets?",
        "Can an agent reach the database?",
        "How do I contact the billing API?",
    ],
)
def test_who_asks_about_something_is_answered(question: str) -> None:
    assert not wants_a_person(question)


async def test_why_a_person_should_look_is_told() -> None:
    rules = HandOffRules(on=frozenset({"asked", "abstained"}), below=0.99)
    for question, text, why in (
        ("Can I talk to a human about the filter?", "Every 30 days [1].", "asked"),
        ("How often?", "The passages do not say.", "abstained"),
        ("How often?", "Perhaps zebras know about spring herds [2].", "unsure"),
    ):
        _, end = await whole(assistant(FakeCaller([text]), rules=rules), question)
        assert end.hand_off == why or (why == "asked" and end.hand_off == "unsure")


# -- trust -----------------------------------------------------------------------------------


def confidence(text: str, cited: Sequence[int], hits: Sequence[Hit] = HITS) -> float:
    return GroundedConfidence().of(Evidence(question="How?", text=text, hits=hits, cited=cited))


def test_trust_grows_with_relevance_marks_and_words_held() -> None:
    best = confidence("Clean the filter every 30 days [1].", [1])
    less_relevant = confidence("The pump stops when the tank is empty [2].", [2])
    half_marked = confidence("Clean the filter every 30 days [1]. The pump stops then.", [1])
    not_held = confidence("Zebras herd across savannas each spring [1].", [1])
    assert best > less_relevant
    assert best > half_marked > not_held
    assert confidence("I do not know.", []) == 0.0


@given(text=st.text(max_size=200), relevance=st.floats(0, 1))
def test_trust_is_a_share(text: str, relevance: float) -> None:
    assert 0.0 <= confidence(text, [1], [hit(FILTER, relevance)]) <= 1.0


# -- the rest --------------------------------------------------------------------------------


class Heard:
    def __init__(self) -> None:
        self.told: list[tuple[str, str | None, str]] = []

    def heard(self, principal: Principal, question: str, end_user: str | None, end: AnswerEnd) -> None:
        self.told.append((question, end_user, end.outcome))


async def test_who_listens_hears_of_questions_that_go_on_from_nothing() -> None:
    heard = Heard()
    it = Assistant(FakeSearcher(HITS), FakeCaller([f"{FILTER} [1]"]), FakeClock(), model="m", floor=0.3, listener=heard)
    for before in ((), turns("How is the pump stopped?")):
        async for _ in it.ask(WHO, " How often is the filter cleaned? ", turns=before, end_user="ana"):
            pass
    await Assistant(FakeSearcher(), FakeCaller(), FakeClock(), model="m", floor=0.3, listener=heard).answer(WHO, "Why?")
    assert heard.told == [("How often is the filter cleaned?", "ana", "answered"), ("Why?", None, "abstained")]


class SlowSearcher(FakeSearcher):
    async def search(self, principal: Principal, question: str, *, limit: int) -> list[Hit]:
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_search_that_takes_too_long_is_told_as_such() -> None:
    it = Assistant(SlowSearcher(), FakeCaller(), FakeClock(), model="small", floor=0.3, search_s=0.01)
    with pytest.raises(StoreUnavailable, match="too long"):
        await it.answer(WHO, "How?")


async def test_a_key_of_a_web_page_opens_tickets_and_asks_no_model_itself() -> None:
    visitor = Principal(tenant_id=WHO.tenant_id, tenant_slug="acme", scopes=frozenset({SCOPE_SUPPORT}))
    with pytest.raises(PermissionDenied):
        await assistant(FakeCaller()).answer(visitor, "How often?")


async def test_leaving_early_while_the_small_model_talks_cancels_it() -> None:
    caller = ByModel(small=FakeCaller(["Every 30 days with cold water [1]."]), large=FakeCaller())
    async with aclosing(assistant(caller, larger="large").ask(WHO, "How often?")) as events:
        await anext(events)
    assert caller.callers["small"].closed == 1


def test_the_words_of_the_prompt_are_those_of_its_version() -> None:
    """A change of the words is another version: change both here."""
    digest = hashlib.sha256(SYSTEM.encode()).hexdigest()[:12]
    assert (PROMPT, digest) == ("support@1", "102f18cd00c0")
