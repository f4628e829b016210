"""A call's receipt says what the call says, in text that a database takes."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core.call import DEFAULT_OPTIONS, Call, CallOptions
from tenfold.core.errors import RateLimited
from tenfold.core.ids import KeyId, TenantId, uuid7
from tenfold.core.principal import Principal
from tenfold.core.usage import Usage
from tenfold.inference.bound import Bound
from tenfold.ledger.types import MAX_TEXT, Receipt, draft_of, receipt_of

BOUND = Bound(input_tokens=900, output_tokens=100, nano=11, input_nano=6, output_nano=4)
PRINCIPAL = Principal(tenant_id=TenantId(uuid7()), tenant_slug="acme", key_id=KeyId(uuid7()))


def call(options: CallOptions = DEFAULT_OPTIONS) -> Call:
    made = Call(principal=PRINCIPAL, operation="chat", dialect="anthropic", body=b"{}", options=options)
    made.model = "fast"
    return made


def test_a_finished_call() -> None:
    done = call(CallOptions(feature="support", task="T-1", end_user="u-9"))
    done.started_at, done.started, done.first_byte, done.finished = 1_786_795_200.5, 10.0, 10.25, 11.5
    done.provider, done.upstream_model = "main", "gpt-4o-mini"
    done.usage = Usage(input_tokens=3, output_tokens=4)
    done.input_cost_nano, done.output_cost_nano, done.cost_nano = 1, 2, 3
    done.status, done.http_status, done.cache_state = "ok", 200, "miss"
    made = receipt_of(done)
    assert made.id == done.id
    assert (made.tenant_id, made.key_id) == (PRINCIPAL.tenant_id, PRINCIPAL.key_id)
    assert made.at == datetime(2026, 8, 15, 12, 0, 0, 500_000, tzinfo=UTC)
    assert (made.latency_ms, made.first_byte_ms) == (1500, 250)
    assert (made.client_dialect, made.model_asked, made.model_used) == ("anthropic", "fast", "gpt-4o-mini")
    assert (made.input_nano, made.output_nano, made.total_nano, made.priced) == (1, 2, 3, True)
    assert (made.feature, made.task, made.end_user) == ("support", "T-1", "u-9")
    assert (made.status, made.http_status, made.cache, made.error_code) == ("ok", 200, "miss", None)


def test_a_call_that_took_steps_of_its_fallback_chain() -> None:
    taken = call()
    taken.degraded, taken.attempts = ("fallback", "fallback", "stale"), 2
    made = receipt_of(taken)
    assert (made.degraded, made.attempts) == ("fallback,fallback,stale", 2)
    assert draft_of(taken, BOUND).degraded == "fallback,fallback,stale"
    taken.degraded = ("fallback",) * 1000
    assert len(receipt_of(taken).degraded or "") <= MAX_TEXT


def test_the_usual_call_writes_nothing_of_steps_and_attempts() -> None:
    plain = call()
    plain.attempts = 1  # the one request to the one provider
    text = msgspec.json.encode(receipt_of(plain))
    assert b"degraded" not in text
    assert b"attempts" not in text
    assert b"degraded" not in msgspec.json.encode(draft_of(plain, BOUND))


def test_a_call_that_asked_no_provider_says_so() -> None:
    assert b'"attempts":0' in msgspec.json.encode(receipt_of(call()))


def test_a_receipt_of_a_release_before_steps_were_named_can_be_read() -> None:
    old = msgspec.json.decode(msgspec.json.encode(receipt_of(call())))
    assert old.pop("attempts") == 0
    read = msgspec.convert(old, Receipt)
    assert (read.degraded, read.attempts) == (None, 1)


def test_a_call_that_failed_before_it_reached_anyone() -> None:
    failed = call()
    failed.error, failed.http_status = RateLimited("Slow down."), 429
    made = receipt_of(failed)
    assert (made.status, made.http_status, made.error_code) == ("error", 429, "rate_limit_exceeded")
    assert (made.provider, made.usage, made.total_nano, made.priced) == (None, None, None, False)
    assert (made.latency_ms, made.first_byte_ms) == (0, None)


def test_a_call_about_to_ask_a_provider() -> None:
    begun = call(CallOptions(feature="support", run="run-9"))
    begun.stream, begun.cache_state = True, "miss"
    made = draft_of(begun, BOUND)
    begun.status, begun.http_status, begun.finished = "ok", 200, begun.started + 1
    final = receipt_of(begun)
    assert (made.draft, final.draft) == (True, False)
    assert (made.id, made.tenant_id, made.at) == (final.id, final.tenant_id, final.at)  # what the database knows it by
    assert (made.status, made.http_status, made.estimated) == ("cut", 500, True)
    assert made.usage == Usage(input_tokens=900, output_tokens=100)
    assert (made.input_nano, made.output_nano, made.total_nano) == (6, 4, 11)
    assert (made.feature, made.run, made.stream, made.cache, made.model_asked) == (
        "support",
        "run-9",
        True,
        "miss",
        "fast",
    )


@pytest.mark.parametrize("model", ["m" * 10_000, "a\0b", "\ud800lone", "Zoë", ""])
def test_text_of_clients_is_made_safe(model: str) -> None:
    odd = call(CallOptions(end_user=model))
    odd.model = model
    made = receipt_of(odd)
    assert len(made.model_asked) <= MAX_TEXT
    assert "\0" not in made.model_asked
    made.model_asked.encode()
    assert made.end_user == made.model_asked


@given(st.text(alphabet=st.characters(), max_size=300), st.floats(-1e12, 1e12))
def test_any_receipt_survives_its_own_encoding(text: str, seconds: float) -> None:
    odd = call(CallOptions(task=text))
    odd.model, odd.started, odd.finished = text, 0.0, seconds
    made = receipt_of(odd)
    assert msgspec.json.decode(msgspec.json.encode(made), type=type(made)) == made
    assert 0 <= made.latency_ms < 2**31
