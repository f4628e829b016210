"""The process of the local language model: `python -m tenfold.providers.offline.llm_worker`. It reads one line with its
key, starts llama.cpp's server on the loopback address, writes one line with its URL, and ends when its input does.
"""

import hashlib
import os
import sys
from pathlib import Path

import msgspec
import xllamacpp

from tenfold.providers.offline.smollm2 import CONTEXT_TOKENS, MODEL, MODEL_SHA256, installed_model

_HOST = "127.0.0.1"


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Sent down the pipe: an argument or the environment could be read by others."""

    api_key: str


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """`reason` says why there is no `url`."""

    url: str = ""
    reason: str = ""


def verified_model() -> Path:
    """Raises ValueError for other bytes than the pinned ones, ModuleNotFoundError."""
    path = installed_model()
    with path.open("rb") as model:
        if hashlib.file_digest(model, "sha256").hexdigest() != MODEL_SHA256:
            raise ValueError(f"{path} is not the pinned model file: its sha256 differs. Reinstall the package.")
    return path


def start_server(path: Path, api_key: str) -> xllamacpp.Server:
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {MODEL}
    params.hostnames = [_HOST]
    params.port = 0  # a free one
    params.api_keys = [api_key]
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = 1  # further calls wait in its queue
    # One core stays free: two OpenMP threads on two busy cores spin, and were measured at a tenth of the speed of one.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = max(1, (os.cpu_count() or 1) - 1)
    params.cache_ram_mib = 64  # of earlier prompts; the default of 8 GB is not for a small machine
    params.offline = True
    params.ui = False
    params.endpoint_slots = False
    params.verbosity = -1
    return xllamacpp.Server(params)


def main() -> int:
    # Whatever the library prints must not stand before the line with the URL.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    start = msgspec.json.decode(sys.stdin.buffer.readline(), type=Start)
    try:
        server = start_server(verified_model(), start.api_key)
    except (ModuleNotFoundError, OSError, ValueError, RuntimeError) as error:
        answers.write(msgspec.json.encode(Started(reason=str(error))) + b"\n")
        return 1
    answers.write(msgspec.json.encode(Started(url=server.listening_address)) + b"\n")
    sys.stdin.buffer.read()
    os._exit(0)  # the server's threads would finish their replies first, for nobody


if __name__ == "__main__":
    sys.exit(main())
