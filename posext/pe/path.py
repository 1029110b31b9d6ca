"""PaTH: position by accumulated Householder-like transformations."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posext.pe.base import AttentionTables, PositionalEncoding, Shape
from posext.pe.initial_values import draw_weights

BLOCK = 64  # tokens whose transformations are multiplied out together


class PaTH(PositionalEncoding):
    """Transforms a query on its way back to a key, as the content of the tokens in between says.

    The score of query n and key m is k_m (I - beta_l w_l w_l^T) .. q_n / sqrt(head_dim), the
    product over l = m + 1 .. n from left to right (Yang et al. 2025). As in the authors' code beta
    is 2 sigmoid(u x + b), and w a projection of rank 32, a convolution over 3 tokens, SiLU, norm.
    """

    paper = "arXiv:2505.16381"
    stages = frozenset({"trained"})
    own_scores = True
    family = "content"

    def make_layer_module(self) -> nn.Module:
        return Transformations(self.shape)


class Transformations(nn.Module):
    """w and beta of one layer."""

    def __init__(self, shape: Shape):
        super().__init__()
        width = shape.n_heads * shape.head_dim
        down, up = nn.Linear(shape.d_model, 32, bias=False), nn.Linear(32, width, bias=False)
        self.project = nn.Sequential(down, up)
        self.convolve = nn.Conv1d(width, width, 3, padding=2, groups=width, bias=False)
        self.beta = nn.Linear(shape.d_model, shape.n_heads)
        draw_weights(self)

    def forward(self, x_BTC: Tensor, tables: AttentionTables) -> AttentionTables:
        with torch.autocast(x_BTC.device.type, enabled=False):
            x_BTC = x_BTC.to(self.beta.weight.dtype)
            w_BET = F.silu(self.convolve(self.project(x_BTC).mT)[..., : x_BTC.shape[1]])
            w_BHTD = w_BET.unflatten(1, (self.beta.out_features, -1)).mT
            w_BHTD = w_BHTD / (w_BHTD.square().sum(-1, keepdim=True) + 1e-6).sqrt()
            bw_BHTD = 2 * self.beta(x_BTC).sigmoid().mT[..., None] * w_BHTD
        return tables._replace(score_rows=partial(transformed_rows, w=w_BHTD, bw=bw_BHTD))


def transformed_rows(q: Tensor, k: Tensor, w: Tensor, bw: Tensor) -> Callable[[int, int], Tensor]:
    """Return the rows of scores, of N blocks of S tokens; all arguments are (B, H, T, D)."""
    size = min(BLOCK, q.shape[2])
    whole = (q * q.shape[-1] ** -0.5, k, w.to(q.dtype), bw.to(q.dtype))
    padded = (F.pad(x, (0, 0, 0, -x.shape[2] % size)) for x in whole)
    q, k, w, bw = (x.unflatten(2, (-1, size)) for x in padded)
    known = torch.cat((bw, (bw @ k.mT).tril(-1)), dim=-1)
    lower = (bw @ w.mT).tril(-1)
    solved = torch.linalg.solve_triangular(lower, known, upper=False, unitriangular=True)
    u_BHNSD, key_parts_BHNSS = solved.split((q.shape[-1], size), dim=-1)
    query_parts_BHNSS = (q @ w.mT).tril()
    inside_BHNSS = q @ k.mT - query_parts_BHNSS @ key_parts_BHNSS
    block_BHNDD = w.mT @ u_BHNSD
    q, k = q - query_parts_BHNSS @ u_BHNSD, k - key_parts_BHNSS.mT @ w

    def rows(start: int, stop: int) -> Tensor:
        columns, passing = [], q[:, :, 0, :0]
        for n in reversed(range((stop - 1) // size + 1)):
            first = max(start, n * size)
            own = slice(first - n * size, stop - n * size)  # none if before `start`
            column = torch.cat((inside_BHNSS[:, :, n, own], passing @ k[:, :, n].mT), dim=2)
            columns.append(F.pad(column, (0, 0, first - start, 0)))
            passing = torch.cat((q[:, :, n, own], passing - passing @ block_BHNDD[:, :, n]), dim=2)
        return torch.cat(columns[::-1], dim=-1)[..., :stop]

    return rows
