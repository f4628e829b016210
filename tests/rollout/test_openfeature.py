"""The provider for OpenFeature's SDK against a server that does as the test says: what is kept, for how long, and what
is said while nobody answers. With a real Tenfold: tests/sdk/test_openfeature.py."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import (
    FlagNotFoundError,
    GeneralError,
    InvalidContextError,
    ProviderFatalError,
    ProviderNotReadyError,
    TargetingKeyMissingError,
    TypeMismatchError,
)

from tenfold.rollout.openfeature import MAX_AGE_S, REST_S, TenfoldProvider

A_MOMENT_S = MAX_AGE_S + 0.01
ADA = EvaluationContext("ada", {"plan": "pro"})


class Server:
    """Answers with `status` and `flags`; `asked` are the requests, `connections` how many were opened."""

    def __init__(self) -> None:
        self.status = 200
        self.flags: dict[str, dict[str, Any]] = {}
        self.body: bytes | None = None
        self.hang_up = False
        self.asked: list[dict[str, Any]] = []
        self.connections = 0
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def flag(self, key: str, value: object, **more: Any) -> None:
        self.flags[key] = {"key": key, "value": value, "reason": "STATIC", "variant": "v"} | more

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                server.connections += 1

            def do_POST(self) -> None:
                sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
                server.asked.append({"path": self.path, "body": sent, **dict(self.headers.items())})
                body = (
                    json.dumps({"flags": list(server.flags.values())}).encode() if server.body is None else server.body
                )
                etag = f'"{hash(body)}"'
                same = self.headers.get("if-none-match") == etag and server.status == 200
                self.send_response(304 if same else server.status)
                self.send_header("etag", etag)
                if not same:
                    self.send_header("content-length", str(len(body)))
                self.end_headers()
                if not same:
                    self.wfile.write(body)
                self.close_connection = server.hang_up

            def log_message(self, *_: object) -> None:
                pass

        return Handler


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def provider(server: Server, clock: Clock) -> Iterator[TenfoldProvider]:
    provider = TenfoldProvider(server.url, "tf_key", clock=clock, timeout_s=10)
    yield provider
    provider.shutdown()


def test_it_asks_for_all_flags_of_a_context_at_once(server: Server, provider: TenfoldProvider) -> None:
    server.flag("a", True)
    server.flag("b", "text", variant="large", reason="TARGETING_MATCH", metadata={"revision": 3})
    assert provider.resolve_boolean_details("a", False, ADA).value is True
    told = provider.resolve_string_details("b", "", ADA)
    assert (told.value, told.variant, told.reason, told.flag_metadata) == (
        "text",
        "large",
        "TARGETING_MATCH",
        {"revision": 3},
    )
    (request,) = server.asked
    assert request["path"] == "/ofrep/v1/evaluate/flags"
    assert request["authorization"] == "Bearer tf_key"
    assert request["body"] == {"context": {"targetingKey": "ada", "plan": "pro"}}


def test_a_change_is_seen_after_a_moment(server: Server, provider: TenfoldProvider, clock: Clock) -> None:
    server.flag("a", False)
    assert provider.resolve_boolean_details("a", False, ADA).value is False
    server.flag("a", True)
    assert provider.resolve_boolean_details("a", False, ADA).value is False
    clock.now_s += A_MOMENT_S
    assert provider.resolve_boolean_details("a", False, ADA).value is True
    clock.now_s += A_MOMENT_S
    assert provider.resolve_boolean_details("a", False, ADA).value is True  # 304: what was told stays
    assert ["if-none-match" in request for request in server.asked] == [False, True, True]
    assert server.connections == 1


def test_contexts_are_kept_apart(server: Server, provider: TenfoldProvider) -> None:
    server.flag("a", True)
    for context in (ADA, EvaluationContext("bob"), None, EvaluationContext(), ADA):
        assert provider.resolve_boolean_details("a", False, context).value is True
    assert [request["body"]["context"].get("targetingKey") for request in server.asked] == ["ada", "bob", None]


def test_contexts_have_an_end(server: Server, clock: Clock) -> None:
    provider = TenfoldProvider(server.url, "k", clock=clock, max_contexts=2)
    server.flag("a", True)
    for name in ("1", "2", "3", "1", "3"):
        provider.resolve_boolean_details("a", False, EvaluationContext(name))
    assert [request["body"]["context"]["targetingKey"] for request in server.asked] == ["1", "2", "3", "1"]
    provider.shutdown()


def test_while_nobody_answers_what_was_told_last_goes_on(
    server: Server, provider: TenfoldProvider, clock: Clock
) -> None:
    server.flag("a", True)
    provider.resolve_boolean_details("a", False, ADA)
    server.status = 503
    clock.now_s += A_MOMENT_S
    told = provider.resolve_boolean_details("a", False, ADA)
    assert (told.value, told.reason) == (True, "STALE")
    assert provider.resolve_boolean_details("a", False, ADA).reason == "STALE"
    assert len(server.asked) == 2  # it is not asked at each evaluation
    with pytest.raises(GeneralError):
        provider.resolve_boolean_details("a", False, EvaluationContext("bob"))
    server.status = 200
    clock.now_s += A_MOMENT_S
    told = provider.resolve_boolean_details("a", False, ADA)
    assert (told.value, told.reason) == (True, "STATIC")


def test_where_nobody_listens(clock: Clock) -> None:
    provider = TenfoldProvider("http://127.0.0.1:9", "k", clock=clock)
    with pytest.raises(ProviderNotReadyError):
        provider.initialize(EvaluationContext())
    for pause_s in (0.0, REST_S + 0.01):
        clock.now_s += pause_s
        with pytest.raises(GeneralError):
            provider.resolve_boolean_details("a", False, ADA)


def test_a_kept_connection_that_was_closed_is_none_of_the_callers_business(
    server: Server, provider: TenfoldProvider, clock: Clock
) -> None:
    server.hang_up = True  # without saying so beforehand
    server.flag("a", True)
    for _ in range(3):
        assert provider.resolve_boolean_details("a", False, ADA).reason == "STATIC"
        clock.now_s += A_MOMENT_S
    assert server.connections == 3


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused(server: Server, provider: TenfoldProvider, status: int) -> None:
    server.status = status
    with pytest.raises(ProviderFatalError):
        provider.initialize(EvaluationContext())


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"flags": 1}', b'{"flags": [{}]}', b'{"flags": [1]}'])
def test_what_is_not_tenfold(server: Server, provider: TenfoldProvider, body: bytes) -> None:
    server.body = body
    with pytest.raises(GeneralError):
        provider.resolve_boolean_details("a", False, ADA)


def test_what_the_server_says_of_a_context(server: Server, provider: TenfoldProvider) -> None:
    server.status, server.body = 400, b'{"errorCode": "INVALID_CONTEXT", "errorDetails": "no"}'
    with pytest.raises(InvalidContextError):
        provider.resolve_boolean_details("a", False, ADA)


def test_what_cannot_be_told(provider: TenfoldProvider) -> None:
    with pytest.raises(InvalidContextError):
        provider.resolve_boolean_details("a", False, EvaluationContext("u", {"a": float("nan")}))
    with pytest.raises(InvalidContextError):
        provider.resolve_boolean_details("a", False, EvaluationContext("u", {"a": object()}))  # type: ignore[dict-item]


def test_times_and_lists_are_attributes(server: Server, provider: TenfoldProvider) -> None:
    server.flag("a", True)
    context = EvaluationContext("u", {"since": datetime(2026, 1, 1, tzinfo=UTC), "tags": ("a", "b"), "more": {"x": 1}})
    provider.resolve_boolean_details("a", False, context)
    assert server.asked[0]["body"]["context"] == {
        "targetingKey": "u",
        "since": "2026-01-01T00:00:00+00:00",
        "tags": ["a", "b"],
        "more": {"x": 1},
    }


def test_types(server: Server, provider: TenfoldProvider) -> None:
    values = {"boolean": True, "string": "x", "integer": 3, "float": 2.5, "object": {"a": [1]}}
    for name, value in values.items():
        server.flag(name, value)
    fits = {
        "boolean": {"boolean"},
        "string": {"string"},
        "integer": {"integer"},
        "float": {"integer", "float"},
        "object": {"object"},
    }
    for wanted, good in fits.items():
        for name in values:
            resolve = getattr(provider, f"resolve_{wanted}_details")
            if name in good:
                assert resolve(name, None, ADA).value == values[name]
            else:
                with pytest.raises(TypeMismatchError):
                    resolve(name, None, ADA)
    assert isinstance(provider.resolve_float_details("integer", 0.0, ADA).value, float)


def test_a_flag_that_is_not_there_and_one_that_failed(server: Server, provider: TenfoldProvider) -> None:
    server.flags["split"] = {"key": "split", "errorCode": "TARGETING_KEY_MISSING", "errorDetails": "no key"}
    server.flags["odd"] = {"key": "odd", "errorCode": "SOMETHING_NEW"}
    for key, error in (("none", FlagNotFoundError), ("split", TargetingKeyMissingError), ("odd", GeneralError)):
        with pytest.raises(error):
            provider.resolve_boolean_details(key, False, ADA)


async def test_async_methods_do_not_hold_the_loop(server: Server, provider: TenfoldProvider) -> None:
    server.flag("a", True)
    server.flag("n", 1)
    server.flag("s", "x")
    server.flag("o", {})
    assert (await provider.resolve_boolean_details_async("a", False, ADA)).value is True
    assert (await provider.resolve_integer_details_async("n", 0, ADA)).value == 1
    assert (await provider.resolve_float_details_async("n", 0.0, ADA)).value == 1.0
    assert (await provider.resolve_string_details_async("s", "", ADA)).value == "x"
    assert (await provider.resolve_object_details_async("o", {}, ADA)).value == {}
    assert len(server.asked) == 1


def test_many_threads_ask_once(server: Server, provider: TenfoldProvider) -> None:
    server.flag("a", True)
    threads = [
        threading.Thread(target=provider.resolve_boolean_details, args=("a", False, ADA), daemon=True) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 1


@pytest.mark.parametrize("address", ["", "tenfold.example", "ftp://tenfold.example", "http://"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        TenfoldProvider(address, "k")


def test_an_address_below_a_path(server: Server) -> None:
    provider = TenfoldProvider(f"{server.url}/behind/", "k")
    provider.initialize(EvaluationContext())
    assert server.asked[0]["path"] == "/behind/ofrep/v1/evaluate/flags"
    provider.shutdown()
