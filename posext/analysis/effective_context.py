"""The worth of far text, and effective context lengths, from stored sums.

Terms:
    rise: The mean NLL with everything farther than k tokens changed, minus that of the same targets
        with all text intact.
    effective context length: The smallest measured distance k from which on the rise stays below a
        share of the intact NLL (Khandelwal et al. 2018, arXiv:1805.04623, section 3: 1 %).
    effective context size: The same of a curve of context lengths: the smallest measured length
        from which on the NLL is within 1 % of that at the longest.

Shape suffixes: D documents, N distances, S resamples.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tabulate import tabulate

from posext.analysis import statistics
from posext.analysis.comparison import Bootstrap
from posext.analysis.curves import curve_label
from posext.analysis.document_sums import StoredCurve, align_documents, of_folder, sums
from posext.analysis.statistics import LEVEL, NO_INTERVAL, TOLERANCE, Estimate
from posext.config import HEADLINE, PERTURBED
from posext.eval.perturbation import CHANGES
from posext.eval.protocols.perturbed import INTACT


class RiseCurve(NamedTuple):
    """The loss of a curve under one change of the far text, by the distance from which on it acts.

    `row` is the curve's first row of curves.csv. `kept` are the N distances in tokens, increasing.
    The NLL is in nats, summed by document; the weights are tokens.
    """

    row: Any
    change: str
    kept: list[int]
    nll_ND: np.ndarray
    intact_D: np.ndarray
    weight_D: np.ndarray

    @property
    def name(self) -> str:
        """Label of the curve, without the protocol."""
        row = self.row.copy()
        row["protocol"] = HEADLINE
        return curve_label(row)

    def table(self) -> pd.DataFrame:
        """A row for each distance: `kept`, and `rise` with the ends `low` and `high`, in nats.

        The interval is paired: of the documents' own differences.
        """
        rises = [
            statistics.difference(nll_D, self.intact_D, self.weight_D) for nll_D in self.nll_ND
        ]
        return pd.DataFrame(rises, columns=["rise", "low", "high"]).assign(kept=self.kept)

    def limit(self, share: float) -> float:
        """A share of the intact NLL, in nats a token."""
        return share * float(self.intact_D.sum() / self.weight_D.sum())

    def effective(self, share: float, bootstrap: Bootstrap) -> Estimate:
        """The effective context length in tokens; infinite if it is beyond the largest distance.

        Its interval is that of the quantiles over resampled documents.

        Args:
            share: The rise that counts as none, as a share of the intact NLL.
            bootstrap: Resampling of documents.
        """
        nll_1D = np.concatenate([self.intact_D[None], self.nll_ND])
        documents = len(self.weight_D)
        mean, mean_S = statistics.mean_nll(nll_1D, self.weight_D, bootstrap.draws(documents))
        value = float(effective_length(self.kept, mean[1:], mean[:1], share)[0])
        if documents < 2:
            return Estimate(value, math.nan, math.nan)
        lengths_S = effective_length(self.kept, mean_S[:, 1:], mean_S[:, 0], share)
        return Estimate(value, *middle(lengths_S))


def effective_length(
    kept: list[int], nll_SN: np.ndarray, intact_S: np.ndarray, share: float
) -> np.ndarray:
    """The smallest distance from which on the rise is below a share of the intact NLL: (S,).

    Infinite where it is not at the largest distance.
    """
    above_SN = nll_SN - intact_S[:, None] >= share * intact_S[:, None]
    from_last_SN = above_SN[:, ::-1]
    steps = np.where(above_SN.any(1), above_SN.shape[1] - from_last_SN.argmax(1), 0)
    return np.array([*kept, math.inf])[steps]


def middle(lengths_S: np.ndarray) -> tuple[float, float]:
    """The ends between which LEVEL of the resampled lengths lie."""
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.quantile(lengths_S, tails, method="inverted_cdf")
    return float(low), float(high)


def effective_size(curve: StoredCurve, bootstrap: Bootstrap) -> Estimate | None:
    """The effective context size of a curve in tokens, with the interval of resampled documents.

    None where a shorter length has a loss lower by over 1 %, or fewer than two were measured: then
    the longest says nothing of what is enough.
    """
    lengths = sorted(curve.sums)
    if len(lengths) < 2:
        return None
    nll_LD, weight_D = align_documents([curve.sums[length] for length in lengths])
    mean_L, mean_SL = statistics.mean_nll(nll_LD, weight_D, bootstrap.draws(len(weight_D)))
    if mean_L.min() < (1 - TOLERANCE) * mean_L[-1]:
        return None
    (value,) = effective_length(lengths, mean_L[None], mean_L[-1:], TOLERANCE)
    if len(weight_D) < 2:
        return Estimate(float(value), math.nan, math.nan)
    lengths_S = effective_length(lengths, mean_SL, mean_SL[:, -1], TOLERANCE)
    return Estimate(float(value), *middle(lengths_S))


def size_text(estimate: Estimate | None) -> str:
    """An effective context size in words, with its interval."""
    if estimate is None:
        return "none"
    if math.isnan(estimate.low):
        return f"{estimate.value:,.0f} ({NO_INTERVAL})"
    return f"{estimate.value:,.0f} ({estimate.low:,.0f} to {estimate.high:,.0f})"


def read_rises(folder: Path, rows: pd.DataFrame | None = None) -> list[RiseCurve]:
    """Read the rises of a run, or of several in one folder: a curve for each scheme and change.

    Args:
        folder: A folder with curves.csv and documents.parquet.
        rows: Rows of curves.csv to restrict the curves to.

    Returns:
        The curves; empty if nothing was measured under the protocol.

    Raises:
        PosextError: Documents of a curve differ between distances.
    """
    stored = sums(folder)
    if stored is None:
        return []
    groups = set(stored.loc[stored.protocol == PERTURBED, "group"])
    if INTACT not in groups:
        return []
    intact = {
        curve_key(curve.row): next(iter(curve.sums.values()))
        for curve in of_folder(folder, PERTURBED, INTACT, "all", rows)
        if curve.sums
    }
    rises = []
    for change in [change for change in CHANGES if change in groups]:
        for curve in of_folder(folder, PERTURBED, change, "all", rows):
            if not curve.sums:  # undefined, or a floor, which has no other text
                continue
            kept = sorted(curve.sums)
            frames = [intact[curve_key(curve.row)], *(curve.sums[length] for length in kept)]
            nll_1D, weight_D = align_documents(frames)
            rises.append(RiseCurve(curve.row, change, kept, nll_1D[1:], nll_1D[0], weight_D))
    return rises


def curve_key(row: Any) -> tuple[str, ...]:
    return row.run, row.corpus, row.extend, row.factor


def rise_table(rises: list[RiseCurve], share: float, bootstrap: Bootstrap) -> str:
    """Table of rises in nats by curve and change (rows) and distance (columns).

    Each cell has half the width of its interval; the last column has the effective context length.
    """
    distances = sorted({kept for curve in rises for kept in curve.kept})
    lines = []
    for curve in rises:
        table = curve.table().set_index("kept")
        cells = {kept: rise_cell(table.loc[kept]) for kept in curve.kept}
        effective = effective_text(curve, curve.effective(share, bootstrap))
        row = [cells.get(kept, "") for kept in distances]
        lines.append([curve.name, int(curve.row.seed), curve.change, *row, effective])
    headers = ["rise of the loss", "seed", "farther is", *map(str, distances), "effective"]
    return tabulate(lines, headers=headers, disable_numparse=True)


def rise_cell(row: Any) -> str:
    """A rise with half the width of its interval."""
    if math.isnan(row.low):
        return f"{row.rise:+.3f}"
    return f"{row.rise:+.3f} ±{(row.high - row.low) / 2:.3f}"


def effective_text(curve: RiseCurve, estimate: Estimate) -> str:
    """An effective context length in words, with its interval."""

    def tokens(length: float) -> str:
        return f"{length:,.0f}" if math.isfinite(length) else f"over {curve.kept[-1]:,}"

    if math.isnan(estimate.low):
        return f"{tokens(estimate.value)} ({NO_INTERVAL})"
    return f"{tokens(estimate.value)} ({tokens(estimate.low)} to {tokens(estimate.high)})"
