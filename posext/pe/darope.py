"""DaRoPE: slow rotary pairs that turn by a position computed from the content."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posext.pe.base import AttentionTables, Rotation
from posext.pe.hope import HoPE


class DaRoPE(HoPE):
    """Turns the pairs that HoPE stops by a bounded position that each token's content shifts.

    Token m turns a pair whose wavelength exceeds the original length L by c theta, with
    c = L sigmoid(w x_m + a logit((m + 1/2) / L)) for every head, which lies between 0 and L at any
    m ("RoPE is dead, long live RoPE", Meta 2026). Other pairs turn as in RoPE. w = 0 and a = 1 is
    RoPE up to L, w = 0 and a = 0 is HoPE; a starts at 1 and w near 0. The formula ends at L: from
    there on tokens count as the L-th.

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies.
    """

    paper = "DaRoPE (Meta 2026)"
    stages = frozenset({"trained"})
    family = "content"
    relative = False

    def make_layer_module(self) -> nn.Module:
        dropped_R = self.inv_freq(self.base) == 0
        slow_S = super(HoPE, self).inv_freq(self.base)[dropped_R]
        shape = self.shape
        return ContentPositions(shape.d_model, shape.n_heads, shape.original_length, slow_S)


class ContentPositions(nn.Module):
    """Positions of the slow pairs S in one layer.

    Args:
        d_model: Width of the layer's input.
        n_heads: Heads, each with positions of its own.
        original_length: The bound L of the positions, in tokens.
        slow_S: Inverse frequencies of the slow pairs, the last ones of a head; float64.
    """

    def __init__(self, d_model: int, n_heads: int, original_length: int, slow_S: Tensor):
        super().__init__()
        self.weight_HC = nn.Parameter(torch.empty(n_heads, d_model).normal_(std=0.02))
        self.slope_H = nn.Parameter(torch.ones(n_heads))
        self.original_length = original_length
        self.slow_S = slow_S

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        assert tables.rotation is not None
        with torch.autocast(x_BTC.device.type, enabled=False):
            positions_BHT = self.positions(x_BTC, tables.positions_T)
            phases_BHTS = positions_BHT[..., None] * self.slow_S.to(x_BTC.device)
            cos_BHTR = joined(tables.rotation.cos_TR, phases_BHTS.cos().to(self.slope_H.dtype))
            sin_BHTR = joined(tables.rotation.sin_TR, phases_BHTS.sin().to(self.slope_H.dtype))
            return tables._replace(rotation=Rotation(cos_BHTR, sin_BHTR))

    def positions(self, x_BTC: Tensor, positions_T: Tensor) -> Tensor:
        """Return c of every token: float64 (B, H, T), between 0 and L."""
        length = self.original_length
        share_T = (positions_T.double().clamp(max=length - 1) + 0.5) / length
        by_content_BTH = F.linear(x_BTC.to(self.weight_HC.dtype), self.weight_HC).double()
        by_position_HT = self.slope_H.double()[:, None] * share_T.logit()
        return length * (by_content_BTH.transpose(1, 2) + by_position_HT).sigmoid()


def joined(fast_TR: Tensor, slow_BHTS: Tensor) -> Tensor:
    """Put the slow pairs in place of the last ones of a table: (B, H, T, R)."""
    fast = fast_TR.shape[-1] - slow_BHTS.shape[-1]
    expanded = fast_TR[:, :fast].expand(*slow_BHTS.shape[:2], -1, -1)
    return torch.cat((expanded.to(slow_BHTS.dtype), slow_BHTS), dim=-1)
