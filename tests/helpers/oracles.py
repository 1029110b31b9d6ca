"""References of other packages."""

import importlib.util
from pathlib import Path
from types import ModuleType


def naive(name: str) -> ModuleType:
    """Load a reference of flash-linear-attention from its file, as the package needs triton."""
    root = importlib.util.find_spec("fla").submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location(name, Path(root) / "ops" / name / "naive.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
