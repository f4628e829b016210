"""LiteLLM's proxy, one worker, from an environment made by `--install-peers` or the one on PATH."""

import json
import secrets
from pathlib import Path
from typing import ClassVar

from bench.calls import Target, Upstream
from bench.gateways.base import Gateway, Launch, Place
from bench.processes import find, run

_MODELS = {"mock": Upstream.AT_ONCE, "mock-slow": Upstream.AFTER_1_S, "mock-paced": Upstream.EVENT_EACH_10_MS}


class LiteLLM(Gateway):
    name: ClassVar[str] = "litellm"
    caches: ClassVar[bool] = True
    in_flight_levels: ClassVar[tuple[int, ...]] = (25, 50, 100)
    warm_up_s: ClassVar[int] = 4
    stretch: ClassVar[int] = 3

    def __init__(self, peers: Path | None) -> None:
        installed = peers / "litellm" / "bin" / "litellm" if peers else None
        self._command = str(installed) if installed and installed.exists() else find("litellm")

    def missing(self) -> str | None:
        return None if self._command else "LiteLLM's proxy is not installed (--install-peers DIR installs it)"

    def version(self) -> str:
        python = Path(self._command or "litellm").with_name("python")
        program = "import importlib.metadata as m; print(m.version('litellm'))"
        return run([str(python), "-c", program], timeout_s=60).strip()

    def launch(self, place: Place) -> Launch:
        key = "sk-" + secrets.token_hex(32)  # it refuses to start with a weak one
        configuration = place.folder / "litellm.json"  # JSON is YAML
        configuration.write_text(json.dumps(self._configuration(place, key)))
        url = f"http://127.0.0.1:{place.port}/v1/chat/completions"
        return Launch(
            command=[
                *(self._command or "litellm", "--config", str(configuration)),
                *("--host", "127.0.0.1", "--port", str(place.port), "--num_workers", "1"),
            ],
            environment={
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "LITELLM_LOG": "ERROR",
                "LITELLM_MODE": "PRODUCTION",
            },
            targets={
                upstream: Target(url=url, model=name, headers={"Authorization": f"Bearer {key}"})
                for name, upstream in _MODELS.items()
            },
        )

    @staticmethod
    def _configuration(place: Place, key: str) -> dict[str, object]:
        settings: dict[str, object] = {"set_verbose": False, "callbacks": []}
        if place.cache:
            settings |= {"cache": True, "cache_params": {"type": "local"}}
        return {
            "model_list": [
                {
                    "model_name": name,
                    "litellm_params": {
                        "model": "openai/gpt-4o-mini",
                        "api_base": place.mock_url(upstream),
                        "api_key": "sk-upstream",
                    },
                }
                for name, upstream in _MODELS.items()
            ],
            "router_settings": {"num_retries": 0},
            "litellm_settings": settings,
            "general_settings": {"master_key": key},
        }
