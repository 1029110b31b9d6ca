"""No positional encoding: the causal mask alone breaks the symmetry between positions."""

from posext.pe.base import PositionalEncoding


class NoPE(PositionalEncoding):
    """NoPE (Haviv et al. 2022, arXiv:2203.16634; Kazemnejad et al. 2023, arXiv:2305.19466): the interface's defaults.

    Class T.
    """
