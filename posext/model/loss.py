"""The likelihood of labels, from logits or from what the head reads.

Shape suffixes: B batch, K labels, V vocabulary, C model width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS = 8192  # of logits that are turned into likelihoods at once


def chunked_nll(x_BKC: Tensor, weight_VC: Tensor, labels_BK: Tensor) -> Tensor:
    """The NLL in nats of labels, from what the head reads and its matrix: float32 (B, K); few rows of logits at once."""
    with torch.autocast(
        x_BKC.device.type, enabled=False
    ):  # half-precision logits would round away 1e-2 nats
        parts = zip(split(x_BKC), split(labels_BK), strict=True)
        return torch.cat(
            [nll_of(x.float() @ weight_VC.float().T, labels) for x, labels in parts], dim=1
        )


def nll_of(logits_BKV: Tensor, labels_BK: Tensor) -> Tensor:
    return F.cross_entropy(logits_BKV.float().transpose(1, 2), labels_BK, reduction="none")


def split(x_BK: Tensor) -> tuple[Tensor, ...]:
    """Along the targets, into parts of about ROWS rows over the batch."""
    return x_BK.split(max(1, ROWS // len(x_BK)), dim=1)
