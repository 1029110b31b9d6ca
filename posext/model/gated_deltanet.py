"""Gated DeltaNet (Yang et al. 2024, arXiv:2412.06464): a recurrence in place of attention.

Shape suffixes: B batch, T tokens, C model width, H heads, N chunks, Q tokens of a chunk, D width of
a key, V width of a value.
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

CHUNK = 32  # tokens that are computed together
UNIT_EPSILON = 1e-6  # added to the squared norm of a query or key


class GatedDeltaNet(nn.Module):
    """The layer as published: short convolutions, gated delta rule, norm and gate by head.

    Values are twice as wide as keys, as published. They have the heads' width, and keys half of it,
    so the matrices hold 4 C^2 numbers for H heads of C / H, as those of attention do.

    Args:
        config: Dimensions of the network.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.n_heads = config.n_heads
        value_width = config.n_heads * config.head_width()
        key_width = config.n_heads * -(-config.head_width() // 2)
        self.widths = (key_width, key_width, value_width)
        self.qkv = nn.Linear(config.d_model, sum(self.widths), bias=False)
        self.convolution = ShortConvolution(sum(self.widths), bias=False)
        self.decay_and_beta = nn.Linear(config.d_model, 2 * config.n_heads, bias=False)
        self.decay = Decay(config.n_heads, slowest=0.0)
        self.gate = nn.Linear(config.d_model, value_width, bias=False)
        self.norm = RMSNorm(config.head_width())
        self.out = nn.Linear(value_width, config.d_model, bias=False)

    def forward(self, x_BTC: Tensor, _: AttentionTables, last: int | None = None) -> Tensor:
        """Mix the tokens; tables of positions have no place in it.

        Args:
            x_BTC: Input.
            last: Return the last `last` positions only; None: all T.

        Returns:
            Output, (B, `last` or T, C).
        """
        first = 0 if last is None else max(0, x_BTC.shape[1] - last)
        q, k, v = self.convolution(self.qkv(x_BTC)).split(self.widths, dim=-1)
        q_BTHD, k_BTHD, v_BTHV = (x.unflatten(-1, (self.n_heads, -1)) for x in (q, k, v))
        decay_BTH, beta_BTH = self.decay_and_beta(x_BTC).chunk(2, dim=-1)
        with torch.autocast(x_BTC.device.type, enabled=False):
            _, log_decay_BTH = self.decay(decay_BTH)
            read_BTHV = gated_delta_rule(
                unit(full(q_BTHD)),
                unit(full(k_BTHD)),
                full(v_BTHV),
                log_decay_BTH,
                full(beta_BTH).sigmoid(),
            )
            normed_BTHV = self.norm(read_BTHV[:, first:])
        gate_BTW = F.silu(self.gate(x_BTC[:, first:]))
        return self.out(normed_BTHV.flatten(2).to(gate_BTW.dtype) * gate_BTW)


def unit(x_BTHD: Tensor) -> Tensor:
    """Return x / |x|."""
    return x_BTHD * (x_BTHD.square().sum(-1, keepdim=True) + UNIT_EPSILON).rsqrt()


# Compiled, it is no faster alone, and many times slower where torch fuses it with what is before.
@torch.compiler.disable()
def gated_delta_rule(
    q_BTHD: Tensor, k_BTHD: Tensor, v_BTHV: Tensor, log_decay_BTH: Tensor, beta_BTH: Tensor
) -> Tensor:
    """Return S_t q_t / sqrt(D), where S_t = a_t S_(t-1) (1 - b_t k_t k_t') + b_t v_t k_t'.

    S_0 is 0. Within a chunk the values that are written solve a triangular system, section 3.3 of
    the paper; from chunk to chunk the state goes on. States are held for chunks, not for tokens.

    Args:
        q_BTHD: Queries.
        k_BTHD: Keys, of unit norm.
        v_BTHV: Values.
        log_decay_BTH: Log of a_t.
        beta_BTH: Strength b_t of writing, 0 to 1.

    Returns:
        What is read, (B, T, H, V).
    """
    length = q_BTHD.shape[1]
    size = min(CHUNK, length)
    q, k, v = (in_chunks(x, size) for x in (q_BTHD * q_BTHD.shape[-1] ** -0.5, k_BTHD, v_BTHV))
    cumulated = in_chunks(log_decay_BTH[..., None], size)[..., 0].cumsum(-1)
    beta = in_chunks(beta_BTH[..., None], size)
    within = decays_within(cumulated)
    since_start = cumulated[..., None].exp()
    to_end = (cumulated[..., -1:] - cumulated)[..., None].exp()

    # written = of_values - of_state S, with S the state before the chunk, (D, V)
    overlaps = (beta * (k @ k.mT) * within).tril(-1)
    solution = inverse(overlaps + torch.eye(size, dtype=k.dtype, device=k.device))
    of_values = solution @ (beta * v)
    of_state = solution @ (beta * since_start * k)
    faded_keys = (to_end * k).mT
    end = since_start[..., -1:, :] * torch.eye(k.shape[-1], dtype=k.dtype, device=k.device)
    states = chunk_states(end - faded_keys @ of_state, faded_keys @ of_values)
    written = of_values - of_state @ states
    read = (since_start * q) @ states + (q @ k.mT * within) @ written
    return out_of_chunks(read, length)


def inverse(lower: Tensor) -> Tensor:
    """Return the inverse of lower triangular matrices (.., Q, Q) with ones on the diagonal.

    A step of Newton's method from the inverse itself changes no value, and its gradient is that of
    the inverse, by matrix products alone. It has no second derivative.
    """
    with torch.no_grad():
        ones = torch.eye(lower.shape[-1], dtype=lower.dtype, device=lower.device)
        found = torch.linalg.solve_triangular(
            lower, ones.expand_as(lower), upper=False, unitriangular=True
        )
    return 2 * found - found @ lower @ found


def chunk_states(transitions: Tensor, added: Tensor) -> Tensor:
    """Return the state before each chunk, (B, H, N, D, V): S' = transition S + added, from 0."""
    states = [torch.zeros_like(added[:, :, 0])]
    for chunk in range(added.shape[2] - 1):
        states.append(transitions[:, :, chunk] @ states[-1] + added[:, :, chunk])
    return torch.stack(states, dim=2)
