"""Forward and backward passes in micro-batches, shared by all processes."""

from contextlib import nullcontext
from typing import cast

import torch
from accelerate import Accelerator
from torch import Tensor

from posext.data.packing import Joined
from posext.data.split import Split
from posext.utils.sharding import shard

VALIDATION_TOKENS = 16384  # in each validation
VALIDATION_BATCH_TOKENS = 4096  # in one forward pass of one process


def accumulate(
    network: torch.nn.Module, windows: Tensor, micro_batch_tokens: int, accelerator: Accelerator
) -> float:
    """Accumulate gradients of the mean NLL over the windows of a step; return that mean.

    The result does not depend on the number of processes or micro-batches.

    Args:
        network: The prepared model.
        windows: All windows of the step, int64 (sequences, length + 1), on every process.
        micro_batch_tokens: The most tokens in one forward pass of one process.
        accelerator: The processes.
    """
    sequences = windows.shape[0]
    length = windows.shape[1] - 1
    own = shard(windows, accelerator.process_index, accelerator.num_processes)
    micro_batches = own.to(accelerator.device).split(max(1, micro_batch_tokens // length))
    total = torch.zeros((), device=accelerator.device)
    for index, micro_batch in enumerate(micro_batches):
        last = index == len(micro_batches) - 1
        with nullcontext() if last else accelerator.no_sync(network):
            nll = network(micro_batch[:, :-1], micro_batch[:, 1:]) / (sequences * length)
            # times the processes, as their gradients are averaged
            accelerator.backward(nll * accelerator.num_processes)
        total += nll.detach()
    return float(cast(Tensor, accelerator.reduce(total, "sum")))


@torch.no_grad()
def validate(
    network: torch.nn.Module, split: Split | Joined, length: int, accelerator: Accelerator
) -> float:
    """Return the mean NLL of held-out windows, the same ones at every call.

    The network runs eagerly, so the compiled graphs of training are kept as they are.
    """
    count = max(accelerator.num_processes, VALIDATION_TOKENS // length)
    windows, _ = split.batch(0, 0, length, count)
    own = shard(windows, accelerator.process_index, accelerator.num_processes)
    total = torch.zeros((), device=accelerator.device)
    with torch.compiler.set_stance("force_eager"):
        for host_batch in own.split(max(1, VALIDATION_BATCH_TOKENS // length)):
            micro_batch = host_batch.to(accelerator.device)
            total += network(micro_batch[:, :-1], micro_batch[:, 1:])
    return float(cast(Tensor, accelerator.reduce(total, "sum"))) / (count * length)
