"""The request headers of our own: what they say, and what cannot be meant."""

import pytest

from tenfold.core.call import DEFAULT_OPTIONS, CallOptions, Grounds
from tenfold.core.errors import InvalidRequest
from tenfold.edge.options import read_options
from tests.support.naughty import naughty_strings


def refused(**headers: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        read_options({name.replace("_", "-").encode(): value for name, value in headers.items()})
    return caught.value


def test_a_request_without_options_shares_one_value() -> None:
    assert read_options({b"host": b"h", b"content-type": b"application/json"}) is DEFAULT_OPTIONS


def test_all_of_them() -> None:
    options = read_options(
        {
            b"tenfold-feature": b"search",
            b"tenfold-task": b"t-1",
            b"tenfold-user": "Jürgen".encode(),
            b"tenfold-run": b"run-7",
            b"tenfold-max-cost-usd": b"0.25",
            b"tenfold-approve-cost-usd": b" 12 ",
            b"tenfold-cache-control": b"No-Store, exact",
            b"tenfold-explain": b"budget, Route",
            b"tenfold-deadline-ms": b"1500",
            b"x-stainless-retry-count": b"2",
            b"idempotency-key": b"7b0e-order/42",
            b"traceparent": b"00-1-2-01",
            b"openai-beta": b"x",
        }
    )
    assert (options.feature, options.task, options.end_user, options.run) == ("search", "t-1", "Jürgen", "run-7")
    assert (options.max_cost_nano, options.approved_cost_nano) == (250_000_000, 12_000_000_000)
    assert (options.idempotency_key, options.tell_budget) == ("7b0e-order/42", True)
    assert options.cache == frozenset({"no-store", "exact"})
    assert options.explain == frozenset({"budget", "route"})
    assert (options.deadline_ms, options.client_retry) == (1500, True)
    assert (options.traceparent, options.upstream_headers) == ("00-1-2-01", ((b"openai-beta", b"x"),))


def test_what_is_not_said_is_not_assumed() -> None:
    options = read_options({b"tenfold-feature": b""})
    assert options == DEFAULT_OPTIONS
    assert read_options({b"tenfold-explain": b" , "}).tell_budget is False
    assert read_options({b"tenfold-max-cost-usd": b"0"}).max_cost_nano == 0, "nothing that costs"


@pytest.mark.parametrize("header", ["tenfold-max-cost-usd", "tenfold-approve-cost-usd"])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"", "plain number of US dollars"),
        (b"-0.01", "not negative"),
        (b"NaN", "plain number"),
        (b"Infinity", "plain number"),
        (b"1e2", "plain number"),
        (b"1E-3", "plain number"),
        (b"0x10", "plain number"),
        (b"1_000", "plain number"),
        (b"5 EUR", "plain number"),
        (b"$5", "plain number"),
        (b"5,00", "plain number"),
        (b"1, 2", "plain number"),
        (b"\xb2", "plain number"),
        (b"0.0000000001", "at most 9 digits"),
        (b"9223372037", "at most 9223372036.854775807 USD"),
        (b"9" * 400, "plain number"),
    ],
)
def test_an_amount_that_is_none(header: str, value: bytes, said: str) -> None:
    error = refused(**{header: value})
    assert (error.status, error.param) == (400, header.title())
    assert said in error.message
    assert error.message.startswith(f"{header.title()}: ")


@pytest.mark.parametrize(("value", "ms"), [(b"1", 1), (b"0090", 90), (b"3600000", 3_600_000)])
def test_a_deadline_is_in_milliseconds(value: bytes, ms: int) -> None:
    assert read_options({b"tenfold-deadline-ms": value}).deadline_ms == ms


@pytest.mark.parametrize(
    "value", [b"", b"0", b"-1", b"1.5", b"1e3", b"soon", b"3600001", b"0003600000999", b"9" * 5000, b"\xb2", b"1 2"]
)
def test_a_deadline_that_is_none(value: bytes) -> None:
    error = refused(tenfold_deadline_ms=value)
    assert (error.status, error.param) == (400, "Tenfold-Deadline-Ms")
    assert "from 1 to 3600000" in error.message


def test_a_first_attempt_of_a_vendors_sdk_is_as_any_other() -> None:
    assert read_options({b"x-stainless-retry-count": b"0"}) is DEFAULT_OPTIONS
    assert read_options({b"x-stainless-retry-count": b"0", b"tenfold-feature": b"a"}).client_retry is False


