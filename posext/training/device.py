"""The machine: precision, compilation and processes, decided once from config and hardware."""

import logging

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

log = logging.getLogger(__name__)
COMPILE_REPAID_AFTER = 300  # steps; on 2 cores compilation takes 10-20 s


def accelerator(precision: str) -> Accelerator:
    """Processes, device and mixed precision. Jobs of a sweep share one interpreter, so an earlier job's choice is forgotten."""
    AcceleratorState._reset_state()
    return Accelerator(mixed_precision={"bf16": "bf16", "fp32": "no"}[resolve(precision)])


def resolve(precision: str) -> str:
    """auto: bf16 where the hardware multiplies it natively, else fp32."""
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    has = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return "bf16" if has.get("avx512_bf16") or has.get("amx_bf16") else "fp32"


def should_compile(choice: str, steps: int) -> bool:
    """Whether to compile: as told, or where a run of so many steps repays it and a small trial shows that this machine can.

    The steps are the whole run's, never those left: a resumed run must round as one that was not stopped.
    """
    if choice == "false" or (choice == "auto" and steps < COMPILE_REPAID_AFTER):
        return False
    torch.compiler.reset()  # jobs of a sweep share one interpreter, and its compiled versions of a function are limited
    try:
        torch.compile(torch.sin)(torch.zeros(8))
    except (
        Exception
    ) as error:  # no C++ compiler, no Python headers: inductor has many ways to say so
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        log.warning(
            "this machine cannot compile (%s), so training runs without, more slowly", reason
        )
        return False
    return True
