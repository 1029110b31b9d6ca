"""The settings of what updates the weights."""

from dataclasses import dataclass
from typing import Annotated

from posext.utils.ranges import Decay, NonNegative, OneOf, Positive, Share


@dataclass
class OptimizerConfig:
    """AdamW (Loshchilov and Hutter 2017, arXiv:1711.05101), and the schedule of learning rates.

    Weight decay applies to matrices, not to gains and other vectors.
    """

    kind: Annotated[str, OneOf(("adamw",))] = "adamw"  # of optimizer
    beta1: Decay = 0.9  # AdamW's decay of the mean gradient
    beta2: Decay = 0.95  # AdamW's decay of the mean squared gradient
    weight_decay: NonNegative = 0.1  # of matrices
    clip: Positive = 1.0  # largest norm of the full gradient
    # wsd: constant, then linear decay
    schedule: Annotated[str, OneOf(("cosine", "wsd"))] = "cosine"
    warmup_share: Share = 0.2  # of the steps; measured in results/warmup
    decay_share: Share = 0.2  # of the steps, for wsd
    final_share: Share = 0.1  # of the learning rate, at the last step


@dataclass
class MuonConfig(OptimizerConfig):
    """Muon for the matrices of the blocks, AdamW for the rest.

    Jordan et al. 2024, https://kellerjordan.github.io/posts/muon: a step moves a matrix of r rows
    and c columns by sqrt(max(1, r / c)) times its learning rate, in spectral norm.
    """

    kind: Annotated[str, OneOf(("muon",))] = "muon"  # of optimizer
    warmup_share: Share = 0.05  # of the steps; Muon needs no longer one
    momentum: Decay = 0.95  # Muon's, with Nesterov's look ahead
    matrix_learning_rate: Positive = 0.02  # Muon's highest; learning_rate is that of the rest


# by `optimizer.kind`
OPTIMIZERS = {"adamw": OptimizerConfig, "muon": MuonConfig}
