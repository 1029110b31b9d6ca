"""Synthetic documents from a known law, so that the best possible loss is known too.

`posext.eval.bayes_floor` computes that loss. A document is a pure function of the settings and
its index, whatever the number of documents.

Shape suffixes: D documents drawn at once, T tokens, P tokens of the longest block, R rows of a
transition table, V symbols.
"""

from collections.abc import Iterator

import numpy as np

from posext.config import CopyData, MarkovData, SyntheticData

# A larger number is faster and takes more memory; changing it changes the documents.
DOCUMENTS_PER_DRAW = 256


def symbol_sequences(config: SyntheticData) -> Iterator[np.ndarray]:
    """Yield the symbols of each document, 0 .. V - 1: uint8 (T,)."""
    for first in range(0, config.documents, DOCUMENTS_PER_DRAW):
        rng = np.random.default_rng([config.seed, first])
        yield from draw(config, rng)[: config.documents - first]


def draw(config: SyntheticData, rng: np.random.Generator) -> np.ndarray:
    """Draw DOCUMENTS_PER_DRAW documents: uint8 (D, T)."""
    if isinstance(config, MarkovData):
        return markov(config, rng)
    assert isinstance(config, CopyData)
    return copy(config, rng)


def markov(config: MarkovData, rng: np.random.Generator) -> np.ndarray:
    """Draw Markov chains, uint8 (D, T), each with a transition table of its own.

    The rows of a table are drawn from a symmetric Dirichlet; the first `order` symbols of a
    chain are uniform.
    """
    V = config.symbols
    D = DOCUMENTS_PER_DRAW
    order = config.order
    length = max(config.document_tokens, order)
    rows_DRV = rng.dirichlet(np.full(V, config.concentration), size=(D, V**order))
    edges_DRV = rows_DRV.cumsum(axis=-1)[..., :-1]
    tokens_TD = np.empty((length, D), dtype=np.uint8)
    tokens_TD[:order] = rng.integers(V, size=(order, D))
    row_D = V ** np.arange(order)[::-1] @ tokens_TD[:order]
    index_D = np.arange(D)
    for t in range(order, length):
        tokens_TD[t] = (rng.random((D, 1)) >= edges_DRV[index_D, row_D]).sum(axis=-1)
        row_D = (row_D * V + tokens_TD[t]) % V**order
    return np.ascontiguousarray(tokens_TD.T[:, : config.document_tokens])


def copy(config: CopyData, rng: np.random.Generator) -> np.ndarray:
    """Draw repeated blocks of uniform symbols, uint8 (D, T).

    The period is uniform from period_min to period_max. A window cut anywhere has the same law as
    one cut at the start, so the Bayes floor is exact.
    """
    D = DOCUMENTS_PER_DRAW
    periods_D = rng.integers(config.period_min, config.period_max + 1, size=D)
    blocks_DP = rng.integers(config.symbols, size=(D, config.period_max), dtype=np.uint8)
    places_DT = np.arange(config.document_tokens) % periods_D[:, None]
    return np.take_along_axis(blocks_DP, places_DT, axis=1)
