"""Bayes floor: the lowest possible expected NLL of each target, given the window a model reads.

It exists for synthetic sources, whose law is known (posext.data.synthetic). It is the posterior
predictive of that law, with the parameters of the document (transition rows, period) integrated
out. No model that reads the same window has a lower expected NLL, up to the approximation stated in
`markov_nll`. On a sample a model may have a lower NLL by chance: see posext.analysis.excess_loss.

Shape suffixes: W tokens of a window, K targets, N windows.
"""

import logging
import math
from typing import TypeGuard

import numpy as np
import pandas as pd

from posext.config import HEADLINE, CopyData, DataConfig, MarkovData, SyntheticData
from posext.eval.curve import COST_COLUMNS, CURVE_SUM_COLUMNS, EvalPlan
from posext.eval.perturbation import DROPPED
from posext.eval.protocols import sums_by_document
from posext.eval.scoring import TargetWindow, read
from posext.utils.errors import PosextError

log = logging.getLogger(__name__)
FLOOR = "floor"  # value of the column `extend` for the Bayes floor of a run's targets
# A model that misses a larger share of the gain from context at the training length gets a warning.
MAX_MISSED_SHARE = 0.2


def has_bayes_floor(config: DataConfig) -> TypeGuard[SyntheticData]:
    """Whether the Bayes floor of a corpus is known."""
    return isinstance(config, SyntheticData)


def window_nll(window_W: np.ndarray, config: DataConfig) -> np.ndarray:
    """NLL in nats of each symbol given the symbols before it in the window: float64 (W,)."""
    if isinstance(config, MarkovData):
        return markov_nll(window_W, config.symbols, config.order, config.concentration)
    assert isinstance(config, CopyData)
    return copy_nll(window_W, config.symbols, config.period_min, config.period_max)


def markov_nll(window_W: np.ndarray, symbols: int, order: int, concentration: float) -> np.ndarray:
    """NLL under a Markov chain with transition rows from a symmetric Dirichlet distribution.

    The Dirichlet-multinomial predictive is

        p(x | window) = (n(s, x) + a) / (n(s) + a V),

    where n counts the transitions in the window so far from the state s, the last `order` symbols
    (MacKay and Peto 1995; in context, Edelman et al. 2024, arXiv:2402.11004). Each of the first
    `order` symbols costs log V.

    The result is exact for a window that starts a document. The first state of a window from the
    middle of a document has about the stationary distribution of the chain, so it carries
    information on the rows; this term has no closed form and is left out. The floor is too high by
    the information in this one state, which falls faster than the context grows: by Monte Carlo
    over the rows of the default law, 0.004 nats after 16 tokens, 0.0005 after 64 and 0.0001 after
    128; with order 2, 0.0014 after 64 and 0.0007 after 128.
    """
    V = symbols
    nll_W = np.full(len(window_W), math.log(V))
    if len(window_W) <= order:
        return nll_W
    powers = V ** np.arange(order, -1, -1)
    runs = np.lib.stride_tricks.sliding_window_view(window_W.astype(np.int64), order + 1)
    transitions = runs @ powers
    transition_counts = seen_before(transitions)
    state_counts = seen_before(transitions // V)
    nll_W[order:] = np.log(state_counts + concentration * V) - np.log(
        transition_counts + concentration
    )
    return nll_W


def seen_before(values: np.ndarray) -> np.ndarray:
    """Count the earlier occurrences of each value in the array: int64, of the same shape."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.diff(values[order], prepend=-1))
    counts = np.empty(len(values), dtype=np.int64)
    counts[order] = np.arange(len(values)) - np.repeat(starts, np.diff(starts, append=len(values)))
    return counts


def copy_nll(window_W: np.ndarray, symbols: int, period_min: int, period_max: int) -> np.ndarray:
    """Exact NLL under a repeated block of uniform symbols with a uniformly drawn period.

    Under period p the first n symbols have probability V^-min(n, p) while each equals the symbol p
    before it, and 0 after the first that does not. With Z(n) the mean of that over p, the n-th
    symbol costs log Z(n - 1) - log Z(n). Raises PosextError for a window that no period explains.
    """
    W = len(window_W)
    log_V = math.log(symbols)
    n = np.arange(W + 1)
    periods_not_below_n = np.clip(period_max + 1 - np.maximum(n, period_min), 0, None)
    with np.errstate(divide="ignore"):
        log_z = np.log(periods_not_below_n) - n * log_V
    for period in range(period_min, min(period_max, W - 1) + 1):
        broken = window_W[period:] != window_W[:-period]
        first = int(broken.argmax())
        end = period + first if broken[first] else W  # symbols that the period explains
        log_z[period + 1 : end + 1] = np.logaddexp(log_z[period + 1 : end + 1], -period * log_V)
    if np.isneginf(log_z[-1]):
        raise PosextError(
            f"no period from {period_min} to {period_max} explains this window of {W} symbols"
        )
    return -np.diff(log_z)


def score_floor(
    plan: EvalPlan, config: DataConfig, windows: list[TargetWindow]
) -> list[np.ndarray]:
    """Bayes floor of the scored labels of each window, in the form of `scoring.score_windows`."""
    document = plan.tokens.validation.document
    nll = []
    for window in windows:
        nll.append(window_nll(read(window, document), config)[-window.scored :])
    return nll


def follows_law(window: TargetWindow) -> bool:
    """Whether a window reads its document's own text, if less of it."""
    return window.perturbation is None or window.perturbation.change == DROPPED


def measure_floor(plan: EvalPlan, config: DataConfig) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sums per document of the floor, in the form of `curve.measure_curve`, with an empty cost.

    Windows with changed text, which does not follow the law, have no floor.
    """
    tokens = plan.tokens
    sums = []
    for name, protocol_plan in plan.protocols.items():
        for length, planned in protocol_plan.windows.items():
            windows = [window for window in planned if follows_law(window)]
            nll = score_floor(plan, config, windows)
            sums_of_length = sums_by_document(
                tokens.validation, protocol_plan, length, windows, nll, tokens.bytes_per_token
            )
            sums.append(sums_of_length.assign(protocol=name))
    all_sums = pd.concat(sums, ignore_index=True).loc[:, CURVE_SUM_COLUMNS]
    return all_sums, pd.DataFrame(columns=COST_COLUMNS)


def warn_if_far(rows: pd.DataFrame, symbols: int) -> None:
    """Warn if a run as trained misses much of the gain from context at its training length."""
    rows = rows.loc[(rows.protocol == HEADLINE) & (rows.context_length == rows.trained_length)]
    nll = rows.drop_duplicates("extend").set_index("extend").nll
    if not {"", FLOOR} <= set(nll.index):
        return
    gain = math.log(symbols) - nll[FLOOR]
    missed = nll[""] - nll[FLOOR]
    if missed > MAX_MISSED_SHARE * gain > 0:
        log.warning(
            "the loss at the training length is %.3f nats, %.3f above the floor: "
            "what finds the document's law in the context has not formed yet, "
            "so longer contexts say little; train for more steps or on fewer symbols",
            nll[""],
            missed,
        )
