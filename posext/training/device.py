"""Precision, compilation and processes, decided once from the config and the hardware."""

import logging
from typing import cast

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor

from posext.utils.compiling import compile_error

log = logging.getLogger(__name__)
COMPILE_REPAID_AFTER = 300  # steps; compiling takes 10-20 s on 2 cores


def accelerator(precision: str) -> Accelerator:
    """Return the processes, device and mixed precision.

    Jobs of a sweep share one interpreter, so the precision of an earlier job is reset.
    """
    AcceleratorState._reset_state()
    return Accelerator(mixed_precision={"bf16": "bf16", "fp32": "no"}[resolve(precision)])


def resolve(precision: str) -> str:
    """Resolve `auto`: bf16 if the hardware multiplies it natively, else fp32."""
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    has = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return "bf16" if has.get("avx512_bf16") or has.get("amx_bf16") else "fp32"


def should_compile(choice: str, steps: int) -> bool:
    """Return whether to compile the network.

    `auto` compiles if the run is long enough to repay it. Either way a small trial must show that
    this machine can compile.

    Args:
        choice: true, false or auto.
        steps: The steps of the whole run, not the remaining ones: a resumed run must round as
            one that was not stopped.
    """
    if choice == "false" or (choice == "auto" and steps < COMPILE_REPAID_AFTER):
        return False
    # jobs of a sweep share one interpreter, which limits the compiled versions of a function
    torch.compiler.reset()
    error = compile_error("cuda" if torch.cuda.is_available() else "cpu")
    if error is not None:
        log.warning(
            "this machine cannot compile (%s), so training runs without, more slowly", error
        )
    return error is None


def gather_signal(signal: int, accelerator: Accelerator) -> int:
    """Return, on all processes, the largest signal number that any of them received, or 0."""
    if accelerator.num_processes == 1:
        return signal
    sent = cast(Tensor, accelerator.gather(torch.tensor([signal], device=accelerator.device)))
    return int(sent.max())
