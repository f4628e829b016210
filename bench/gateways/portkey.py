"""Portkey's gateway on Node, from the folder made by `--install-peers`. Its npm build has no working cache."""

import json
from pathlib import Path
from typing import ClassVar

from bench.calls import Target, Upstream
from bench.gateways.base import Gateway, Launch, Place
from bench.processes import find


class Portkey(Gateway):
    name: ClassVar[str] = "portkey"
    in_flight_levels: ClassVar[tuple[int, ...]] = (100, 250, 500)
    warm_up_s: ClassVar[int] = 8  # V8 compiles what is hot

    def __init__(self, peers: Path | None) -> None:
        self._package = (peers or Path()) / "portkey" / "node_modules" / "@portkey-ai" / "gateway"

    def missing(self) -> str | None:
        if find("node") is None:
            return "Node.js is not installed, so Portkey's gateway cannot run"
        if not (self._package / "build" / "start-server.js").exists():
            return "Portkey's gateway is not installed (--install-peers DIR installs it)"
        return None

    def version(self) -> str:
        return str(json.loads((self._package / "package.json").read_text())["version"])

    def launch(self, place: Place) -> Launch:
        url = f"http://127.0.0.1:{place.port}/v1/chat/completions"
        return Launch(
            command=[
                *(find("node") or "node", str(self._package / "build" / "start-server.js")),
                *(f"--port={place.port}", "--headless"),
            ],
            environment={"NODE_ENV": "production"},
            targets={
                upstream: Target(
                    url=url,
                    headers={
                        "Authorization": "Bearer sk-upstream",
                        "x-portkey-provider": "openai",
                        "x-portkey-custom-host": place.mock_url(upstream),
                    },
                )
                for upstream in Upstream
            },
        )
