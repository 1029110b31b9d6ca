"""Negative log-likelihood of labels, from logits or from the input of the output matrix.

Shape suffixes: B batch, K labels, V vocabulary, C model width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# Rows of logits that are held at once.
ROWS = 8192


def chunked_nll(
    x_BKC: Tensor, weight_VC: Tensor, labels_BK: Tensor, softcap: float | None = None
) -> Tensor:
    """Compute the NLL of labels without holding all logits at once.

    Args:
        x_BKC: Input of the output matrix.
        weight_VC: The output matrix.
        labels_BK: Label token ids.
        softcap: c of `capped`.

    Returns:
        NLL in nats, float32 (B, K).
    """
    # Half-precision logits would round away 1e-2 nats.
    with torch.autocast(x_BKC.device.type, enabled=False):
        chunks = zip(split(x_BKC), split(labels_BK), strict=True)
        nlls = [
            nll_of(capped(x.float() @ weight_VC.float().T, softcap), labels) for x, labels in chunks
        ]
        return torch.cat(nlls, dim=1)


def summed_nll(
    x_BTC: Tensor, weight_VC: Tensor, targets_BT: Tensor, softcap: float | None
) -> Tensor:
    """Return the summed negative log-likelihood of the targets in nats; float32 scalar."""
    logits = capped((x_BTC @ weight_VC.T).float(), softcap)
    return F.cross_entropy(logits.flatten(0, 1), targets_BT.flatten(), reduction="sum")


def capped(x: Tensor, softcap: float | None) -> Tensor:
    """Return c tanh(x / c), which stays within c; x itself without a c."""
    return x if softcap is None else softcap * torch.tanh(x / softcap)


def nll_of(logits_BKV: Tensor, labels_BK: Tensor) -> Tensor:
    """Return the NLL of labels in nats: float32 (B, K)."""
    return F.cross_entropy(logits_BKV.float().transpose(1, 2), labels_BK, reduction="none")


def split(x_BK: Tensor) -> tuple[Tensor, ...]:
    """Split along the labels into chunks of about ROWS rows over the batch."""
    return x_BK.split(max(1, ROWS // len(x_BK)), dim=1)
