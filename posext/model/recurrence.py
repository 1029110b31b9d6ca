"""Parts that recurrent mixers share: the short convolution, the decay of a state, and chunks.

Shape suffixes: B batch, T tokens, C channels, H heads, N chunks, Q tokens of a chunk, D width of a
token.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KERNEL = 4  # tokens that a short convolution sees
FASTEST = 16.0  # decays per unit of time: the upper end of what is drawn
STEPS = (1e-3, 1e-1)  # units of time that a token takes at first


class ShortConvolution(nn.Module):
    """SiLU of a causal convolution of each channel over the last KERNEL tokens.

    Initial values are uniform within 1/sqrt(KERNEL), as those of torch's Conv1d.

    Args:
        channels: Channels C.
        bias: Whether each channel has a learned bias.
    """

    def __init__(self, channels: int, bias: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, 1, KERNEL))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None

    def draw(self, generator: torch.Generator) -> None:
        """Draw initial values."""
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(KERNEL**-0.5), KERNEL**-0.5, generator=generator)

    def forward(self, x_BTC: Tensor) -> Tensor:
        padded = F.pad(x_BTC, (0, 0, KERNEL - 1, 0))
        length = x_BTC.shape[1]
        total = self.weight[:, 0, 0] * padded[:, :length]
        for tap in range(1, KERNEL):
            total = total + self.weight[:, 0, tap] * padded[:, tap : tap + length]
        return F.silu(total if self.bias is None else total + self.bias)


class Decay(nn.Module):
    """exp(-rate step) by head and token, where step = softplus(x + step_bias).

    Mamba writes A for the rate and dt for the step. Initial rates are uniform up to FASTEST,
    initial steps log-uniform within STEPS (Dao and Gu 2024, arXiv:2405.21060).

    Args:
        n_heads: Heads.
        slowest: The lower end of initial rates, itself not drawn.
    """

    def __init__(self, n_heads: int, slowest: float):
        super().__init__()
        self.slowest = slowest
        self.log_rate = nn.Parameter(torch.zeros(n_heads))
        self.step_bias = nn.Parameter(torch.zeros(n_heads))

    @torch.no_grad()
    def draw(self, generator: torch.Generator) -> None:
        """Draw initial values."""
        shares_H = torch.rand(self.log_rate.shape, generator=generator)
        self.log_rate.copy_((FASTEST - (FASTEST - self.slowest) * shares_H).log())
        least, most = map(math.log, STEPS)
        shares_H = torch.rand(self.step_bias.shape, generator=generator)
        steps_H = (least + (most - least) * shares_H).exp()
        self.step_bias.copy_(steps_H + torch.log(-torch.expm1(-steps_H)))  # softplus inverted

    def forward(self, x_BTH: Tensor) -> tuple[Tensor, Tensor]:
        """Return the steps and the logs of the decays, both (B, T, H) and at least float32."""
        steps_BTH = F.softplus(full(x_BTH) + self.step_bias)
        return steps_BTH, -self.log_rate.exp() * steps_BTH


def full(x: Tensor) -> Tensor:
    """Return a tensor as float32, or float64 if it is that."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def in_chunks(x_BTHD: Tensor, size: int) -> Tensor:
    """Cut the tokens into chunks of `size`, the last one filled with zeros: (B, H, N, Q, D)."""
    filled = F.pad(x_BTHD, (0, 0, 0, 0, 0, -x_BTHD.shape[1] % size))
    return filled.unflatten(1, (-1, size)).permute(0, 3, 1, 2, 4)


def out_of_chunks(x_BHNQD: Tensor, length: int) -> Tensor:
    """Join chunks to the first `length` tokens: (B, T, H, D)."""
    return x_BHNQD.permute(0, 2, 3, 1, 4).flatten(1, 2)[:, :length]


def decays_within(cumulated_BHNQ: Tensor) -> Tensor:
    """Return the decay from a chunk's tokens to its later ones: (B, H, N, Q, Q), 0 to earlier.

    Args:
        cumulated_BHNQ: Sums of the logs of the decays, from the start of the chunk.
    """
    later = cumulated_BHNQ[..., None] - cumulated_BHNQ[..., None, :]
    size = later.shape[-1]
    earlier_QQ = torch.ones(size, size, dtype=torch.bool, device=later.device).triu(1)
    return later.masked_fill(earlier_QQ, -math.inf).exp()
