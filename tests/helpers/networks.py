"""Small networks under a scheme, and tokens for them."""

import torch

from posext.config import ModelConfig
from posext.model.gpt import GPT
from posext.pe import build

TRAIN_LENGTH = 16
SHAPE = {"head_dim": 8, "n_heads": 4, "d_model": 32, "train_length": TRAIN_LENGTH}


def network(n_layers: int, scheme: str, **settings) -> GPT:
    """A network whose weights are large enough for attention to be far from uniform."""
    config = ModelConfig("test", n_layers, n_heads=4, d_model=32, d_ff=64, learning_rate=1e-3)
    model = GPT(config, 50, build(scheme, **SHAPE, **settings)).initialize(0).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8)
    return model


def tokens(length: int, seed: int = 0) -> torch.Tensor:
    """Random tokens of a batch of two."""
    return torch.randint(50, (2, length), generator=torch.Generator().manual_seed(seed))
