"""NoPE: no positional encoding."""

from posext.pe.base import PositionalEncoding


class NoPE(PositionalEncoding):
    """Leaves the order of tokens to the causal mask alone; the defaults of the interface.

    Haviv et al. 2022; Kazemnejad et al. 2023.
    """

    paper = "arXiv:2203.16634, arXiv:2305.19466"
    stages = frozenset({"trained"})
