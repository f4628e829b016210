"""What a reply tells of the steps of a fallback chain: good ones and errors, and nothing where none was taken."""

from tenfold.core.call import Call, Step
from tenfold.core.errors import UpstreamUnavailable
from tenfold.core.ids import uuid7
from tenfold.inference import respond
from tests.support.pipeline import DIALECTS, Client, asking, principal

ACME = principal()


def taken(*steps: Step) -> Call:
    call = Call(principal=ACME, operation="chat", dialect="openai", body=asking("openai"))
    call.degraded = steps
    return call


def told(call: Call) -> dict[str, str]:
    client = Client()
    respond.whole(call, b"{}", client)
    return client.headers


def test_the_steps_are_named_in_their_order() -> None:
    assert told(taken("fallback", "stale"))["tenfold-degraded"] == "fallback, stale"


def test_nothing_is_said_of_steps_that_were_not_taken() -> None:
    headers = told(taken())
    assert headers.keys().isdisjoint({"tenfold-degraded", "tenfold-ticket", "location"})


def test_a_stream_tells_them_too() -> None:
    client = Client()
    respond.begin_stream(taken("fallback"), client)
    assert client.headers["tenfold-degraded"] == "fallback"


def test_an_error_after_steps_that_did_not_help_tells_them() -> None:
    client = Client()
    respond.fail(taken("fallback"), UpstreamUnavailable("Away."), DIALECTS["openai"], client)
    assert (client.status, client.headers["tenfold-degraded"]) == (502, "fallback")


def test_a_stale_answer_is_marked_with_its_age() -> None:
    call = taken("stale")
    call.cache_state, call.cached_age_s = "hit", 5000
    assert told(call)["tenfold-cache"] == "hit; layer=memory; age=5000; stale"


def test_a_fresh_answer_is_not_marked() -> None:
    call = taken("fallback")  # as it was when the answer was kept
    call.cache_state = "hit"
    assert told(call)["tenfold-cache"] == "hit; layer=memory; age=0"


def test_a_call_that_waits_tells_where() -> None:
    call = taken("queue")
    call.ticket = f"tkt_{uuid7().hex}"
    headers = told(call)
    assert (headers["tenfold-ticket"], headers["location"]) == (call.ticket, f"/api/v1/tickets/{call.ticket}")
