"""Selective RoPE: rotary angles that each token's content moves on."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posext.pe.base import AttentionTables, PositionalEncoding, Rotation, Shape
from posext.pe.initial_values import draw_weights
from posext.pe.rope import RoPE
from posext.utils.ranges import Base, Count


class SelectiveRoPE(PositionalEncoding):
    """Turns queries and keys by angles that the tokens so far add up, in place of a token's number.

    Pair i of a head turns by theta_i times the sum over l = 0 .. n of phi_l, where phi is a causal
    depthwise convolution over 4 tokens of U V x_l and each head's share of x_l has norm 1
    (Movahedi et al. 2025, and the authors' code). RoPE is phi = 1; at the start phi is nearly 0.

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies theta; 500,000 in the authors' code.
        rank: Rank of the map U V; 32 in the authors' experiments.
        bias: Add a learned step e^b to phi for each pair, 1 at first: RoPE and what is learned.
        phase_gate: Multiply phi by sigmoid(w x + b) for each head.
    """

    paper = "arXiv:2511.17388"
    stages = frozenset({"trained"})
    inherited_settings = ("base",)
    family = "content"

    def __init__(
        self,
        shape: Shape,
        *,
        base: Base = 10000.0,
        rank: Count = 32,
        bias: bool = False,
        phase_gate: bool = False,
    ):
        super().__init__(shape)
        self.inv_freq_R = RoPE(shape, base=base).inv_freq(base)
        self.settings = (rank, bias, phase_gate)

    def make_layer_module(self) -> nn.Module:
        return Steps(self.shape, self.inv_freq_R, *self.settings)


class Steps(nn.Module):
    """Steps phi of one layer, with a channel E of the convolution for each head and pair."""

    def __init__(self, shape: Shape, inv_freq_R: Tensor, rank: int, bias: bool, gate: bool):
        super().__init__()
        channels = shape.n_heads * len(inv_freq_R)
        self.inv_freq_R = inv_freq_R
        self.n_heads = shape.n_heads
        self.down = nn.Linear(shape.d_model, rank, bias=False)
        self.up = nn.Linear(rank, channels, bias=False)
        self.convolution = nn.Conv1d(channels, channels, 4, padding=3, groups=channels, bias=False)
        self.log_step_E = nn.Parameter(torch.zeros(channels)) if bias else None
        self.gate = nn.Linear(shape.d_model, shape.n_heads) if gate else None
        draw_weights(self)

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        dtype = self.up.weight.dtype
        with torch.autocast(x_BTC.device.type, enabled=False):
            parts_BTHD = x_BTC.to(dtype).unflatten(-1, (self.n_heads, -1))
            x_BTC = F.normalize(parts_BTHD, dim=-1).flatten(2)
            channels_BET = self.up(self.down(x_BTC)).transpose(1, 2)
            steps_BTE = self.convolution(channels_BET)[..., : x_BTC.shape[1]].transpose(1, 2)
            if self.log_step_E is not None:
                steps_BTE = steps_BTE + self.log_step_E.exp()
            steps_BTHR = steps_BTE.unflatten(-1, (self.n_heads, -1))
            if self.gate is not None:
                steps_BTHR = steps_BTHR * self.gate(x_BTC).sigmoid()[..., None]
            turns_BHTR = steps_BTHR.double().cumsum(dim=1).transpose(1, 2)
            phases_BHTR = turns_BHTR * self.inv_freq_R.to(x_BTC.device)
            rotation = Rotation(phases_BHTR.cos().to(dtype), phases_BHTR.sin().to(dtype))
            return tables._replace(rotation=rotation)
