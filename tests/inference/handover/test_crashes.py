"""Wherever the work breaks off, and however often: each line is charged once, handed over once, and has one end."""

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tenfold.core.errors import StoreUnavailable
from tenfold.providers.batches.fake import FakeAnswer
from tenfold.providers.batches.types import TierLine
from tests.inference.handover.stage import ANSWER_NANO, Stage, answered, lines

COUNT = 6  # lines, in two parts
GOOD, BAD, NOTHING = "answered", "refused", "nothing"
REFUSED = FakeAnswer(outcome="refused", status=400, body=b'{"error":{"message":"No"}}')


class Crashes:
    """The process dies before or after the calls of these numbers, counted over all that may fail."""

    def __init__(self, at: list[tuple[int, bool]]) -> None:
        self._at = dict(at)
        self._calls = 0

    def over(self, thing: Any, *names: str) -> None:
        for name in names:
            setattr(thing, name, self._risky(getattr(thing, name)))

    def _risky(self, method: Any) -> Any:
        async def risky(*args: Any, **how: Any) -> Any:
            self._calls += 1
            after = self._at.get(self._calls)
            if after is False:
                raise StoreUnavailable("killed before")
            result = await method(*args, **how)
            if after is True:
                raise StoreUnavailable("killed after")
            return result

        return risky


async def lived_through(at: list[tuple[int, bool]], fates: list[str]) -> None:
    stage = Stage()
    await stage.begin(*lines(COUNT))
    crashes = Crashes(at)
    crashes.over(stage.tier, "submit", "find", "state")
    crashes.over(stage.parts, "add", "put")
    crashes.over(stage.rows, "record", "done")
    crashes.over(stage.ledger, "correct_receipt", "void")

    def answer(line: TierLine) -> FakeAnswer | None:
        return {GOOD: answered(), BAD: REFUSED, NOTHING: None}[fates[line.number - 1]]

    while True:
        run = asyncio.create_task(stage.run())
        while not run.done():
            await asyncio.sleep(0)
            for name, batch in stage.tier.batches.items():
                if not batch.ended:
                    stage.tier.finish(name, answer)
        try:
            assert run.result() == "all"
            break
        except StoreUnavailable:
            stage.ledger.another_process()

    parts = await stage.parts.of(stage.who.tenant_id, stage.batch.id) if stage.batch else []
    handed = [line.number for batch in stage.tier.batches.values() for line in batch.lines]
    assert sorted(handed) == list(range(1, COUNT + 1)), "each once"
    assert all(part.state == "collected" for part in parts)
    found = await stage.results()
    assert sorted(found) == [number for number in range(1, COUNT + 1) if fates[number - 1] != NOTHING]
    costs = {number: stage.ledger.nano[part.receipt_id(number)] for part in parts for number in part.lines}
    assert costs == {n: ANSWER_NANO if fates[n - 1] == GOOD else 0 for n in range(1, COUNT + 1)}
    assert len(stage.ledger.nano) == COUNT, "no receipt but those"
    stage.admission.assert_nothing_held()


@settings(deadline=None, max_examples=60)
@given(
    at=st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=6),
    fates=st.lists(st.sampled_from([GOOD, BAD, NOTHING]), min_size=COUNT, max_size=COUNT),
)
def test_each_line_is_charged_once_and_handed_over_once(at: list[tuple[int, bool]], fates: list[str]) -> None:
    asyncio.run(lived_through(at, fates))
