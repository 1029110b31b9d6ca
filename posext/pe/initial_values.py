"""Initial values of what schemes learn."""

from torch import nn


def draw_weights(module: nn.Module, std: float = 0.02) -> None:
    """Draw the weights of linear maps and convolutions from Normal(0, std); their biases are 0."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv1d):
            nn.init.normal_(part.weight, std=std)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
