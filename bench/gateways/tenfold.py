"""Tenfold as `tenfold up` runs it: key check, receipts in Postgres, metrics and the JSON call log all on; and with rate
limits and budgets that count every call and refuse none."""

import secrets
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from bench.calls import Target, Upstream
from bench.gateways.base import Gateway, Launch, Place
from bench.processes import run
from bench.procstat import parent

_LIMITS = """
[limits]
key_requests_per_minute = 1000000000
key_tokens_per_minute = 1000000000
tenant_requests_per_minute = 1000000000
tenant_concurrency = 1000000
[budgets]
tenant_usd_per_day = "1000000"
tenant_usd_per_month = "1000000"
max_request_usd = "100"
"""

_MODELS = {"mock": Upstream.AT_ONCE, "mock-slow": Upstream.AFTER_1_S, "mock-paced": Upstream.EVENT_EACH_10_MS}


class Tenfold(Gateway):
    name: ClassVar[str] = "tenfold"
    caches: ClassVar[bool] = True  # on by default for calls of temperature 0
    in_flight_levels: ClassVar[tuple[int, ...]] = (1000, 2000, 4000)

    def __init__(self) -> None:
        self._command = str(Path(sys.executable).with_name("tenfold"))

    def missing(self) -> str | None:
        return None if Path(self._command).exists() else f"{self._command} is not there (make up installs it)"

    def version(self) -> str:
        return run([self._command, "version"], timeout_s=30).strip()

    def launch(self, place: Place) -> Launch:
        configuration = place.folder / "tenfold.toml"
        configuration.write_text(
            "".join(_model(name, place.mock_url(upstream)) for name, upstream in _MODELS.items()) + _LIMITS
        )
        key = secrets.token_hex(32)
        url = f"http://127.0.0.1:{place.port}/v1/chat/completions"
        return Launch(
            command=[
                *(self._command, "up", "--port", str(place.port)),
                *("--home", str(place.folder / "home"), "--config", str(configuration)),
            ],
            environment={"TENFOLD_BOOTSTRAP_KEY": key},
            targets={
                upstream: Target(url=url, model=name, headers={"Authorization": f"Bearer {key}"})
                for name, upstream in _MODELS.items()
            },
        )

    def companions(self, folder: Path) -> Sequence[int]:
        """Postgres serves all processes of a home, so it is nobody's child but its guardian's."""
        with suppress(OSError, ValueError, IndexError):
            postmaster = int((folder / "home" / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
            guardian = parent(postmaster)
            return [guardian] if guardian is not None and guardian > 1 else [postmaster]
        return []


def _model(name: str, base_url: str) -> str:
    return (
        f'[providers.{name}]\nkind = "openai"\nbase_url = "{base_url}"\n'
        f'[models."{name}"]\nprovider = "{name}"\nupstream = "gpt-4o-mini"\n'
    )
