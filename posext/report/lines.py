"""Curves as chart lines: one a scheme, over its seeds, with the same color in every chart."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from posext.analysis.curve_table import crop_baseline
from posext.analysis.curves import SCHEME_OVER_SEEDS, curve_label, dedupe_floor
from posext.config import HEADLINE, OWN
from posext.eval.bayes_floor import FLOOR

COST_NUMBERS = ["seconds", "tokens_per_second", "peak_memory_bytes"]
# The colors of Okabe and Ito for color-blind readers, without black and yellow, and two of Tol's.
# Markers tell repeated colors apart.
COLORS = "#0072B2 #D55E00 #009E73 #CC79A7 #E69F00 #56B4E9 #999933 #AA4499".split()
SYMBOLS = "circle square diamond triangle-up x cross triangle-down pentagon star".split()


@dataclass(frozen=True)
class Style:
    color: str  # "" stands for the text color of the page
    symbol: str
    dashed: bool = False


@dataclass(frozen=True, eq=False)
class Line:
    """One line of a chart: the curves of all seeds of a scheme."""

    name: str
    style: Style
    curves: pd.DataFrame
    floor: bool

    @property
    def seeds(self) -> int:
        return self.curves.seed.nunique()

    @cached_property
    def values(self) -> pd.DataFrame:
        """Means over seeds by context length, with a band; nan for undefined lengths.

        `low` and `high` are the band of `mean_and_band`; `bytes_share` turns nats per token into
        bits per byte.
        """
        by_length = self.curves.groupby("context_length")
        values: Any = by_length[["bits_per_byte", *COST_NUMBERS]].mean()
        band = mean_and_band(by_length, "nll", ("nll_low", "nll_high"), self.seeds == 1)
        values = values.assign(nll=band["mean"], low=band.low, high=band.high)
        return values.assign(bytes_share=values.bits_per_byte / values.nll)

    def crop(self, curves: pd.DataFrame) -> float:
        """The mean crop baseline (nats) of the line's runs, looked up among `curves`."""
        baselines = [crop_baseline(curve, curves) for _, curve in self.curves.groupby("run")]
        return float(np.mean(baselines))


class Styles:
    """The style of every line, assigned in the order in which schemes first appear."""

    def __init__(self, rows: pd.DataFrame):
        self.numbers: dict[tuple[Any, ...], int] = {}
        self.several_models = rows.model.nunique() > 1
        self.by_run = has_repeated_runs(rows)
        self.lines(rows)

    def lines(self, rows: pd.DataFrame) -> list[Line]:
        """The lines of some rows, a floor last."""
        key = [*SCHEME_OVER_SEEDS, "run"] if self.by_run else SCHEME_OVER_SEEDS
        groups = dedupe_floor(rows).groupby(key, sort=False, dropna=False)
        lines = [self.line(curves) for _, curves in groups]
        return sorted(lines, key=lambda line: line.floor)

    def reassign(self, first: list[Line], rows: pd.DataFrame) -> None:
        """Assign the styles anew: to the lines `first` before all others of `rows`.

        The first styles differ most from each other.
        """
        self.numbers.clear()
        for line in first:
            self.line(line.curves)
        self.lines(rows)

    def line(self, curves: pd.DataFrame) -> Line:
        """The line of a scheme's curves, with its style."""
        row = curves.iloc[0].copy()
        if row.extend == FLOOR:
            return Line(FLOOR, Style("", "circle", dashed=True), curves, floor=True)
        qualifiers = self.qualifiers(row)
        number = self.numbers.setdefault(
            (*style_key(row), *qualifiers),
            len(self.numbers),
        )
        style = Style(
            color=COLORS[number % len(COLORS)],
            symbol=SYMBOLS[number % len(SYMBOLS)],
            dashed=has_fixed_factor(row),
        )
        # the heading of a chart names any other protocol or corpus
        row["protocol"], row["corpus"] = HEADLINE, OWN
        name = " · ".join([curve_label(row), *qualifiers])
        seeds = curves.seed.nunique()
        if seeds > 1:
            name += f" ({seeds} seeds)"
        return Line(name, style, curves, floor=False)

    def qualifiers(self, row: Any) -> list[str]:
        """The names that tell a row's scheme from the same scheme of another model or run."""
        qualifiers = []
        if self.several_models:
            qualifiers.append(row.model)
        if self.by_run:
            qualifiers.append(row.run)
        return qualifiers


def mean_and_band(
    groups: Any, value: str, interval: tuple[str, str], one_seed: bool
) -> pd.DataFrame:
    """Average over seeds, with a band: the interval of one seed, or the range of several.

    Args:
        groups: rows grouped by context length.
        value: the column to average.
        interval: the columns of the lower and upper end of one seed's interval.
        one_seed: whether the rows are of one seed.

    Returns:
        The columns mean, low and high, by context length.
    """
    low, high = interval
    return pd.DataFrame(
        {
            "mean": groups[value].mean(),
            "low": groups[low].mean() if one_seed else groups[value].min(),
            "high": groups[high].mean() if one_seed else groups[value].max(),
        }
    )


def style_key(row: Any) -> tuple[Any, ...]:
    """The key under which curves share a color: a scheme with all its factors."""
    scheme = (row.lineage or row.scheme, row.extend or row.scheme)
    return (*scheme, row.original_length, row.trained_length)


def has_fixed_factor(row: Any) -> bool:
    """Whether a row's scaling factor is a number, the same at every context length."""
    return row.factor not in ("", "auto")


def has_repeated_runs(rows: pd.DataFrame) -> bool:
    """Whether only their names tell two runs apart: same scheme, same seed."""
    runs = rows.loc[rows.extend != FLOOR].groupby([*SCHEME_OVER_SEEDS, "seed"], dropna=False).run
    return bool((runs.nunique() > 1).any())
