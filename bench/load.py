"""Load by wrk from one core: how many calls, how many failed, how long they took. Knows nothing of gateways."""

import json
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.calls import Target
from bench.processes import BenchError, find, spawn, stop, tail

_OVERTIME_S = 30.0  # wrk ends a little late when replies are slow; past this it hangs
_LOOK_EACH_S = 0.2

# wrk gives its figures to done(); one JSON line is easier to read than its report. Times are microseconds.
_SCRIPT = r"""
local file = io.open("%(body)s", "rb")
wrk.method, wrk.body = "POST", file:read("*a")
file:close()
for name, value in pairs(%(headers)s) do wrk.headers[name] = value end
done = function(summary, latency)
  local e = summary.errors
  local counts = string.format('"requests":%%d,"us":%%d,"refused":%%d,"broken":%%d',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout)
  local times = string.format('"p50":%%d,"p95":%%d,"p99":%%d,"max":%%d',
    latency:percentile(50), latency:percentile(95), latency:percentile(99), latency.max)
  io.write("\nFIGURES {" .. counts .. "," .. times .. "}\n")
end
"""


@dataclass(frozen=True, kw_only=True)
class Load:
    """One run of wrk. `answered` counts 2xx replies, `errors` other statuses, broken connections and timeouts."""

    connections: int
    seconds: float
    answered: int
    errors: int
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


def missing() -> str | None:
    return None if find("wrk") else "wrk is not installed (tools/install_bench_tools.sh installs it)"


def drive(
    target: Target,
    body: bytes,
    *,
    connections: int,
    seconds: int,
    core: int | None,
    timeout_s: int = 10,
    look: Callable[[], None] = lambda: None,
) -> Load:
    """`look` is called a few times a second while it runs. Raises BenchError when wrk gives no figures."""
    with tempfile.TemporaryDirectory(prefix="tenfold-wrk-") as name:
        folder = Path(name)
        (folder / "body").write_bytes(body)
        headers = {"Content-Type": "application/json", **target.headers}
        script = _SCRIPT % {"body": folder / "body", "headers": _lua_table(headers)}
        (folder / "load.lua").write_text(script)
        command = [
            *("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", f"{timeout_s}s"),
            *("-s", str(folder / "load.lua"), target.url),
        ]
        output = folder / "output"
        process = spawn(command, core=core, output=output)
        try:
            _wait(process, seconds + timeout_s + _OVERTIME_S, look)
        finally:
            stop(process)
        return _read(tail(output, 2000), connections)


def _wait(process: subprocess.Popen[bytes], limit_s: float, look: Callable[[], None]) -> None:
    waited_s = 0.0
    while waited_s < limit_s:
        try:
            process.wait(_LOOK_EACH_S)
            return
        except subprocess.TimeoutExpired:
            waited_s += _LOOK_EACH_S
            look()
    raise BenchError(f"wrk did not end within {limit_s:.0f} s")


def _read(output: str, connections: int) -> Load:
    _, found, line = output.rpartition("FIGURES ")
    if not found:
        raise BenchError(f"wrk gave no figures: {output[-300:]}")
    figures: dict[str, int] = json.loads(line)
    answered = figures["requests"] - figures["refused"]
    seconds = figures["us"] / 1e6
    return Load(
        connections=connections,
        seconds=round(seconds, 3),
        answered=answered,
        errors=figures["refused"] + figures["broken"],
        per_second=round(answered / seconds, 1),
        p50_ms=figures["p50"] / 1000,
        p95_ms=figures["p95"] / 1000,
        p99_ms=figures["p99"] / 1000,
        max_ms=figures["max"] / 1000,
    )


def _lua_table(values: dict[str, str]) -> str:
    # A JSON string without control characters is a Lua string.
    return "{" + ", ".join(f"[{json.dumps(name)}] = {json.dumps(value)}" for name, value in values.items()) + "}"
