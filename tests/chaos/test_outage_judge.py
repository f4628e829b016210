"""The judge: what is right passes, and each thing that must not be is found. A judge that cannot condemn proves
nothing. And the matrix: it is whole, and its configuration is one.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec import json

from tenfold.app.chaos.http_client import Answer
from tenfold.app.chaos.outages.cells import (
    CLIENTS,
    PROVIDER_DIALECTS,
    SHORT,
    TEXT,
    TROUBLES,
    Client,
    body_of,
    cells,
    configuration,
)
from tenfold.app.chaos.outages.judge import FORBIDDEN, Verdict, judge
from tenfold.app.faults.answers import PIECES
from tenfold.app.faults.spec import ENDINGS, SHAPES, parse
from tenfold.app.faults.wires import ANTHROPIC, OPENAI, Frames, Said
from tenfold.app.settings import load
from tenfold.core.errors import RateLimited, TenfoldError, UpstreamUnavailable
from tenfold.core.usage import Usage
from tenfold.edge.dialects.anthropic import errors as anthropic_errors
from tenfold.edge.dialects.openai import errors as openai_errors

SAID = Said(model="m", pieces=PIECES, usage=Usage(input_tokens=1, output_tokens=12))
WIRES = {"openai": OPENAI, "anthropic": ANTHROPIC}

both = pytest.mark.parametrize("client", CLIENTS)


def verdict(client: Client, body: bytes, *, stream: bool, late: bool = False, **more: Any) -> Verdict:
    answer = Answer(**{"status": 200, "complete": True, "body": body, **more})
    return judge(client, answer, [TEXT], stream=stream, is_late=late)


def frames_of(client: Client) -> Frames:
    return WIRES[client].frames(SAID)


def whole(client: Client, text: str = TEXT) -> bytes:
    return json.encode(WIRES[client].whole(Said(model="m", pieces=[text], usage=None)))


def error(client: Client, what: TenfoldError) -> bytes:
    return openai_errors.encode_error(what) if client == "openai" else anthropic_errors.encode_error(what, "req_1")


def error_frame(client: Client, what: TenfoldError) -> bytes:
    return openai_errors.error_frame(what) if client == "openai" else anthropic_errors.error_frame(what, "req_1")


def restart(client: Client) -> bytes:
    return openai_errors.restart_frame("p", "m", 1) if client == "openai" else anthropic_errors.restart_frame("p", "m")


@both
def test_good_replies_pass(client: Client) -> None:
    assert verdict(client, whole(client), stream=False).outcome == "good"
    assert verdict(client, b"".join(frames_of(client).all), stream=True).outcome == "good"


@both
def test_a_stream_that_began_anew_passes_when_the_second_one_is_whole(client: Client) -> None:
    frames = frames_of(client)
    begun = b"".join(frames.all[:6])
    assert verdict(client, begun + restart(client) + b"".join(frames.all), stream=True).outcome == "good"
    assert verdict(client, begun + restart(client) + b"".join(frames.all[:9]), stream=True).outcome == "truncated"


@both
def test_any_cut_of_a_stream_is_found(client: Client) -> None:
    frames = frames_of(client).all
    for end in range(len(frames)):
        assert verdict(client, b"".join(frames[:end]), stream=True).outcome == "truncated"
        told = b"".join(frames[:end]) + error_frame(client, UpstreamUnavailable("lost"))
        assert verdict(client, told, stream=True).outcome == "stream_error"


@both
def test_text_that_is_missing_from_a_stream_that_ends_in_order_is_found(client: Client) -> None:
    frames = frames_of(client)
    short = Frames(opening=frames.opening, text=frames.text[:5], closing=frames.closing)
    assert verdict(client, b"".join(short.all), stream=True).outcome == "truncated"
    gap = Frames(opening=frames.opening, text=frames.text[:4] + frames.text[6:], closing=frames.closing)
    assert verdict(client, b"".join(gap.all), stream=True).outcome == "wrong"


@both
def test_a_frame_that_is_no_json_is_found(client: Client) -> None:
    frames = frames_of(client).all
    frames[5] = frames[5].replace(b"{", b"{,", 1)
    assert verdict(client, b"".join(frames), stream=True).outcome == "unreadable"


@both
def test_a_connection_that_is_cut_is_found(client: Client) -> None:
    everything = b"".join(frames_of(client).all)
    assert verdict(client, everything, stream=True, complete=False).outcome == "truncated"
    assert verdict(client, whole(client)[:40], stream=False, complete=False).outcome == "truncated"
    assert verdict(client, b"", stream=False, status=0, complete=False).outcome == "untyped"


@both
def test_whole_replies_that_lack_something_are_found(client: Client) -> None:
    assert verdict(client, whole(client, TEXT[:20]), stream=False).outcome == "truncated"
    assert verdict(client, whole(client, "else"), stream=False).outcome == "wrong"
    for body in (b"", b"{}", b"[]", b"<html>", b'{"error": {"message": "m"}}'):
        assert verdict(client, body, stream=False).outcome == "wrong"


@both
def test_errors_are_typed_or_not(client: Client) -> None:
    for what in (UpstreamUnavailable("lost"), RateLimited("slower", retry_after_s=1)):
        found = verdict(client, error(client, what), stream=False, status=what.status)
        assert found == Verdict(outcome="error", detail=str(what.status))
    internal = TenfoldError("Tenfold failed to handle this request; it has been logged.")
    assert verdict(client, error(client, internal), stream=False, status=500).outcome == "untyped"
    assert verdict(client, error_frame(client, internal), stream=True).outcome == "untyped"
    for body in (b"", b"Internal Server Error", b"{}", b'{"error": {}}', b'{"error": "text"}'):
        assert verdict(client, body, stream=False, status=500).outcome == "untyped"


@both
def test_what_comes_too_late_hangs(client: Client) -> None:
    assert verdict(client, whole(client), stream=False, late=True).outcome == "hang"


def test_what_must_not_be() -> None:
    assert {"truncated", "hang", "untyped", "wrong"} == FORBIDDEN


# -- the matrix


def test_every_fault_is_in_the_matrix() -> None:
    named = {fault.name for trouble in TROUBLES for fault in parse(trouble.spec)}
    shapes_of_load = {"pace", "tokens", "capacity"}
    assert named == {*SHAPES, *ENDINGS} - shapes_of_load
    assert {trouble.spec for trouble in TROUBLES} >= SHORT


def test_every_combination_is_in_the_matrix_once() -> None:
    matrix = cells()
    assert len(matrix) == len(set(matrix)) == len(TROUBLES) * len(PROVIDER_DIALECTS) * len(CLIENTS) * (2 + 4)
    assert all(one.name != other.name or one.trouble.schema for one, other in pairwise(matrix))


def test_the_configuration_is_one(tmp_path: Path) -> None:
    file = tmp_path / "tenfold.toml"
    matrix = cells()
    file.write_text(configuration(matrix, 8000), encoding="utf-8")
    settings = load(file, tmp_path, {})
    assert {body_of(cell)["model"] for cell in matrix} == set(settings.routes)
    for cell in matrix:
        models = settings.routes[cell.route].models
        kinds = [settings.providers[settings.models[model].provider or ""].kind for model in models]
        assert kinds[0] == cell.provider
        assert len(set(kinds)) == len(kinds) == (1 if cell.policy == "single" else 2)
