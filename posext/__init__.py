"""posext: how positional encodings extrapolate, measured on GPTs trained on short sequences."""

import os
import platform
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from posext.analysis.api import measure
    from posext.pe import build
    from posext.runs.run import Run, load_run
    from posext.utils.errors import PosextError

__all__ = ["PosextError", "Run", "__version__", "build", "load_run", "measure"]
__version__ = "0.1.0"

# OpenMP reads it when torch is imported: threads that wait sleep, and leave the cores to others
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# what torch compiles is kept where a new start finds it, not in /tmp
if os.access(os.path.expanduser("~"), os.W_OK):
    kept = os.path.expanduser("~/.cache/posext/inductor")
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", kept)
# gcc 12 vectorizes what torch made from two transposed tiles in bf16 (keys' gradients) wrongly: nan
if platform.system() == "Linux" and platform.machine() == "x86_64":
    os.environ.setdefault("TORCHINDUCTOR_CPP_MARCH", "native -fno-tree-slp-vectorize")

PLACES = {  # imported when first asked for, as torch takes seconds
    "PosextError": "posext.utils.errors",
    "Run": "posext.runs.run",
    "build": "posext.pe",
    "load_run": "posext.runs.run",
    "measure": "posext.analysis.api",
}


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = getattr(import_module(PLACES[name]), name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
