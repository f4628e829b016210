"""Idempotency keys at rest: one contract for the fake and for Postgres."""

import asyncio
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from msgspec import structs

from tenfold.core.ids import TenantId, uuid7
from tenfold.ledger.idempotency.handlers import BATCH_KEYS, expire_keys, settle_keys_of
from tenfold.ledger.idempotency.types import Claim, Claimed, StoredReply, key_digest

from .conftest import Keys

HOUR_S = 3600.0
HOLDER, OTHER_HOLDER = uuid7(), uuid7()
NEW = Claimed(found="new")
REPLY = StoredReply(
    ended="ok",
    http_status=200,
    stream=True,
    model="m",
    provider="main",
    upstream_model="m-2026",
    upstream_request_id="req_7",
    ignored=("seed", "top_k"),
    body=b"data: \x00\xff\n\n",
)
BARE = StoredReply(
    ended="error",
    http_status=502,
    stream=False,
    model="",
    provider=None,
    upstream_model=None,
    upstream_request_id=None,
    ignored=(),
    body=b"",
)


def claim_of(tenant_id: TenantId, key: str = "k", **more: Any) -> Claim:
    facts: dict[str, Any] = {
        "key": key_digest(key),
        "request_hash": key_digest("a body"),
        "call_id": uuid7(),
        "call_at": datetime.now(UTC),
        "holder": HOLDER,
    }
    return Claim(tenant_id=tenant_id, **facts | more)


def again(claim: Claim) -> Claim:
    """The same request, asked once more."""
    return structs.replace(claim, call_id=uuid7(), call_at=datetime.now(UTC), holder=OTHER_HOLDER)


async def found(keys: Keys, claim: Claim) -> str:
    return (await keys.rows.claim(claim, keep_s=HOUR_S)).found


async def test_a_key_is_claimed_once(keys: Keys) -> None:
    first = claim_of(keys.tenants[0])
    assert await keys.rows.claim(first, keep_s=HOUR_S) == NEW
    assert await found(keys, again(first)) == "in_flight"
    assert await found(keys, claim_of(keys.tenants[0], "other")) == "new"


async def test_a_claim_whose_answer_was_lost_can_be_made_again(keys: Keys) -> None:
    first = claim_of(keys.tenants[0])
    assert [await found(keys, first) for _ in range(2)] == ["new", "new"]


async def test_of_many_claims_at_once_one_is_new(keys: Keys) -> None:
    first = claim_of(keys.tenants[0])
    answers = await asyncio.gather(*(found(keys, again(first)) for _ in range(20)))
    assert sorted(answers) == ["in_flight"] * 19 + ["new"]


@pytest.mark.parametrize("reply", [REPLY, BARE])
async def test_the_stored_reply_comes_back_as_it_was(keys: Keys, reply: StoredReply) -> None:
    first = claim_of(keys.tenants[0])
    await found(keys, first)
    await keys.rows.finish(first, reply)
    await keys.rows.finish(first, BARE if reply is REPLY else REPLY)  # a second word changes nothing
    for _ in range(2):
        assert await keys.rows.claim(again(first), keep_s=HOUR_S) == Claimed(found="done", reply=reply)


@pytest.mark.parametrize("why", ["interrupted", "too_large"])
async def test_an_interrupted_key_says_so(keys: Keys, why: Literal["interrupted", "too_large"]) -> None:
    first = claim_of(keys.tenants[0])
    await found(keys, first)
    await keys.rows.interrupt(first, why)
    await keys.rows.finish(first, REPLY)
    told = Claimed(found=why, first=(first.call_id, first.call_at))
    assert await keys.rows.claim(again(first), keep_s=HOUR_S) == told


async def test_a_released_key_is_free(keys: Keys) -> None:
    first = claim_of(keys.tenants[0])
    await found(keys, first)
    await keys.rows.release(first)
    second = again(first)
    assert await found(keys, second) == "new"
    await keys.rows.release(first)  # no longer its own
    await keys.rows.finish(first, REPLY)
    await keys.rows.interrupt(first, "interrupted")
    assert await found(keys, again(first)) == "in_flight"


