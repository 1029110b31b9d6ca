"""The floor: the best possible NLL of each target, given exactly the window of context that a model reads.

For the sources that are drawn from a known law (posext.data.synthetic). It is the Bayes predictive of that law, whose
parameters (the transition rows, the period) are the document's own and integrated out, so no model that reads the same window
has a lower NLL in expectation, but for what `markov` says it leaves out. On a sample one may, by chance: see
posext.analysis.excess_loss.

Shape suffixes: W tokens of a window, K targets, N windows.
"""

import logging
import math

import numpy as np
import pandas as pd

from posext.config import SYNTHETIC_SOURCES, DataConfig
from posext.eval.curve import COST, SUMS, EvalPlan
from posext.eval.protocols import document_sums
from posext.eval.scoring import Window
from posext.utils.errors import PosextError

log = logging.getLogger(__name__)
FLOOR = "floor"  # as an extension: the best possible loss on a run's targets, where it is known
MISSED = (
    0.2  # of what the context gives at the training length, above which a model does not use it yet
)


def has_bayes_floor(config: DataConfig) -> bool:
    """Whether the floor of a corpus is known."""
    return config.source in SYNTHETIC_SOURCES


def window_nll(window_W: np.ndarray, config: DataConfig) -> np.ndarray:
    """The NLL in nats of each symbol of a window given those before it in the window: float64 (W,)."""
    if config.source == "markov":
        return markov(window_W, config.symbols, config.order, config.concentration)
    return copy(window_W, config.symbols, config.period_min, config.period_max)


def markov(window_W: np.ndarray, symbols: int, order: int, concentration: float) -> np.ndarray:
    """A Markov chain whose transition rows come from a symmetric Dirichlet: the Dirichlet-multinomial predictive,

        p(x | window) = (n(s, x) + a) / (n(s) + a V),

    with n the transitions in the window so far out of the last `order` symbols s (MacKay and Peto 1995; in context,
    Edelman et al. 2024, arXiv:2402.11004). The first `order` symbols cost log V each.

    Exact for a window that starts a document. The first state of one cut from the middle has about the chain's stationary
    distribution, so it tells something about the rows; that has no closed form and is left out. The floor is too high by
    what this one state tells, which falls faster than the context grows: by Monte Carlo over the rows of the default law
    0.004 nats after 16 tokens, 0.0005 after 64 and 0.0001 after 128; with order 2, 0.0014 after 64 and 0.0007 after 128.
    """
    V = symbols
    cost_W = np.full(len(window_W), math.log(V))
    if len(window_W) <= order:
        return cost_W
    powers = V ** np.arange(order, -1, -1)
    moves = np.lib.stride_tricks.sliding_window_view(window_W.astype(np.int64), order + 1) @ powers
    seen, visits = seen_before(moves), seen_before(moves // V)
    cost_W[order:] = np.log(visits + concentration * V) - np.log(seen + concentration)
    return cost_W


def seen_before(values: np.ndarray) -> np.ndarray:
    """How often each value stands earlier in the array: int64, of its shape."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order], prepend=-1))
    counts = np.empty(len(values), dtype=np.int64)
    counts[order] = np.arange(len(values)) - np.repeat(starts, np.diff(starts, append=len(values)))
    return counts


def copy(window_W: np.ndarray, symbols: int, low: int, high: int) -> np.ndarray:
    """A block of uniform symbols repeated with a period that is uniform from `low` to `high`: the exact predictive.

    Under period p the first n symbols have probability V^-min(n, p) while each equals the one p before it, and 0 after
    the first that does not. With Z(n) the mean of that over p, the n-th symbol costs log Z(n - 1) - log Z(n). Raises
    ValueError for a window that no period explains.
    """
    W, log_V = len(window_W), math.log(symbols)
    n = np.arange(W + 1)
    with np.errstate(divide="ignore"):
        log_z = (
            np.log(np.clip(high + 1 - np.maximum(n, low), 0, None)) - n * log_V
        )  # the periods not below n
    for period in range(low, min(high, W - 1) + 1):
        broken = window_W[period:] != window_W[:-period]
        first = int(broken.argmax())
        end = period + first if broken[first] else W  # symbols that the period explains
        log_z[period + 1 : end + 1] = np.logaddexp(log_z[period + 1 : end + 1], -period * log_V)
    if np.isneginf(log_z[-1]):
        raise PosextError(f"no period from {low} to {high} explains this window of {W} symbols")
    return -np.diff(log_z)


def score(plan: EvalPlan, config: DataConfig, windows: list[Window]) -> list[np.ndarray]:
    """The floor of the scored labels of each window, as posext.eval.scoring.score_windows scores a model."""
    document = plan.tokens.validation.document
    return [
        window_nll(document(w.document)[w.end - w.length : w.end + 1], config)[-w.scored :]
        for w in windows
    ]


def curve(plan: EvalPlan, config: DataConfig) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sums per document under every protocol at every length, as measure.measure_curve gives them; no costs."""
    sums, tokens = [], plan.tokens
    for name, made in plan.protocols.items():
        for length, windows in made.windows.items():
            nll = score(plan, config, windows)
            part = document_sums(
                tokens.validation, made, length, windows, nll, tokens.bytes_per_token
            )
            sums.append(part.assign(protocol=name))
    return pd.concat(sums, ignore_index=True).loc[:, SUMS], pd.DataFrame(columns=COST)


def warn_if_far(rows: pd.DataFrame, symbols: int) -> None:
    """Say so where a run as trained misses much of what the context gives at its training length."""
    rows = rows.loc[(rows.protocol == "fixed_target") & (rows.context_length == rows.trained_length)]
    at = rows.drop_duplicates("extend").set_index("extend").nll
    if not {"", FLOOR} <= set(at.index):
        return
    gain, missed = math.log(symbols) - at[FLOOR], at[""] - at[FLOOR]
    if missed > MISSED * gain > 0:
        log.warning(
            "the loss at the training length is %.3f nats, %.3f above the floor: what finds the document's law in the "
            "context has not formed yet, so longer contexts say little; train for more steps or on fewer symbols",
            at[""], missed,
        )  # fmt: skip
