"""Lines of a batch that a vendor's batch tier does: charged once, whatever happens on the way, and written down."""

import asyncio
from typing import Any

import pytest
from msgspec import json

from tenfold.core.errors import BudgetExceeded, RateLimited, StoreUnavailable, UpstreamError
from tenfold.edge.dialects.openai import OpenAIDialect
from tenfold.inference.batches.types import Endpoint
from tenfold.inference.handover.types import HandOverLimits
from tenfold.jobs.ports import JobLost
from tenfold.providers.batches.fake import FakeAnswer
from tenfold.providers.batches.types import TierLine
from tests.inference.batches.samples import line_of, result
from tests.inference.handover.stage import (
    ANSWER_NANO,
    INPUT_NANO,
    OUTPUT_NANO,
    Stage,
    all_answered,
    answered,
    lines,
    said,
)

BUSY = UpstreamError("Try later.", status=503)


async def finished(stage: Stage, answer: Any, count: int = 1) -> str:
    """The run, while the vendor ends what it gets."""
    run = asyncio.create_task(stage.run())
    await stage.all_handed(count)
    for batch_id in stage.tier.batches:
        stage.tier.finish(batch_id, answer)
    return await run


@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
async def test_a_batch_goes_to_the_vendor_and_comes_back(vendor: str) -> None:
    stage = Stage(vendor)
    await stage.begin(*lines(3))
    assert await finished(stage, all_answered(vendor)) == "all"
    (batch,) = stage.tier.batches.values()
    asked = [json.decode(line.body) for line in batch.lines]
    assert [one["model"] for one in asked] == ["m-2026"] * 3
    assert {line.path for line in batch.lines} == {"/chat/completions" if vendor == "openai" else "/v1/messages"}
    assert not any(one.get("stream") for one in asked)
    found = await stage.results()
    assert sorted(found) == [1, 2, 3]
    for number, one in found.items():
        reply = said(one)
        assert not one.failed
        assert json.decode(one.data)["custom_id"] == f"c-{number}"
        assert reply["body"]["choices"][0]["message"]["content"] == "Hello"
        assert reply["body"]["usage"]["prompt_tokens"] == 12
    told = await stage.told()
    assert (told.completed, told.failed, told.tokens.input, told.tokens.output) == (3, 0, 36, 9)
    assert told.cost_nano == 3 * ANSWER_NANO
    assert stage.job is not None
    assert stage.job.cost_nano == 3 * ANSWER_NANO
    stage.assert_settled()


async def test_each_line_has_one_receipt_at_its_bound_and_then_at_what_it_cost() -> None:
    stage = Stage()
    await stage.begin(*lines(3, max_tokens=10))
    run = asyncio.create_task(stage.run())
    await stage.all_handed()
    receipts = stage.admission.journal.receipts
    assert sorted(receipts.values()) == [1, 1, 1]
    bound = stage.charged
    assert bound > 3 * (10 * OUTPUT_NANO + 20 * INPUT_NANO)
    assert not stage.ledger.nano, "nothing is known yet"
    stage.tier.finish("batch_0", all_answered())
    await run
    assert stage.ledger.nano == dict.fromkeys(receipts, ANSWER_NANO)
    assert all((usage.input_tokens, usage.output_tokens) == (12, 3) for usage in stage.ledger.usages.values())
    assert stage.charged == bound, "budgets get the rest back with the corrections"


async def test_large_batches_go_in_parts() -> None:
    stage = Stage()
    await stage.begin(*lines(10))
    assert await finished(stage, all_answered(), 3) == "all"
    assert [len(batch.lines) for batch in stage.tier.batches.values()] == [4, 4, 2]
    assert len({batch.key for batch in stage.tier.batches.values()}) == 3
    assert sorted(await stage.results()) == list(range(1, 11))


async def test_what_the_tier_does_not_do_is_left() -> None:
    stage = Stage()
    await stage.begin(
        line_of(1),
        line_of(2, model="no-tier"),
        line_of(3, model="unknown"),
        line_of(4, stream=True),
        line_of(5, messages=[]),
        line_of(6),
    )
    assert stage.batch is not None
    await stage.rows.record(stage.who.tenant_id, stage.batch.id, [result(6)])
    assert await finished(stage, all_answered()) == "all"
    assert [line.number for line in stage.tier.batches["batch_0"].lines] == [1]
    assert sorted(await stage.results()) == [1, 6]


