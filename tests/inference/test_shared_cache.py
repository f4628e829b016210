"""The cache that processes share, on the path: an answer of one is a hit in another, within what each call allows."""

import pytest

from tenfold.cache.fake import FakeSharedAnswers
from tenfold.core.call import CallOptions, Grounds
from tests.support.pipeline import REPLIES, World, asking, principal, whole

ZERO = asking("openai", temperature=0)


def two_worlds(shared: FakeSharedAnswers) -> tuple[World, World]:
    """Two processes whose upstreams say different things."""
    first, second = (
        World({"openai": [whole("openai", body=REPLIES["openai"].replace(b"Hello", word))] * 2}, shared=shared)
        for word in (b"First", b"Second")
    )
    second.principal = first.principal
    return first, second


async def test_an_answer_of_another_process_is_a_hit_and_then_in_memory() -> None:
    first, second = two_worlds(FakeSharedAnswers())
    told = await first.ask(ZERO)
    found, again = await second.ask(ZERO), await second.ask(ZERO)
    assert found.body == told.body == again.body
    assert found.headers["tenfold-cache"].startswith("hit; layer=valkey; age=")
    assert again.headers["tenfold-cache"].startswith("hit; layer=memory; age=")
    assert second.sent == []
    assert [call.cost_nano for call in second.outcomes.calls] == [0, 0]


async def test_another_tenant_finds_nothing() -> None:
    first, second = two_worlds(FakeSharedAnswers())
    second.principal = principal("globex")
    await first.ask(ZERO)
    assert (await second.ask(ZERO)).headers["tenfold-cache"] == "miss"


@pytest.mark.parametrize(
    "options",
    [
        CallOptions(cache=frozenset({"no-cache"})),
        CallOptions(grounds=Grounds(documents=frozenset({"/faq@1"}))),
        CallOptions(max_age_s=-1.0),
    ],
    ids=["no-cache", "documents", "too old"],
)
async def test_who_wants_none_of_it_gets_none_of_it(options: CallOptions) -> None:
    first, second = two_worlds(FakeSharedAnswers())
    told = await first.ask(ZERO)
    assert (await second.ask(ZERO, options=options)).body != told.body


async def test_what_is_not_to_be_stored_is_not_shared() -> None:
    first, second = two_worlds(FakeSharedAnswers())
    await first.ask(ZERO, options=CallOptions(cache=frozenset({"no-store"})))
    assert (await second.ask(ZERO)).headers["tenfold-cache"] == "miss"


async def test_while_it_is_away_all_goes_on() -> None:
    shared = FakeSharedAnswers()
    first, second = two_worlds(shared)
    shared.away = True
    await first.ask(ZERO)
    assert (await second.ask(ZERO)).headers["tenfold-cache"] == "miss"
