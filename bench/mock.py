"""Compiles and runs the mock upstream (mock_upstream.c), and asks it how many completions it served."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from bench.calls import Targets, plain_targets
from bench.processes import BenchError, find, run, running, tail, wait_for

SOURCE = Path(__file__).with_name("mock_upstream.c")


@dataclass(frozen=True, kw_only=True)
class Mock:
    program: Path
    port: int

    @property
    def targets(self) -> Targets:
        return plain_targets(self.port)

    def served(self) -> int:
        """Completions so far: tells a cache hit from a call that went through."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", "/")
            return int(connection.getresponse().read())
        finally:
            connection.close()


@contextmanager
def mock_upstream(folder: Path, core: int | None) -> Iterator[Mock]:
    """Builds it in `folder` and runs it until the block ends. Raises BenchError."""
    compiler = find("cc") or find("gcc") or find("clang")
    if compiler is None:
        raise BenchError("no C compiler for the mock upstream: install gcc (tools/install_bench_tools.sh does)")
    program, output = folder / "mock_upstream", folder / "mock_upstream.log"
    run([compiler, "-O2", "-std=gnu11", "-o", str(program), str(SOURCE)], timeout_s=60)
    with running([str(program), "0"], core=core, output=output):
        if not wait_for(lambda: "listening" in tail(output), 10):
            raise BenchError(f"the mock upstream did not start: {tail(output)}")
        yield Mock(program=program, port=int(tail(output).split()[-1]))