@pytest.mark.parametrize("spec", [{"window": "12h", "window_s": 43_200.0}, {"window": "24h", "window_s": 86_400.0}])
async def test_nothing_goes_where_there_is_no_day_for_it(spec: dict[str, Any]) -> None:
    stage = Stage()
    await stage.begin(*lines(2), **spec)
    stage.clock.advance(50_000)
    assert await stage.run() == "all"
    assert not stage.tier.batches
    assert not stage.admission.journal.receipts


async def test_what_a_vendor_refuses_is_the_lines_error_and_costs_nothing() -> None:
    stage = Stage()
    await stage.begin(*lines(2))
    refusal = FakeAnswer(
        outcome="refused", status=400, body=b'{"error":{"message":"Too long","type":"invalid_request"}}'
    )
    await finished(stage, lambda line: refusal if line.number == 2 else answered())
    found = await stage.results()
    assert found[2].failed
    assert (await stage.told()).cost_nano == ANSWER_NANO
    assert said(found[2])["status_code"] == 400
    assert said(found[2])["body"]["error"]["message"] == "Too long"
    assert sorted(stage.ledger.nano.values()) == [0, ANSWER_NANO]


@pytest.mark.parametrize(
    "nothing",
    [
        FakeAnswer(outcome="expired", status=500),
        FakeAnswer(outcome="cancelled", status=500),
        FakeAnswer(outcome="refused", status=500, body=b"{}"),
        FakeAnswer(outcome="refused", status=429, body=b"{}"),
        FakeAnswer(outcome="refused", status=401, body=b"{}"),
        None,
    ],
)
async def test_what_nothing_came_of_is_free_and_left_and_not_handed_over_again(nothing: FakeAnswer | None) -> None:
    stage = Stage()
    await stage.begin(*lines(2))
    await finished(stage, lambda line: nothing if line.number == 2 else answered())
    assert sorted(await stage.results()) == [1]
    assert sorted(stage.ledger.nano.values()) == [0, ANSWER_NANO]
    assert await stage.run() == "all"
    assert len(stage.tier.batches) == 1


async def test_an_answer_that_cannot_be_read_stays_charged_as_far_as_it_is_known() -> None:
    stage = Stage()
    await stage.begin(*lines(2))
    told = {1: b'{"usage":{"prompt_tokens":12,"completion_tokens":3}}', 2: b"[]"}
    await finished(stage, lambda line: FakeAnswer(body=told[line.number]))
    found = await stage.results()
    assert [found[number].failed for number in (1, 2)] == [False, True]
    assert list(stage.ledger.nano.values()) == [ANSWER_NANO], "of the other the estimate stands"


async def test_json_that_was_asked_for_is_held_to_its_schema() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema | {"additionalProperties": False}}}
    stage = Stage()
    await stage.begin(*lines(3, response_format=form))
    texts = {1: '{"a": 1}', 2: "Hello", 3: '```json\n{"a": 3}\n```'}

    def answer(line: TierLine) -> FakeAnswer:
        message = {"role": "assistant", "content": texts[line.number]}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
        reply = {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [choice],
            "usage": usage,
        }
        return FakeAnswer(body=json.encode(reply))

    await finished(stage, answer)
    found = await stage.results()
    assert [found[number].failed for number in (1, 2, 3)] == [False, True, False]
    assert said(found[2])["body"]["error"]["code"] == "output_invalid"
    assert json.decode(said(found[3])["body"]["choices"][0]["message"]["content"]) == {"a": 3}
    assert set(stage.ledger.nano.values()) == {ANSWER_NANO}, "each was answered, and is paid"


