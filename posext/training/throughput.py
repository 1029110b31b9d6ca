"""The arithmetic of training: its floating-point operations, and the share of a GPU's peak (MFU).

Operations of a token, forward and backward, are 6 N + 12 n_layers d T for N parameters, d the width
of all heads together and T tokens of context (Chowdhery et al. 2022, arXiv:2204.02311, appendix B).
The second term counts the whole square of attention, as published figures do, while the causal
half is what is computed: at long contexts, and under windows, MFU flatters.
"""

import re
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import nn

from posext.config import TRANSFORMER, ModelConfig

# Dense bf16 products with float32 sums, in 10^12 operations a second, from the makers' data sheets;
# the words of a device's name, those of a variant before those of its family.
PEAKS = {
    "B200": 2250.0,
    "GH200": 989.0,
    "H200 NVL": 835.0,
    "H200": 989.0,
    "H100 PCIe": 756.0,
    "H100 NVL": 835.0,
    "H100": 989.0,
    "A100": 312.0,
    "A30": 165.0,
    "A40": 150.0,
    "A10G": 70.0,
    "A10": 125.0,
    "L40S": 362.0,
    "L40": 181.0,
    "L4": 121.0,
    "RTX 5090": 209.0,
    "RTX 4090": 165.0,
    "RTX 3090": 71.0,
}
SLOWER = {"MIG", "Laptop", "D"}  # words of parts and of slower variants, whose peak is unknown


def peak_flops(device_name: str) -> float | None:
    """Return the peak of a GPU in bf16, operations a second; None for one that is not known."""
    words = set(re.split(r"[\s-]+", device_name))
    if words & SLOWER:
        return None
    for name, tera in PEAKS.items():
        if set(name.split()) <= words:
            return tera * 1e12
    return None


class Throughput(NamedTuple):
    """What a training token costs, and how fast this machine can be.

    Attributes:
        of_parameters: Operations of a token for all parameters, forward and backward.
        of_context: Operations of a token for each token of its context.
        peak: Operations a second of all devices together; None if unknown.
    """

    of_parameters: int
    of_context: int
    peak: float | None = None

    def flops_per_token(self, length: int) -> int:
        """Return the operations of a token in a context of `length` tokens."""
        return self.of_parameters + self.of_context * length

    def figures(self, tokens: int, length: int, seconds: float) -> dict[str, Any]:
        """Return tokens a second, and MFU where the peak is known."""
        rate = tokens / seconds
        figures = {"tokens_per_second": round(rate)}
        if self.peak is None:
            return figures
        return figures | {"mfu": round(rate * self.flops_per_token(length) / self.peak, 4)}


def throughput(
    model: nn.Module, config: ModelConfig, accelerator: Accelerator | None = None
) -> Throughput:
    """Return the costs of training a network, and the peak of its devices, each taken for alike.

    A frozen parameter has no gradient of its own, so 4 operations in place of 6. A table that is
    looked up, as embeddings without a tied head are, multiplies nothing. A recurrence in place of
    attention counts with its parameters alone.

    Args:
        model: The network, whose frozen parameters are so marked.
        config: Its dimensions.
        accelerator: The processes and their device; None: no peak.
    """
    multiplied = {id(module.weight) for module in model.modules() if isinstance(module, nn.Linear)}
    multiplied.add(id(getattr(model, "output_matrix", None)))
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    of_parameters = sum(
        parameter.numel() * (6 if parameter.requires_grad else 4)
        for parameter in model.parameters()
        if id(parameter) not in tables - multiplied
    )
    width = config.n_heads * config.head_width() if config.kind == TRANSFORMER else 0
    peak = None
    if accelerator is not None and accelerator.device.type == "cuda":
        peak = peak_flops(torch.cuda.get_device_name(accelerator.device))
    processes = 1 if accelerator is None else accelerator.num_processes
    return Throughput(of_parameters, 12 * config.n_layers * width, peak and peak * processes)
