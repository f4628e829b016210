"""Log lines: one JSON object each, whole, without content or secrets; a reader that is stuck stops nobody."""

import logging
import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import json, structs

from tenfold.app.telemetry import logs
from tenfold.app.telemetry.logs import CallLog, JsonFormatter
from tenfold.app.telemetry.names import attributes
from tenfold.core.call import CallOptions
from tenfold.core.errors import ModelNotFound
from tenfold.core.usage import Usage
from tests.telemetry.calls import ACME, SECRETS, finished


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    yield read, write
    os.close(read)
    os.close(write)


def read_all(descriptor: int) -> bytes:
    found = b""
    while select.select([descriptor], [], [], 0)[0] and (block := os.read(descriptor, 65536)):
        found += block
    return found


def lines(text: bytes) -> list[dict[str, Any]]:
    assert text.endswith(b"\n")
    return [json.decode(line, type=dict[str, Any]) for line in text.splitlines()]


# -- the line of a call ----------------------------------------------------------------------


def test_the_line_of_a_call(pipe: tuple[int, int]) -> None:
    call = finished(upstream_request_id="up-1", options=CallOptions(feature="search", task="t1"))
    CallLog(pipe[1]).take([call])
    assert lines(read_all(pipe[0])) == [
        {
            "time": "2026-01-01T00:00:00.250Z",
            "level": "info",
            "message": "call",
            "tenfold.request_id": call.request_id,
            "tenfold.tenant": "acme",
            "tenfold.key_id": str(ACME.key_id),
            "tenfold.dialect": "openai",
            "tenfold.cache": "bypass",
            "tenfold.status": "ok",
            "tenfold.cost_usd": "0.000018",
            "tenfold.feature": "search",
            "tenfold.task": "t1",
            "tenfold.upstream_request_id": "up-1",
            "http.response.status_code": 200,
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "main",
            "gen_ai.request.model": "m",
            "gen_ai.response.model": "m-2026",
            "gen_ai.usage.input_tokens": 12,
            "gen_ai.usage.output_tokens": 3,
            "duration_ms": 500.0,
            "first_byte_ms": 200.0,
        }
    ]


def test_what_is_not_known_is_left_out(pipe: tuple[int, int]) -> None:
    call = finished(usage=None, cost_nano=None, provider=None, upstream_model=None, first_byte=None, status="error")
    call.error, call.http_status = ModelNotFound("There is none."), 404
    CallLog(pipe[1]).take([call])
    [line] = lines(read_all(pipe[0]))
    assert line["error.type"] == "model_not_found"
    assert line["http.response.status_code"] == 404
    assert line.keys().isdisjoint({"gen_ai.usage.input_tokens", "tenfold.cost_usd", "gen_ai.provider.name"})
    assert None not in line.values()


def test_names_are_those_of_the_spans() -> None:
    """The log writes them as a type, the spans as attributes: the two must not drift apart."""
    call = finished(
        usage=Usage(input_tokens=1, output_tokens=1),
        estimated=True,
        error=ModelNotFound("x"),
        degraded=("fallback", "stale"),
        attempts=2,
    )
    spans_alone = {"tenfold.tenant_id", "tenfold.provider"}
    log_fields = {field.encode_name for field in structs.fields(logs.CallLine)}
    assert attributes(call).keys() - log_fields == spans_alone


def test_the_steps_of_a_fallback_chain_are_told(pipe: tuple[int, int]) -> None:
    call = finished(degraded=("fallback", "stale"), attempts=2)
    CallLog(pipe[1]).take([call])
    [line] = lines(read_all(pipe[0]))
    assert (line["tenfold.degraded"], line["tenfold.attempts"]) == ("fallback,stale", 2)
    assert attributes(call)["tenfold.degraded"] == "fallback,stale"


def test_no_content_and_no_secret_is_written(pipe: tuple[int, int]) -> None:
    CallLog(pipe[1]).take([finished()])
    text = read_all(pipe[0]).decode()
    assert text
    assert not [secret for secret in SECRETS if secret in text]


def test_a_name_of_any_length_or_kind_makes_one_bounded_line(pipe: tuple[int, int]) -> None:
    CallLog(pipe[1]).take([finished(model='"\n\\\x00' + "x" * 100_000)])
    text = read_all(pipe[0])
    assert text.count(b"\n") == 1
    assert len(text) < 4096
    assert lines(text)[0]["gen_ai.request.model"].startswith('"\n\\\x00x')


# -- writing ---------------------------------------------------------------------------------


def test_a_reader_that_is_stuck_costs_lines_and_nothing_else(pipe: tuple[int, int]) -> None:
    log = CallLog(pipe[1], max_pending_bytes=100_000)
    for _ in range(100):
        log.take([finished() for _ in range(10)])
    assert 0 < log.dropped < 1000
    found = lines(read_whole(pipe[0], log))
    assert len(found) + log.dropped == 1000
    log.take([finished()])
    assert len(lines(read_all(pipe[0]))) == 1


def read_whole(descriptor: int, log: CallLog) -> bytes:
    """What the reader gets when it goes on, until nothing is pending."""
    found = b""
    while block := read_all(descriptor):
        found += block
        log.flush()
    return found


def test_lines_are_never_cut_by_those_of_others(pipe: tuple[int, int]) -> None:
    """Workers and other loggers write to the same output, also while this one waits for room."""
    log = CallLog(pipe[1])
    for _ in range(20):
        log.take([finished() for _ in range(20)])
    found = b""
    for _ in range(20):
        found += read_all(pipe[0])
        os.write(pipe[1], b'{"other":1}\n')
        log.flush()
    read = lines(found + read_all(pipe[0]))
    assert len(read) == 420
    assert sum("other" in line for line in read[:400]) > 1


def test_a_reader_that_is_gone_stops_nobody() -> None:
    read, write = os.pipe()
    os.close(read)
    log = CallLog(write)
    log.take([finished()])
    log.take([finished()])
    os.close(write)


def test_calls_can_be_written_to_a_file(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        log = CallLog(file.fileno())
        log.take([finished() for _ in range(500)])
    assert len(lines((tmp_path / "log").read_bytes())) == 500


# -- the other lines -------------------------------------------------------------------------


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("tenfold.x", logging.WARNING, "x.py", 1, message, args, None)
    made.created = 1_767_225_600.25
    vars(made).update(extra)
    return made


def test_a_line_of_the_log() -> None:
    assert json.decode(JsonFormatter().format(record("%d calls", 3, path="/v1", taskName="t"))) == {
        "time": "2026-01-01T00:00:00.250Z",
        "level": "warning",
        "logger": "tenfold.x",
        "message": "3 calls",
        "path": "/v1",
    }


def test_a_stack_stays_in_its_line() -> None:
    made = record("failed")
    try:
        raise RuntimeError("a bug")
    except RuntimeError:
        made.exc_info = sys.exc_info()
    text = JsonFormatter().format(made)
    assert "\n" not in text
    assert "RuntimeError: a bug" in json.decode(text)["exception"]


def test_the_log_of_the_process_goes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    root.handlers = []
    try:
        logs.configure("warning")
        logging.getLogger("tenfold.y").info("quiet")
        logging.getLogger("tenfold.y").error('loud "and" clear\n')
    finally:
        root.handlers = handlers
        root.setLevel(level)
    [line] = lines(capsys.readouterr().out.encode())
    assert (line["level"], line["message"]) == ("error", 'loud "and" clear\n')