async def test_embeddings() -> None:
    stage = Stage()
    stage.endpoint = Endpoint(operation="embeddings", dialect=OpenAIDialect)
    line = {"custom_id": "e", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": "text"}}
    await stage.begin(json.encode(line) + b"\n")
    data, usage = [{"index": 0, "embedding": [1.0]}], {"prompt_tokens": 2, "total_tokens": 2}
    reply = {"object": "list", "data": data, "model": "m-2026", "usage": usage}
    await finished(stage, lambda line: FakeAnswer(body=json.encode(reply)))
    assert stage.tier.batches["batch_0"].lines[0].path == "/embeddings"
    assert said((await stage.results())[1])["body"] == reply
    assert list(stage.ledger.nano.values()) == [2 * INPUT_NANO]


# -- money that is not there ----------------------------------------------------------------------


async def test_lines_without_a_budget_are_not_handed_over() -> None:
    stage = Stage()
    stage.admission.budgets.room_for = 2
    await stage.begin(*lines(3))
    await finished(stage, all_answered())
    assert [line.number for line in stage.tier.batches["batch_0"].lines] == [1, 2]
    assert (await stage.part()).lines == (1, 2)
    stage.assert_settled()


async def test_without_any_budget_nothing_goes() -> None:
    stage = Stage()
    stage.admission.limits.refuse_at_reserve = BudgetExceeded("No room.")
    await stage.begin(*lines(3))
    assert await stage.run() == "all"
    assert not stage.tier.batches
    assert (await stage.part()).state == "collected"


async def test_a_rate_limit_is_waited_for() -> None:
    stage = Stage()
    stage.admission.limits.refuse_at_enter = RateLimited("Slow down.", retry_after_s=9)
    await stage.begin(*lines(2))
    run = asyncio.create_task(stage.run())
    for _ in range(20):
        await asyncio.sleep(0)
    stage.admission.limits.refuse_at_enter = None
    await stage.all_handed()
    stage.tier.finish("batch_0", all_answered())
    await run
    assert sorted(await stage.results()) == [1, 2]


# -- begun anew -----------------------------------------------------------------------------------


async def killed(run: "asyncio.Task[Any]") -> None:
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


async def test_whoever_goes_on_looks_after_what_was_handed_over() -> None:
    stage = Stage()
    await stage.begin(*lines(3))
    run = asyncio.create_task(stage.run())
    await stage.all_handed()
    while (await stage.part()).vendor_id is None:
        await asyncio.sleep(0)
    await killed(run)
    bound = stage.charged
    assert await finished(stage, all_answered()) == "all"
    assert len(stage.tier.batches) == 1
    assert stage.charged == bound, "and pays nothing again"
    assert sorted(stage.admission.journal.receipts.values()) == [1, 1, 1]


async def test_one_that_was_charged_and_not_handed_over_is() -> None:
    stage = Stage()
    await stage.begin(*lines(3))
    stage.tier.errors = [StoreUnavailable("killed")]  # type: ignore[list-item]
    with pytest.raises(StoreUnavailable):
        await stage.run()
    assert ((await stage.part()).state, len(stage.tier.batches)) == ("charged", 0)
    await finished(stage, all_answered())
    assert sorted(await stage.results()) == [1, 2, 3]
    assert sorted(stage.admission.journal.receipts.values()) == [1, 1, 1]


async def test_one_that_may_have_been_handed_over_is_looked_for() -> None:
    stage = Stage()
    stage.tier.loses = 1
    await stage.begin(*lines(3))
    await finished(stage, all_answered())
    assert len(stage.tier.batches) == 1
    assert (await stage.part()).vendor_id == "batch_0"
    assert sorted(await stage.results()) == [1, 2, 3]


async def test_one_that_was_being_charged_is_charged_on_the_same_receipts() -> None:
    stage = Stage()
    await stage.begin(*lines(3))
    stage.admission.budgets.room_for = 2
    reserve = stage.admission.budgets.reserve

    async def down(*args: Any) -> Any:
        if stage.admission.budgets.reservations == 2:
            raise StoreUnavailable("The database is away.")
        return await reserve(*args)

    stage.admission.budgets.reserve = down  # type: ignore[assignment, method-assign]
    with pytest.raises(StoreUnavailable):
        await stage.run()
    assert (await stage.part()).state == "cut"
    stage.admission.budgets.reserve, stage.admission.budgets.room_for = reserve, None  # type: ignore[method-assign]
    stage.ledger.another_process()
    await finished(stage, all_answered())
    part = await stage.part()
    written = stage.ledger.receipts + stage.admission.journal.receipts
    receipts = {number: written[part.receipt_id(number)] for number in (1, 2, 3)}
    assert receipts == {1: 2, 2: 2, 3: 1}, "the database keeps the first of the same id"
    assert {stage.ledger.nano[part.receipt_id(number)] for number in (1, 2, 3)} == {ANSWER_NANO}


async def test_results_that_were_written_down_are_not_paid_again() -> None:
    stage = Stage()
    await stage.begin(*lines(3))
    stage.ledger.missing = 2  # receipts are on their way
    put = stage.parts.put

    async def crash(part: Any) -> None:
        if part.state == "collected":
            raise StoreUnavailable("The database is away.")
        await put(part)

    stage.parts.put = crash  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await finished(stage, all_answered())
    first = dict(stage.ledger.nano)
    stage.parts.put = put  # type: ignore[method-assign]
    assert await stage.run() == "all"
    assert stage.ledger.nano == first == dict.fromkeys(first, ANSWER_NANO)
    assert sorted(await stage.results()) == [1, 2, 3]


# -- vendors that are away ------------------------------------------------------------------------


async def test_a_vendor_that_is_away_is_asked_again() -> None:
    stage = Stage()
    stage.tier.errors = [BUSY] * 3
    await stage.begin(*lines(2))
    await finished(stage, all_answered())
    assert sorted(await stage.results()) == [1, 2]
    assert len(stage.tier.batches) == 1


async def test_one_that_takes_no_batches_gets_none() -> None:
    stage = Stage()
    stage.tier.errors = [UpstreamError("No batches for you.", status=403)]
    await stage.begin(*lines(2))
    assert await stage.run() == "all"
    assert sorted(stage.ledger.nano.values()) == [0, 0]
    assert not await stage.results()


async def test_a_batch_that_failed_as_a_whole_is_left_to_the_usual_path() -> None:
    stage = Stage()
    await stage.begin(*lines(2))
    run = asyncio.create_task(stage.run())
    await stage.all_handed()
    stage.tier.finish("batch_0", lambda line: None, why="Enqueued token limit reached")
    assert await run == "all"
    assert sorted(stage.ledger.nano.values()) == [0, 0]


async def test_a_target_that_is_gone_from_the_settings_is_waited_for() -> None:
    stage = Stage()
    await stage.begin(*lines(2))
    run = asyncio.create_task(stage.run())
    await stage.all_handed()
    while (await stage.part()).vendor_id is None:
        await asyncio.sleep(0)
    await killed(run)
    stage.tier.finish("batch_0", all_answered())
    seats, stage.seats = stage.seats, {}
    run = asyncio.create_task(stage.run())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not run.done()
    await killed(run)
    stage.seats = seats
    assert await stage.run() == "all"


# -- cancelled, late ------------------------------------------------------------------------------


async def test_a_batch_that_is_cancelled_is_cancelled_at_the_vendor_and_keeps_what_is_done() -> None:
    stage = Stage()
    await stage.begin(*lines(2))
    assert stage.batch is not None
    run = asyncio.create_task(stage.run())
    await stage.all_handed()
    await stage.rows.cancel(stage.who.tenant_id, stage.batch.id)
    while not stage.tier.batches["batch_0"].cancelling:
        await asyncio.sleep(0)
    cancelled = FakeAnswer(outcome="cancelled", status=500)
    stage.tier.finish("batch_0", lambda line: answered() if line.number == 1 else cancelled)
    assert await run == "cancelled"
    assert sorted(await stage.results()) == [1]
    assert sorted(stage.ledger.nano.values()) == [0, ANSWER_NANO]


async def test_so_is_one_whose_job_is_cancelled() -> None:
    stage = Stage()
    await stage.begin(*lines(1))
    assert stage.job is not None
    run = asyncio.create_task(stage.run())
    await stage.all_handed()
    while (await stage.part()).vendor_id is None:
        await asyncio.sleep(0)
    stage.job.cancelled = True
    run.cancel()
    while not stage.tier.batches["batch_0"].cancelling:
        await asyncio.sleep(0)
    stage.tier.finish("batch_0", all_answered())
    assert await run == "cancelled"
    assert sorted(await stage.results()) == [1]


async def test_one_whose_window_has_closed_is_late() -> None:
    stage = Stage()
    await stage.begin(*lines(1))
    run = asyncio.create_task(stage.run())
    await stage.all_handed()
    stage.clock.advance(90_000)
    while not stage.tier.batches["batch_0"].cancelling:
        await asyncio.sleep(0)
    stage.tier.finish("batch_0", lambda line: FakeAnswer(outcome="cancelled", status=500))
    assert await run == "late"
    assert list(stage.ledger.nano.values()) == [0]


async def test_a_vendor_that_does_not_end_it_is_not_waited_for_for_ever() -> None:
    stage = Stage()
    stage.limits = HandOverLimits(poll_s=0, look_s=0, drain_s=0, settle_s=0)
    await stage.begin(*lines(1))
    assert stage.batch is not None
    run = asyncio.create_task(stage.run())
    await stage.all_handed()
    await stage.rows.cancel(stage.who.tenant_id, stage.batch.id)
    assert await run == "cancelled"
    assert not stage.ledger.nano, "it may be billed: the estimate stands"


async def test_one_that_was_deleted_is_nobodys() -> None:
    stage = Stage()
    await stage.begin(*lines(1))
    assert stage.batch is not None
    run = asyncio.create_task(stage.run())
    await stage.all_handed()
    await stage.rows.end(stage.who.tenant_id, stage.batch.id, "failed", keep_s=60)
    with pytest.raises(JobLost):
        await run