def test_a_vendors_sdk_that_tries_again_says_so() -> None:
    assert read_options({b"x-stainless-retry-count": b"1"}) == CallOptions(client_retry=True)
    assert read_options({b"x-stainless-retry-count": b"1", b"tenfold-feature": b"a"}).client_retry is True


@pytest.mark.parametrize("value", [b"", b"a b", b"a\tb", b"\xe4", b"a, a", b"x" * 256])
def test_an_idempotency_key_that_is_none(value: bytes) -> None:
    error = refused(idempotency_key=value)
    assert (error.param, "1 to 255 visible ASCII" in error.message) == ("Idempotency-Key", True)


def test_an_idempotency_key_may_be_long() -> None:
    assert read_options({b"idempotency-key": b"x" * 255}).idempotency_key == "x" * 255


def test_unknown_words_are_told() -> None:
    assert refused(tenfold_explain=b"fnord").message == "Tenfold-Explain: unknown 'fnord'; known: budget, cache, route."
    assert "known: exact, no-cache, no-store" in refused(tenfold_cache_control=b"none").message


def test_the_standard_header_is_heeded_where_it_can_be() -> None:
    options = read_options({b"cache-control": b"max-age=60, No-Store, only-if-cached, max-stale=5"})
    assert (options.cache, options.max_age_s) == (frozenset({"no-store"}), 60.0)
    fresh = read_options({b"cache-control": b"max-age=0"})
    assert "no-cache" in fresh.cache, "as a browser asks for it"
    assert read_options({b"cache-control": b"max-age=soon"}).max_age_s is None


def test_what_a_request_wants_of_the_semantic_cache() -> None:
    options = read_options({b"tenfold-cache-control": b"semantic, max-false-hits=0.005, Max-Age=30"})
    assert options.cache == frozenset({"semantic"})
    assert (options.max_false_hits, options.max_age_s) == (0.005, 30.0)
    for value in (b"max-false-hits=2", b"max-false-hits=few", b"max-age=-1", b"max-age=1e9"):
        assert refused(tenfold_cache_control=value).param == "Tenfold-Cache-Control"


def test_documents_are_named_with_their_versions() -> None:
    options = read_options({b"tenfold-documents": b"faq@3, guides/setup@e1f0 ,"})
    assert options.grounds == Grounds(documents=frozenset({"/faq@3", "/guides/setup@e1f0"}))
    assert read_options({b"tenfold-documents": b" "}).grounds is None
    for value in (b"faq", b"@3", b"faq@", b"x" * 300 + b"@1", b",".join(b"d%d@1" % n for n in range(101))):
        assert refused(tenfold_documents=value).param == "Tenfold-Documents"


@pytest.mark.parametrize("header", ["tenfold-feature", "tenfold-task", "tenfold-user", "tenfold-run"])
def test_labels_are_short_and_printable(header: str) -> None:
    assert refused(**{header: b"x" * 201}).param == header
    assert refused(**{header: b"a\x00b"}).param == header


NAUGHTY = (b"tenfold-run", b"tenfold-max-cost-usd", b"idempotency-key", b"tenfold-explain", b"tenfold-deadline-ms")


def test_naughty_strings_are_read_or_refused() -> None:
    for text in naughty_strings():
        for header in (
            b"tenfold-run",
            b"tenfold-max-cost-usd",
            b"idempotency-key",
            b"tenfold-explain",
            b"tenfold-deadline-ms",
        ):
            try:
                read_options({header: text.encode("utf-8", "surrogatepass")})
            except InvalidRequest as error:
                assert error.message


@pytest.mark.parametrize(
    ("prefer", "said"),
    [
        (b"respond-async", (True, 0.0)),
        (b"Respond-Async, wait=10", (True, 10.0)),
        (b'wait="5", respond-async; x=1', (True, 5.0)),
        (b"respond-async, wait=100000", (True, 60.0)),
        (b"respond-async, wait=-1", (True, 0.0)),
        (b"respond-async, wait=1e3", (True, 0.0)),
        (b"return=minimal", (False, 0.0)),
        (b"", (False, 0.0)),
    ],
)
def test_what_a_client_prefers(prefer: bytes, said: tuple[bool, float]) -> None:
    options = read_options({b"prefer": prefer})
    assert (options.respond_async, options.wait_s) == said
