"""The in-context-learning score, from the stored sums of `per_position`.

It is the loss late in the context minus the loss early in it (Olsson et al. 2022,
arXiv:2209.11895, who take the 500th and the 50th token). One position is a noisy number, so each
end is a bucket of positions. The late end lies within the length trained.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tabulate import tabulate

from posext.analysis.curves import curve_label
from posext.analysis.document_sums import StoredCurve, of_folder, sums
from posext.analysis.statistics import NO_INTERVAL, Estimate, interval
from posext.config import HEADLINE, PER_POSITION

LATEST = 512  # largest context of the late bucket, in tokens
RATIO = 8  # of the late bucket's contexts to the early one's
HEADERS = ("in-context-learning score", "seed", "loss after", "minus loss after", "nats a token")


class InContextScore(NamedTuple):
    """The score of a curve, in nats a token: below 0, the context helps.

    `row` is the curve's first row of curves.csv. `late` and `early` are the largest contexts of the
    buckets, in tokens.
    """

    row: Any
    late: int
    early: int
    score: Estimate

    def cells(self) -> list[str]:
        """The score as texts, under HEADERS."""
        row = self.row.copy()
        row["protocol"] = HEADLINE
        low, high = self.score.low, self.score.high
        ends = NO_INTERVAL if np.isnan(low) else f"{low:+.3f} to {high:+.3f}"
        buckets = (bucket_text(bucket) for bucket in (self.late, self.early))
        return [curve_label(row), str(int(row.seed)), *buckets, f"{self.score.value:+.3f} ({ends})"]


def bucket_text(bucket: int) -> str:
    """The contexts of a bucket in words."""
    return f"{bucket // 2 + 1} to {bucket} tokens" if bucket > 2 else f"{bucket} tokens"


def bucket_size(bucket: int) -> int:
    """Positions in a bucket."""
    return max(1, bucket // 2)


def ends(buckets: list[int], trained_length: int) -> tuple[int, int] | None:
    """Choose the late and the early bucket.

    Args:
        buckets: Largest contexts of the buckets measured, in tokens.
        trained_length: Longest length trained, in tokens.

    Returns:
        The largest whole bucket up to LATEST tokens and the length trained, and the one RATIO times
        smaller, at least the first; None if these are one.
    """
    limit = min(LATEST, trained_length)
    late = max((n for n in buckets if n <= limit and n.bit_count() == 1), default=1)
    early = max(1, late // RATIO)
    return (late, early) if late > early and early in buckets else None


def in_context_scores(folder: Path, rows: pd.DataFrame) -> list[InContextScore]:
    """Compute the score of every curve in a folder that was measured under `per_position`.

    Args:
        folder: A folder with documents.parquet, of a run or of several.
        rows: Its rows of curves.csv, or some of them.
    """
    stored = sums(folder)
    rows = rows.loc[(rows.protocol == PER_POSITION) & rows.nll.notna()]
    scores = []
    for _, of_run in rows.groupby(["run", "corpus"], sort=False):
        chosen = ends(of_run.context_length.astype(int).tolist(), of_run.trained_length.iloc[0])
        if stored is None or chosen is None:
            continue
        late, early = (of_folder(folder, PER_POSITION, str(n), "all", of_run) for n in chosen)
        for one, other in zip(late, early, strict=True):
            if one.sums and other.sums:
                scores.append(InContextScore(one.row, *chosen, score(one, other, *chosen)))
    return scores


def score(late: StoredCurve, early: StoredCurve, late_bucket: int, early_bucket: int) -> Estimate:
    """Mean loss in the late bucket minus that in the early one, paired by document."""
    (late_sums,) = late.sums.values()
    (early_sums,) = early.sums.values()
    nll_D = late_sums.nll / bucket_size(late_bucket) - early_sums.nll / bucket_size(early_bucket)
    windows_D = late_sums.tokens / bucket_size(late_bucket)
    return interval(nll_D.to_numpy(float), windows_D.to_numpy(float))


def score_table(scores: list[InContextScore]) -> str:
    """Table of scores in Markdown, a row for each curve."""
    cells = [each.cells() for each in scores]
    return tabulate(cells, headers=HEADERS, tablefmt="github", disable_numparse=True)
