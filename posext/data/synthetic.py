"""Documents drawn from a law that is known, so that the best possible loss on them is known too: see posext.eval.bayes_floor.

A document is a pure function of the settings and its index, however many there are.

Shape suffixes: D documents drawn at once, T tokens, P tokens of the longest block, R rows of a transition table, V symbols.
"""

from collections.abc import Iterator

import numpy as np

from posext.config import DataConfig

AT_ONCE = 256  # more is faster and takes more memory; another number draws other documents


def documents(config: DataConfig) -> Iterator[np.ndarray]:
    """The symbols of each document, 0 .. V - 1: uint8 (T,)."""
    draw = {"markov": markov, "copy": copy}[config.source]
    for first in range(0, config.documents, AT_ONCE):
        rng = np.random.default_rng([config.seed, first])
        yield from draw(config, rng)[: config.documents - first]


def markov(config: DataConfig, rng: np.random.Generator) -> np.ndarray:
    """Chains of their own, uint8 (D, T): each row of a chain's transition table is drawn from a symmetric Dirichlet.

    The first `order` symbols are uniform.
    """
    V, order, length = config.symbols, config.order, max(config.document_tokens, config.order)
    rows_DRV = rng.dirichlet(np.full(V, config.concentration), size=(AT_ONCE, V**order))
    edges_DRV = rows_DRV.cumsum(axis=-1)[..., :-1]
    tokens_TD = np.empty((length, AT_ONCE), dtype=np.uint8)
    tokens_TD[:order] = rng.integers(V, size=(order, AT_ONCE))
    row_D = V ** np.arange(order)[::-1] @ tokens_TD[:order]
    each_D = np.arange(AT_ONCE)
    for t in range(order, length):
        tokens_TD[t] = (rng.random((AT_ONCE, 1)) >= edges_DRV[each_D, row_D]).sum(axis=-1)
        row_D = (row_D * V + tokens_TD[t]) % V**order
    return np.ascontiguousarray(tokens_TD.T[:, : config.document_tokens])


def copy(config: DataConfig, rng: np.random.Generator) -> np.ndarray:
    """Blocks of uniform symbols repeated throughout, uint8 (D, T); the period is uniform from period_min to period_max.

    A window cut anywhere has the law of one cut at the start, which is why its floor is exact.
    """
    periods_D = rng.integers(config.period_min, config.period_max + 1, size=AT_ONCE)
    blocks_DP = rng.integers(config.symbols, size=(AT_ONCE, config.period_max), dtype=np.uint8)
    return np.take_along_axis(
        blocks_DP, np.arange(config.document_tokens) % periods_D[:, None], axis=1
    )
