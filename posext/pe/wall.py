"""Wall attention: a forget gate for every dimension."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posext.pe.base import AttentionTables, PositionalEncoding, Shape


class Wall(PositionalEncoding):
    """Fades every dimension of a key by forget gates of its own, a decay by content.

    The score of query n and key m is the sum of q_c k_c exp(P_nc - P_mc) over the dimensions c of
    a head, over sqrt(head_dim), where P_nc is the sum of ln sigmoid(w_c x_l + b_c) over l = 0 .. n
    (Pai et al. 2026, section 2). The score of a forgotten key falls to 0, not to minus infinity.
    The gates have no lower bound, which only the authors' kernels need. b starts at a half-life of
    half the original length, as the authors' 8 does at 4,096 tokens.
    """

    paper = "blog.tilderesearch.com/blog/wall-attn"
    stages = frozenset({"trained"})
    own_scores = True
    family = "content"

    def make_layer_module(self) -> nn.Module:
        return Gates(self.shape)


class Gates(nn.Module):
    """Forget gates of one layer: a linear map of each token to one gate per dimension."""

    def __init__(self, shape: Shape):
        super().__init__()
        start = -math.log(math.expm1(2 * math.log(2) / shape.original_length))
        self.bias_HD = nn.Parameter(torch.full((shape.n_heads, shape.head_dim), start))
        self.weight_HDC = nn.Parameter(torch.randn(*self.bias_HD.shape, shape.d_model) * 0.02)

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        with torch.autocast(x_BTC.device.type, enabled=False):
            x_B1TC = x_BTC.to(self.bias_HD.dtype)[:, None]
            logits_BHTD = x_B1TC @ self.weight_HDC.mT + self.bias_HD[:, None]
            decay_BHTD = F.logsigmoid(logits_BHTD).double().cumsum(dim=2)

        def score_rows(q_BHTD: Tensor, k_BHTD: Tensor) -> Callable[[int, int], Tensor]:
            def rows(start: int, stop: int) -> Tensor:
                q, k, decay = (x[:, :, start:stop] for x in (q_BHTD, k_BHTD, decay_BHTD))
                before = scores_before(q, k_BHTD[:, :, :start], decay, decay_BHTD[:, :, :start])
                return torch.cat((before, scores_within(q, k, decay)), -1) * q.shape[-1] ** -0.5

            return rows

        return tables._replace(score_rows=score_rows)


def scores_before(q: Tensor, k: Tensor, q_decay: Tensor, k_decay: Tensor) -> Tensor:
    """Return scores (.., Q, K) for keys before all queries, both faded towards the first query."""
    meeting = q_decay[..., :1, :]
    faded_q = q * (q_decay - meeting).to(q.dtype).exp()
    return faded_q @ (k * (meeting - k_decay).to(k.dtype).exp()).mT


def scores_within(q: Tensor, k: Tensor, decay: Tensor) -> Tensor:
    """Return scores (B, H, T, T) among T tokens, 0 for later keys, by joining blocks."""
    length = q.shape[2]
    missing = (1 << (length - 1).bit_length()) - length
    q, k, decay = (F.pad(x, (0, 0, missing, 0)) for x in (q, k, decay))
    scores = (q * k).sum(-1)[..., None, None]  # (B, H, blocks, block, block)
    while (block := scores.shape[-1]) < length:
        q_pairs, k_pairs, decay_pairs = (x.unflatten(2, (-1, 2, block)) for x in (q, k, decay))
        early_decay, late_decay = decay_pairs.unbind(3)
        early, late = scores.unflatten(2, (-1, 2)).unbind(3)
        across = scores_before(q_pairs[:, :, :, 1], k_pairs[:, :, :, 0], late_decay, early_decay)
        late = torch.cat((across, late), dim=-1)
        scores = torch.cat((F.pad(early, (0, block)), late), dim=-2)
    return scores[:, :, 0, missing:, missing:]
