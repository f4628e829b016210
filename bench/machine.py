"""What a table must say of the machine it was made on."""

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Machine:
    when: str
    cpu: str
    cores: int
    memory_gb: float
    system: str
    python: str
    load_before: float  # runnable tasks, one minute's average: other work on the machine moves the figures
    gateway_core: int | None
    load_core: int | None

    def __str__(self) -> str:
        pins = "not pinned: there is only one core"
        if self.gateway_core is not None:
            pins = f"gateways on core {self.gateway_core}, wrk and the mock on core {self.load_core}"
        return (
            f"{self.when}; {self.cores} x {self.cpu}, {self.memory_gb:.0f} GB, {self.system}, Python {self.python}; "
            f"{pins}; load before: {self.load_before:.1f}"
        )


def this_machine(gateway_core: int | None, load_core: int | None) -> Machine:
    return Machine(
        when=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        cpu=_value(Path("/proc/cpuinfo"), "model name") or platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_gb=round(int(_value(Path("/proc/meminfo"), "MemTotal").split()[0]) / 1e6, 1),
        system=f"{_distribution()}, Linux {platform.release()}",
        python=platform.python_version(),
        load_before=round(os.getloadavg()[0], 1),
        gateway_core=gateway_core,
        load_core=load_core,
    )


def cores() -> tuple[int | None, int | None]:
    """One core for the gateway and another for the load; nothing is pinned where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else (None, None)


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return "Linux"


def _value(file: Path, name: str) -> str:
    for line in file.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
