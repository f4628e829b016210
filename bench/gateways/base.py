"""What the harness must know of a gateway: whether it is here, how it is started, how it is asked."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import ClassVar

from bench.calls import Target, Targets, Upstream, chat_body, post
from bench.processes import BenchError, free_port, kill, running, tail, wait_for
from bench.procstat import tree

_START_S = 120.0
_ASK_AGAIN_S = 0.01
_COMPANIONS_STOP_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one start happens: a folder of its own, a port of its own, and the mock to send calls to."""

    folder: Path
    port: int
    mock_port: int
    cache: bool = False

    def mock_url(self, upstream: Upstream) -> str:
        return f"http://127.0.0.1:{self.mock_port}{upstream.value}"


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A command that serves in the foreground, and how to ask what it serves."""

    command: Sequence[str]
    targets: Targets
    environment: Mapping[str, str] = field(default_factory=dict)


class Gateway(ABC):
    """A product to be measured; the values below say how much of each measure it is given."""

    name: ClassVar[str]
    caches: ClassVar[bool] = False  # it has an exact cache that can be measured
    in_flight_levels: ClassVar[tuple[int, ...]]  # of calls at a 1 s upstream; the first that fails ends the measure
    warm_up_s: ClassVar[int] = 3
    # Calls unfinished at the end of a run cost CPU and are not counted: slow gateways need longer runs to be fair.
    stretch: ClassVar[int] = 1

    @abstractmethod
    def missing(self) -> str | None:
        """Why it cannot be measured here; None when it can."""

    @abstractmethod
    def version(self) -> str: ...

    @abstractmethod
    def launch(self, place: Place) -> Launch:
        """Writes what the command needs into the place's folder."""

    def companions(self, folder: Path) -> Sequence[int]:
        """Roots of the processes it started outside its own tree, such as a database."""
        return ()


@dataclass(frozen=True, kw_only=True)
class Running:
    """A started gateway that has answered its first call."""

    gateway: Gateway
    folder: Path
    pid: int
    targets: Targets
    ready_after_s: float

    def pids(self) -> list[int]:
        return tree([self.pid])

    def companion_pids(self) -> list[int]:
        return tree(self.gateway.companions(self.folder))


@contextmanager
def started(
    gateway: Gateway, folder: Path, mock_port: int, core: int | None, *, cache: bool = False
) -> Iterator[Running]:
    """Runs it until the block ends, its companions too. Raises BenchError when it answers no call."""
    folder.mkdir(exist_ok=True)
    place = Place(folder=folder, port=free_port(), mock_port=mock_port, cache=cache)
    launch = gateway.launch(place)
    output = folder / "output.log"
    companions: list[int] = []
    begun = time.monotonic()
    try:
        with running(
            launch.command, core=core, output=output, folder=folder, environment=launch.environment
        ) as process:
            try:
                while problem := _first_call(launch.targets[Upstream.AT_ONCE]):
                    if process.poll() is not None or time.monotonic() - begun > _START_S:
                        raise BenchError(f"{gateway.name} did not start: {problem}; {tail(output)}")
                    time.sleep(_ASK_AGAIN_S)
                yield Running(
                    gateway=gateway,
                    folder=folder,
                    pid=process.pid,
                    targets=launch.targets,
                    ready_after_s=round(time.monotonic() - begun, 3),
                )
            finally:
                companions += tree(gateway.companions(folder))
    finally:
        # A database ends by itself after the gateway it serves; its files can be removed only then.
        if not wait_for(lambda: not tree(companions), _COMPANIONS_STOP_S):
            kill(tree(companions))


def _first_call(target: Target) -> str | None:
    """None when it was answered, else why not."""
    try:
        status, reply = post(target, chat_body(target.model))
    except (OSError, HTTPException) as error:
        return repr(error)
    return None if status == 200 else f"status {status}: {reply[:300].decode(errors='replace')}"
