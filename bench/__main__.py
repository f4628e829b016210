"""`python -m bench`: the command line of `make bench`."""

import argparse
import fcntl
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench import load, peers
from bench.gateways import all_gateways
from bench.machine import cores, this_machine
from bench.measure import FULL, QUICK
from bench.processes import BenchError
from bench.report import Report, as_json, as_markdown
from bench.session import MEASURES, Session

_LOCK_S = 1800.0

_HELP = """\
Measures what Tenfold costs beside a bare nginx, and beside LiteLLM's proxy and Portkey's gateway where they are
installed, in one run: each gateway on one core, wrk and a mock upstream in C on another. Tables go to stdout,
progress to stderr. docs/benchmarks.md says what each measure means.

measures:
""" + "\n".join(f"  {name:<6} {meaning}" for name, meaning in MEASURES.items())


class _Progress:
    """One line per step on stderr, with the seconds since the start."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def __call__(self, text: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - self._begun:4.0f} s] {text}\n")
        sys.stderr.flush()


def main(arguments: Sequence[str]) -> int:
    options = _parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # unwinds, so that all is stopped
    say = _Progress()
    try:
        report = _run(options, say, arguments)
    except BenchError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("bench: interrupted; everything it had started is stopped\n")
        return 130
    if options.json:
        options.json.write_text(as_json(report) + "\n")
        say(f"all figures are in {options.json}")
    sys.stdout.write(as_markdown(report))
    return 1 if any(results.failed for results in report.gateways) else 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = tuple(all_gateways(None))
    parser.add_argument(
        "--quick", action="store_true", help="one short round of each measure (for a look, not for a table)"
    )
    parser.add_argument(
        "--only", type=_some_of(tuple(MEASURES)), default=tuple(MEASURES), metavar="M,...", help="these measures"
    )
    parser.add_argument(
        "--gateways", type=_some_of(names), default=names, metavar="G,...", help=f"of {', '.join(names)}"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    parser.add_argument("--peers", type=Path, metavar="DIR", help="where --install-peers has put the other gateways")
    parser.add_argument(
        "--install-peers", type=Path, metavar="DIR", help="install LiteLLM and Portkey there first (700 MB)"
    )
    parser.add_argument(
        "--lock",
        type=Path,
        metavar="FILE",
        default=os.environ.get("BENCH_LOCK"),
        help="hold a flock on FILE while timing, for machines shared with other benchmarks  [env: BENCH_LOCK]",
    )
    return parser.parse_args(arguments)


def _some_of(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        asked = [name.strip() for name in text.split(",")]
        if unknown := sorted(set(asked) - set(known)):
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(known)}")
        return tuple(name for name in known if name in asked)

    return parse


def _run(options: argparse.Namespace, say: _Progress, arguments: Sequence[str]) -> Report:
    if not Path("/proc/self/stat").exists():
        raise BenchError("CPU and memory are read from /proc: this needs Linux")
    if reason := load.missing():
        raise BenchError(reason)
    if options.install_peers:
        peers.install(options.install_peers.absolute(), say)
    folder = options.install_peers or options.peers
    gateways = all_gateways(folder.absolute() if folder else None)
    if reason := gateways["nginx"].missing():
        raise BenchError(f"{reason}; all figures are told in units of nginx")
    chosen = [gateways[name] for name in options.gateways]
    left_out = {gateway.name: reason for gateway in chosen if (reason := gateway.missing())}
    for name, reason in left_out.items():
        say(f"{name} is left out: {reason}")
    gateway_core, load_core = cores()
    machine = this_machine(gateway_core, load_core)
    with tempfile.TemporaryDirectory(prefix="tenfold-bench-") as work:
        session = Session(
            work=Path(work),
            gateway_core=gateway_core,
            load_core=load_core,
            duration=QUICK if options.quick else FULL,
            measures=options.only,
            quiet=lambda: _locked(options.lock, say),
            say=say,
        )
        results = session.run([gateway for gateway in chosen if gateway.name not in left_out])
    command = f'make bench BENCH="{shlex.join(arguments)}"' if arguments else "make bench"
    return Report(machine=machine, command=command, left_out=left_out, gateways=results)


@contextmanager
def _locked(path: Path | None, say: _Progress) -> Iterator[None]:
    """Holds the lock while timing; waits for it half an hour at most."""
    if path is None:
        yield
        return
    with path.open("a") as file:
        until = time.monotonic() + _LOCK_S
        waiting = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise BenchError(f"{path} is held by somebody else") from None
                if not waiting:
                    say(f"waiting for {path}")
                    waiting = True
                time.sleep(0.1)
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
