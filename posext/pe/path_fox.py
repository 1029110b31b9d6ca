"""PaTH-FoX: PaTH with the forget gates of FoX."""

from torch import nn

from posext.pe.fox import ForgetGate
from posext.pe.path import PaTH


class PaTHFoX(PaTH):
    """Adds FoX's logarithms of forget gates to the scores of PaTH (Yang et al. 2025).

    They are added as they are, as in the paper; the authors' code divides them by the root of
    head_dim too, so that its gates forget more slowly at first.
    """

    paper = "arXiv:2505.16381"
    stages = frozenset({"trained"})

    def make_layer_modules(self) -> list[nn.Module]:
        return [*super().make_layer_modules(), ForgetGate(self.shape.d_model, self.shape.n_heads)]
