"""Whether this machine can compile for a device."""

from functools import lru_cache

import torch


@lru_cache
def compile_error(device_type: str) -> str | None:
    """Return the first line of what goes wrong when a small function is compiled; None if nothing.

    Args:
        device_type: cpu or cuda.
    """
    try:
        torch.compile(torch.sin)(torch.zeros(8, device=device_type))
    except Exception as error:  # of many types: no C++ compiler, no Python headers ..
        return (str(error).splitlines() or [type(error).__name__])[0]
    return None
