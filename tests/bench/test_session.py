"""A whole run, as short as wrk allows: figures come out, failures are told, nothing stays."""

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from bench.calls import Upstream, chat_body, plain_targets
from bench.gateways import Nginx, started
from bench.gateways.base import Gateway, Launch, Place
from bench.load import drive
from bench.measure import QUICK
from bench.mock import Mock
from bench.processes import BenchError, spawn, stop
from bench.procstat import tree
from bench.results import Cold, Compared, Failed, InFlight
from bench.session import Session


class Stubborn(Gateway):
    """A gateway that refuses to start."""

    name: ClassVar[str] = "stubborn"
    in_flight_levels: ClassVar[tuple[int, ...]] = (1,)

    def missing(self) -> str | None:
        return None

    def version(self) -> str:
        return "1"

    def launch(self, place: Place) -> Launch:
        return Launch(command=[sys.executable, "-c", "raise SystemExit('will not')"], targets=plain_targets(place.port))


class HalfDead(Stubborn):
    """Runs the mock as a gateway that has lost its slow upstream."""

    name: ClassVar[str] = "half-dead"

    def __init__(self, mock_program: Path) -> None:
        self._program = mock_program

    def launch(self, place: Place) -> Launch:
        dead = plain_targets(9)[Upstream.AFTER_1_S]
        return Launch(
            command=[str(self._program), str(place.port)],
            targets={**plain_targets(place.port), Upstream.AFTER_1_S: dead},
        )


class WithDatabase(Stubborn):
    """Runs the mock as a gateway, with a process beside it that does not end with it."""

    name: ClassVar[str] = "with-database"

    def __init__(self, mock_program: Path, database: int) -> None:
        self._program = mock_program
        self._database = database

    def launch(self, place: Place) -> Launch:
        return Launch(command=[str(self._program), str(place.port)], targets=plain_targets(place.port))

    def companions(self, folder: Path) -> Sequence[int]:
        return [self._database]


@pytest.mark.usefixtures("wrk")
def test_wrk_against_the_mock_gives_figures(mock: Mock) -> None:
    looked = []
    found = drive(
        mock.targets[Upstream.AT_ONCE],
        chat_body("m"),
        connections=2,
        seconds=1,
        core=None,
        look=lambda: looked.append(True),
    )
    assert found.answered > found.errors  # a machine that stands still for seconds makes wrk count timeouts
    assert found.per_second == pytest.approx(found.answered / found.seconds, rel=0.01)
    assert found.p50_ms <= found.p95_ms <= found.p99_ms <= found.max_ms
    assert looked


@pytest.mark.usefixtures("wrk")
def test_wrk_without_a_server_is_an_error_not_a_figure() -> None:
    target = plain_targets(9)[Upstream.AT_ONCE]
    with pytest.raises(BenchError, match="no figures"):
        drive(target, b"{}", connections=1, seconds=1, core=None)


@pytest.mark.usefixtures("wrk")
def test_a_run_measures_what_can_be_measured(tmp_path: Path, mock: Mock) -> None:
    if reason := Nginx().missing():
        pytest.skip(reason)
    said: list[str] = []
    session = Session(
        work=tmp_path,
        gateway_core=None,
        load_core=None,
        duration=replace(QUICK, unit_s=1, gateway_s=1, in_flight_s=2),
        measures=["c1", "conc"],
        quiet=nullcontext,
        say=said.append,
    )
    nginx = Nginx()
    nginx.in_flight_levels = (2,)  # type: ignore[misc]  # few, as this is no benchmark
    results, stubborn = session.run([nginx, Stubborn()])
    assert results.name == "nginx"
    compared, in_flight = results.measures["c1"], results.measures["conc"]
    assert isinstance(compared, Compared)
    assert compared.ratio > 0
    assert compared.upstream_calls_each == pytest.approx(1, abs=0.1)
    assert isinstance(in_flight, InFlight)
    assert in_flight.levels[0].sample.load.p50_ms >= 1000
    assert results.idle
    assert results.failed == {}
    assert "will not" in stubborn.failed["start"]
    assert any("stubborn could not be measured" in line for line in said)


def test_a_measure_that_fails_leaves_the_others_alone(tmp_path: Path, mock: Mock) -> None:
    if reason := Nginx().missing():
        pytest.skip(reason)
    session = Session(
        work=tmp_path,
        gateway_core=None,
        load_core=None,
        duration=QUICK,
        measures=["cold", "conc"],
        quiet=nullcontext,
        say=lambda _: None,
    )
    [results] = session.run([HalfDead(mock.program)])
    cold, in_flight = results.measures["cold"], results.measures["conc"]
    assert isinstance(cold, Cold)
    assert len(cold.warm_s) == QUICK.warm_starts
    assert isinstance(in_flight, Failed)
    assert "half-dead gives no reply" in in_flight.reason


def test_a_database_that_outlives_its_gateway_is_waited_for_and_then_ended(
    tmp_path: Path, mock: Mock, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.gateways.base._COMPANIONS_STOP_S", 0.1)
    database = spawn([sys.executable, "-c", "import time; time.sleep(600)"], core=None, output=tmp_path / "log")
    try:
        with started(WithDatabase(mock.program, database.pid), folder, mock.port, None) as running:
            assert running.companion_pids() == [database.pid]
            assert running.pids() == [running.pid]
        assert database.wait(30) == -9
        assert tree([running.pid]) == []
    finally:
        stop(database)
