"""FoPE: rotary pairs that each turn by a mix of frequencies."""

import torch
from torch import Tensor, nn

from posext.pe.base import AttentionTables, Rotation, Shape
from posext.pe.hope import HoPE
from posext.utils.errors import PosextError
from posext.utils.ranges import Base, NonNegative


class FoPE(HoPE):
    """Turns each pair by a mix of the frequencies that HoPE keeps; the other pairs stand still.

    In place of cos(n theta_r) and sin(n theta_r), pair r of the F kept ones has the sums over f of
    C_fr cos(n theta_f) and S_fr sin(n theta_f) (Hua et al. 2024). As in the authors' code, each
    layer and head has its C and S: the identity and noise of deviation gain sqrt(2 / F(F + H)).
    That code mixes into d/4 pairs at most and gives pairs that stand still a sine of 1, which
    doubles their logits; neither is in the paper, nor here.

    Args:
        shape: Dimensions of the network.
        base: Base of the inverse frequencies.
        gain: Scale of the noise; 0 is HoPE.
        learned: Train C and S; else they keep their initial values.

    Raises:
        PosextError: The original length is below every wavelength.
    """

    paper = "arXiv:2412.17739"
    stages = frozenset({"trained"})
    relative = False

    def __init__(
        self, shape: Shape, *, base: Base = 10000.0, gain: NonNegative = 0.3, learned: bool = False
    ):
        super().__init__(shape, base=base)
        self.kept = int(self.inv_freq(base).count_nonzero())
        self.gain = gain
        self.learned = learned
        if self.kept == 0:
            raise PosextError(
                "fope mixes wavelengths within the training length, from 7 tokens on, "
                f"not train_length={shape.original_length}"
            )

    def make_layer_module(self) -> nn.Module:
        return Mix(self.shape.n_heads, self.kept, self.gain, self.learned)


class Mix(nn.Module):
    """C and S of one layer, each (H, F, R) for F frequencies and as many pairs R."""

    def __init__(self, heads: int, kept: int, gain: float, learned: bool):
        super().__init__()
        std = gain * (2 / (kept * (kept + heads))) ** 0.5
        noise_2HFR = torch.empty(2, heads, kept, kept).normal_(std=std)
        self.weights_2HFR = nn.Parameter(torch.eye(kept) + noise_2HFR, requires_grad=learned)

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        with torch.autocast(x_BTC.device.type, enabled=False):
            groups = tuple(
                group._replace(queries=self.mixed(group.queries), keys=self.mixed(group.keys))
                for group in tables.key_groups
            )
            return tables._replace(rotation=self.mixed(tables.rotation), key_groups=groups)

    def mixed(self, rotation: Rotation | None) -> Rotation | None:
        """Return HoPE's rotation with the kept pairs mixed: (H, T, R)."""
        cos_HFR, sin_HFR = self.weights_2HFR
        return rotation and Rotation(mix(rotation.cos_TR, cos_HFR), mix(rotation.sin_TR, sin_HFR))


def mix(values_TR: Tensor, weights_HFR: Tensor) -> Tensor:
    """Mix the first F columns of a table; the others are left as they are: (H, T, R)."""
    heads, kept, _ = weights_HFR.shape
    values_TR = values_TR.to(weights_HFR.dtype)
    still_HTR = values_TR[:, kept:].expand(heads, -1, -1)
    return torch.cat((values_TR[:, :kept] @ weights_HFR, still_HTR), dim=-1)
