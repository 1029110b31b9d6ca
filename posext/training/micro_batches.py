"""Forward and backward passes in micro-batches, shared by all processes."""

from contextlib import nullcontext
from typing import cast

import torch
from accelerate import Accelerator
from torch import Tensor

from posext.data.algorithmic.task import IGNORED
from posext.data.batch import Batch
from posext.utils.sharding import shard

VALIDATION_BATCH_TOKENS = 4096  # in one forward pass of one process


def accumulate(
    network: torch.nn.Module, batch: Batch, micro_batch_tokens: int, accelerator: Accelerator
) -> float:
    """Accumulate gradients of the mean NLL over the labels of a step; return that mean.

    The result does not depend on the number of processes or micro-batches.

    Args:
        network: The prepared model.
        batch: All sequences of the step, on every process.
        micro_batch_tokens: The most tokens in one forward pass of one process.
        accelerator: The processes.
    """
    scored = count_labels(batch)
    micro_batches = own_parts(batch, micro_batch_tokens, accelerator)
    total = torch.zeros((), device=accelerator.device)
    for index, (tokens_BT, labels_BT, mask) in enumerate(micro_batches):
        last = index == len(micro_batches) - 1
        with nullcontext() if last else accelerator.no_sync(network):
            nll = network(tokens_BT, labels_BT, **mask) / scored
            # times the processes, as their gradients are averaged
            accelerator.backward(nll * accelerator.num_processes)
        total += nll.detach()
    return float(cast(Tensor, accelerator.reduce(total, "sum")))


@torch.no_grad()
def validate(network: torch.nn.Module, batch: Batch, accelerator: Accelerator) -> float:
    """Return the mean NLL of the labels of held-out sequences.

    The network runs eagerly, so the compiled graphs of training are kept as they are.
    """
    total = torch.zeros((), device=accelerator.device)
    with torch.compiler.set_stance("force_eager"):
        for tokens_BT, labels_BT, mask in own_parts(batch, VALIDATION_BATCH_TOKENS, accelerator):
            total += network(tokens_BT, labels_BT, **mask)
    return float(cast(Tensor, accelerator.reduce(total, "sum"))) / count_labels(batch)


def own_parts(
    batch: Batch, tokens: int, accelerator: Accelerator
) -> list[tuple[Tensor, Tensor, dict[str, Tensor]]]:
    """Return this process's share of a batch on its device, in parts of `tokens` at most.

    A part has tokens, labels, and the numbers of documents by name, if the batch has them.
    """

    def parts(side: Tensor) -> tuple[Tensor, ...]:
        own = shard(side, accelerator.process_index, accelerator.num_processes)
        return own.to(accelerator.device).split(max(1, tokens // side.shape[1]))

    tokens_parts = parts(batch.tokens_BT)
    masks: list[dict[str, Tensor]] = [{} for _ in tokens_parts]
    if batch.documents_BT is not None:
        masks = [{"documents_BT": part} for part in parts(batch.documents_BT)]
    return list(zip(tokens_parts, parts(batch.labels_BT), masks, strict=True))


def count_labels(batch: Batch) -> int:
    """Return the number of labels that are trained."""
    return int((batch.labels_BT != IGNORED).sum())
