"""Mamba-2 (Dao and Gu 2024, arXiv:2405.21060): a recurrence in place of attention.

Shape suffixes: B batch, T tokens, C model width, H heads, N chunks, Q tokens of a chunk, D size of
the state per channel, V width of a head.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posext.config import ModelConfig
from posext.model.norm import RMSNorm
from posext.model.recurrence import (
    Decay,
    ShortConvolution,
    decays_within,
    full,
    in_chunks,
    out_of_chunks,
)
from posext.pe.tables import AttentionTables

CHUNK = 64  # tokens that are computed together


class Mamba2(nn.Module):
    """The layer as published, with one group: all heads share what writes to and reads the state.

    Its inner width is that of the heads together and its state half as large per channel, so the
    matrices hold 4 C^2 numbers for H heads of C / H, as those of attention do. The published inner
    width of 2 C makes up for an MLP, which here stands beside. At the size tiny heads have 64
    channels and a state of 128, as published.

    Args:
        config: Dimensions of the network.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.n_heads = config.n_heads
        width = config.n_heads * config.head_width()
        state = -(-width // 2)
        self.widths = (width, width + 2 * state, config.n_heads)
        self.mixed_widths = (width, state, state)
        self.project = nn.Linear(config.d_model, sum(self.widths), bias=False)
        self.convolution = ShortConvolution(width + 2 * state, bias=True)
        self.decay = Decay(config.n_heads, slowest=1.0)
        self.skip = nn.Parameter(torch.ones(config.n_heads))
        self.norm = RMSNorm(width)
        self.out = nn.Linear(width, config.d_model, bias=False)

    def forward(self, x_BTC: Tensor, _: AttentionTables, last: int | None = None) -> Tensor:
        """Mix the tokens; tables of positions have no place in it.

        Args:
            x_BTC: Input.
            last: Return the last `last` positions only; None: all T.

        Returns:
            Output, (B, `last` or T, C).
        """
        first = 0 if last is None else max(0, x_BTC.shape[1] - last)
        gate_BTW, mixed, step_BTH = self.project(x_BTC).split(self.widths, dim=-1)
        mixed = self.convolution(mixed)
        with torch.autocast(x_BTC.device.type, enabled=False):
            v, k_BTD, q_BTD = full(mixed).split(self.mixed_widths, dim=-1)
            v_BTHV = v.unflatten(-1, (self.n_heads, -1))
            step_BTH, log_decay_BTH = self.decay(step_BTH)
            read_BTHV = decayed_sum(q_BTD, k_BTD, step_BTH[..., None] * v_BTHV, log_decay_BTH)
            read_BTHV = read_BTHV + self.skip[:, None] * v_BTHV
            gated_BTW = read_BTHV[:, first:].flatten(2) * F.silu(full(gate_BTW[:, first:]))
            normed_BTW = self.norm(gated_BTW)
        return self.out(normed_BTW)


def decayed_sum(q_BTD: Tensor, k_BTD: Tensor, v_BTHV: Tensor, log_decay_BTH: Tensor) -> Tensor:
    """Return S_t q_t, where S_t = a_t S_(t-1) + v_t k_t' and S_0 is 0.

    Within a chunk it is attention with decays for a softmax; from chunk to chunk the state goes on,
    section 6 of the paper. States are held for chunks, not for tokens.

    Args:
        q_BTD: What reads the state, C in the paper.
        k_BTD: What writes to it, B in the paper.
        v_BTHV: Values.
        log_decay_BTH: Log of a_t.

    Returns:
        What is read, (B, T, H, V).
    """
    length = q_BTD.shape[1]
    size = min(CHUNK, length)
    q, k, v = (in_chunks(x, size) for x in (q_BTD[:, :, None], k_BTD[:, :, None], v_BTHV))
    cumulated = in_chunks(log_decay_BTH[..., None], size)[..., 0].cumsum(-1)
    since_start = cumulated[..., None].exp()
    to_end = (cumulated[..., -1:] - cumulated)[..., None].exp()
    added = k.mT @ (to_end * v)
    states = [torch.zeros_like(added[:, :, 0])]
    for chunk in range(added.shape[2] - 1):
        states.append(since_start[:, :, chunk, -1:] * states[-1] + added[:, :, chunk])
    read = since_start * (q @ torch.stack(states, dim=2))
    return out_of_chunks(read + (q @ k.mT * decays_within(cumulated)) @ v, length)