@pytest.mark.parametrize("state", ["in_flight", "done", "interrupted"])
async def test_another_request_under_the_key_is_a_mismatch(keys: Keys, state: str) -> None:
    first = claim_of(keys.tenants[0])
    await found(keys, first)
    if state == "done":
        await keys.rows.finish(first, REPLY)
    elif state == "interrupted":
        await keys.rows.interrupt(first, "interrupted")
    other = structs.replace(again(first), request_hash=key_digest("another body"))
    assert await keys.rows.claim(other, keep_s=HOUR_S) == Claimed(found="mismatch")


async def test_the_same_key_of_another_tenant_is_another_key(keys: Keys) -> None:
    first = claim_of(keys.tenants[0])
    await found(keys, first)
    await keys.rows.finish(first, REPLY)
    theirs = structs.replace(again(first), tenant_id=keys.tenants[1])
    assert await found(keys, theirs) == "new"
    await keys.rows.release(structs.replace(first, tenant_id=keys.tenants[1]))
    assert await found(keys, again(theirs)) == "in_flight"
    assert await found(keys, again(first)) == "done"


@pytest.mark.parametrize("state", ["in_flight", "done"])
async def test_an_expired_key_is_taken_over(keys: Keys, state: str) -> None:
    first = claim_of(keys.tenants[0])
    await found(keys, first)
    if state == "done":
        await keys.rows.finish(first, REPLY)
    await keys.let_pass(HOUR_S - 60)
    assert await found(keys, again(first)) == state
    await keys.let_pass(61)
    second = structs.replace(again(first), request_hash=key_digest("another body"))
    assert await found(keys, second) == "new"
    await keys.rows.finish(first, REPLY)
    assert await found(keys, again(second)) == "in_flight"


async def test_expired_keys_are_deleted_in_batches_and_others_stay(keys: Keys) -> None:
    old = [claim_of(keys.tenants[number % 2], f"old {number}") for number in range(5)]
    for claim in old:
        await found(keys, claim)
    await keys.let_pass(HOUR_S + 1)
    young = claim_of(keys.tenants[0], "young")
    await found(keys, young)
    assert set(await keys.rows.tenants_expired()) == set(keys.tenants)
    assert [await keys.rows.expire(keys.tenants[0], limit=2) for _ in range(3)] == [2, 1, 0]
    assert await keys.rows.tenants_expired() == [keys.tenants[1]]
    assert await expire_keys(keys.rows) == 2
    assert await keys.rows.tenants_expired() == []
    assert await found(keys, again(young)) == "in_flight"


async def test_more_expired_keys_than_a_batch_all_go(keys: Keys) -> None:
    for number in range(BATCH_KEYS + 1):
        await found(keys, claim_of(keys.tenants[0], str(number)))
    await keys.let_pass(HOUR_S + 1)
    assert await expire_keys(keys.rows) == BATCH_KEYS + 1


async def test_the_keys_of_a_dead_process_are_settled(keys: Keys) -> None:
    one, two = keys.tenants
    begun, never, theirs = claim_of(one, "begun"), claim_of(one, "never"), claim_of(two, "theirs")
    alive = claim_of(one, "alive", holder=OTHER_HOLDER)
    done = claim_of(one, "done")
    later = claim_of(one, "later")  # accepted to be answered later: its job is there once, however often it is asked
    for claim in (begun, never, theirs, alive, done, later):
        await found(keys, claim)
    await keys.add_free_receipt(later)
    for claim in (begun, theirs, alive):
        await keys.add_receipt(claim)
    await keys.rows.finish(done, REPLY)
    assert set(await keys.rows.tenants_in_flight(HOLDER)) == {one, two}
    assert await settle_keys_of(keys.rows, HOLDER) == (2, 2)
    assert await settle_keys_of(keys.rows, HOLDER) == (0, 0)
    assert await keys.rows.tenants_in_flight(HOLDER) == []
    answers = [await found(keys, again(claim)) for claim in (begun, theirs, alive, done, never, later)]
    assert answers == ["interrupted", "interrupted", "in_flight", "done", "new", "new"]
