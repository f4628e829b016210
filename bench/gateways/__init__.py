"""The gateways that can be measured, by name."""

from pathlib import Path

from bench.gateways.base import Gateway, Running, started
from bench.gateways.litellm import LiteLLM
from bench.gateways.nginx import Nginx
from bench.gateways.portkey import Portkey
from bench.gateways.tenfold import Tenfold

__all__ = ["Gateway", "Nginx", "Running", "all_gateways", "started"]


def all_gateways(peers: Path | None) -> dict[str, Gateway]:
    """In the order they are measured; `peers` is the folder of `--install-peers`."""
    known: list[Gateway] = [Nginx(), Tenfold(), LiteLLM(peers), Portkey(peers)]
    return {gateway.name: gateway for gateway in known}
