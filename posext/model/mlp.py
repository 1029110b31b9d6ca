"""The gated MLP of a layer.

Shape suffixes: B batch, T tokens, C d_model.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from posext.config import ModelConfig


class MLP(nn.Module):
    """SwiGLU (Shazeer 2020, arXiv:2002.05202, equation 6)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.gate_up = nn.Linear(config.d_model, 2 * config.d_ff, bias=False)
        self.down = nn.Linear(config.d_ff, config.d_model, bias=False)

    def forward(self, x_BTC: Tensor) -> Tensor:
        gate, up = self.gate_up(x_BTC).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)
