"""Installs the other gateways into one folder: LiteLLM's proxy in an environment of its own, Portkey's from npm.

Versions are pinned, so that a table says what it compares with.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

from bench.processes import BenchError, find, run

_LITELLM = ["litellm[proxy]==1.109.1", "opentelemetry-sdk==1.45.2"]
# Its own pins name versions that not every mirror has. Without the OpenTelemetry SDK it looks for it at each call.
_LITELLM_OVERRIDES = "litellm-proxy-extras==0.4.110\nlitellm-enterprise==0.1.82\ncertifi>=2026.10.18\n"
_PORTKEY = {
    "private": True,
    "dependencies": {"@portkey-ai/gateway": "1.15.2"},
    # With newer ones all its streams are answered 500 (its issue 1389).
    "overrides": {"@hono/node-server": "1.13.8"},
}
_INSTALL_S = 900.0


def install(folder: Path, say: Callable[[str], None]) -> None:
    """Installs what is not there yet; one that cannot be installed is said and left out."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, step in (("litellm", _litellm), ("portkey", _portkey)):
        if (folder / name / "installed").exists():
            continue
        say(f"installing {name} into {folder / name}")
        try:
            step(folder / name)
        except BenchError as error:
            say(f"{name} could not be installed: {error}")
        else:
            (folder / name / "installed").touch()


def _litellm(folder: Path) -> None:
    run([sys.executable, "-m", "venv", str(folder)], timeout_s=_INSTALL_S)
    python = str(folder / "bin" / "python")
    run([python, "-m", "pip", "install", "--quiet", "uv"], timeout_s=_INSTALL_S)
    overrides = folder / "overrides.txt"
    overrides.write_text(_LITELLM_OVERRIDES)
    uv = [str(folder / "bin" / "uv"), "pip", "install", "--quiet", "--compile-bytecode", "--python", python]
    run([*uv, "--override", str(overrides), *_LITELLM], timeout_s=_INSTALL_S)


def _portkey(folder: Path) -> None:
    npm = find("npm")
    if npm is None:
        raise BenchError("npm is not installed")
    folder.mkdir(exist_ok=True)
    (folder / "package.json").write_text(json.dumps(_PORTKEY))
    run([npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts"], timeout_s=_INSTALL_S)
