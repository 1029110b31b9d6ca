"""What is compiled computes what is written."""

import pytest
import torch
from torch import Tensor

from posext.utils.compiling import compile_error


def halves(x_BKT: Tensor, shown_BTD: Tensor) -> Tensor:
    """Add two halves of a transposed tensor, as in the gradient of a rotated key."""
    y_BTK = x_BKT.transpose(1, 2).float()
    d_head = shown_BTD.shape[2]
    total_BTD = y_BTK[..., :d_head] * 0.5 + y_BTK[..., d_head:] * 0.25
    return torch.where(shown_BTD > 0, total_BTD, 0.0).to(torch.bfloat16)


def test_transposed_tiles_in_bf16_are_compiled_right() -> None:
    if compile_error("cpu"):
        pytest.skip("this machine cannot compile")
    generator = torch.Generator().manual_seed(0)
    x_BKT = torch.randn(64, 64, 64, generator=generator).bfloat16()
    shown_BTD = torch.randn(64, 64, 32, generator=generator).bfloat16()
    compiled = torch.compile(halves, dynamic=False)
    assert torch.equal(compiled(x_BKT, shown_BTD), halves(x_BKT, shown_BTD))
