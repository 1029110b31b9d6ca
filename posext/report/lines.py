"""Curves as lines on a chart: one a scheme, over its seeds, with a colour and a marker that it keeps in every chart."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from posext.analysis.curves import crop_baseline, curve_label, dedupe_floor
from posext.config import HEADLINE
from posext.eval.bayes_floor import FLOOR

LINE = ["scheme", "extend", "factor", "original_length", "trained_length", "model"]
# Okabe and Ito's colours for all kinds of sight, less black and yellow, and two of Tol's; markers tell repeats apart.
COLOURS = "#0072B2 #D55E00 #009E73 #CC79A7 #E69F00 #56B4E9 #999933 #AA4499".split()
SYMBOLS = "circle square diamond triangle-up x cross triangle-down pentagon star".split()
COST = ["seconds", "tokens_per_second", "peak_memory_bytes"]


@dataclass(frozen=True)
class Style:
    colour: str  # "" stands for the colour of the page's text
    symbol: str
    dashed: bool = False


@dataclass(frozen=True, eq=False)
class Line:
    """One line: its curves, and their mean over seeds by length with an interval (one seed) or a range (several)."""

    name: str
    style: Style
    curves: pd.DataFrame
    floor: bool

    @property
    def seeds(self) -> int:
        return self.curves.seed.nunique()

    def values(self) -> pd.DataFrame:
        """Means by context length; nan where undefined. `bytes_share` turns nats a token into bits a byte."""
        by_length = self.curves.groupby("context_length")
        mean: Any = by_length[["nll", "bits_per_byte", *COST]].mean()
        alone = self.seeds == 1
        mean["low"] = by_length.nll_low.mean() if alone else by_length.nll.min()
        mean["high"] = by_length.nll_high.mean() if alone else by_length.nll.max()
        return mean.assign(bytes_share=mean.bits_per_byte / mean.nll)

    def crop(self, known: pd.DataFrame) -> float:
        """The crop baseline in nats, over the runs of the line."""
        return float(
            np.mean([crop_baseline(curve, known) for _, curve in self.curves.groupby("run")])
        )


class Styles:
    """The style of every line, given out in the order in which schemes are first seen."""

    def __init__(self, rows: pd.DataFrame):
        self.numbers: dict[tuple[Any, ...], int] = {}
        self.several_models, self.by_run = rows.model.nunique() > 1, repeated(rows)
        self.of(rows)

    def of(self, rows: pd.DataFrame) -> list[Line]:
        """The lines of some rows, a floor last."""
        groups = dedupe_floor(rows).groupby(
            [*LINE, "run"] if self.by_run else LINE, sort=False, dropna=False
        )
        lines = [self.line(curves) for _, curves in groups]
        return sorted(lines, key=lambda line: line.floor)

    def first(self, lines: list[Line], rows: pd.DataFrame) -> None:
        """Give the styles out anew, so that these lines have the first ones, which differ most."""
        self.numbers.clear()
        for line in lines:
            self.line(line.curves)
        self.of(rows)

    def line(self, curves: pd.DataFrame) -> Line:
        first, seeds = curves.iloc[0].copy(), curves.seed.nunique()
        if first.extend == FLOOR:
            return Line(FLOOR, Style("", "circle", dashed=True), curves, floor=True)
        first["protocol"] = HEADLINE  # a label may name any other, but that stands above the chart
        parts = (
            [curve_label(first)] + [first.model] * self.several_models + [first.run] * self.by_run
        )
        name = " · ".join(parts) + (f" ({seeds} seeds)" if seeds > 1 else "")
        key = (
            first.scheme,
            first.extend or first.scheme,
            first.original_length,
            first.trained_length,
            *parts[1:],
        )
        number = self.numbers.setdefault(key, len(self.numbers))
        colour, symbol = COLOURS[number % len(COLOURS)], SYMBOLS[number % len(SYMBOLS)]
        return Line(
            name, Style(colour, symbol, first.factor not in ("", "auto")), curves, floor=False
        )


def repeated(rows: pd.DataFrame) -> bool:
    """Whether two runs give the same scheme with the same seed, so that only their names tell them apart."""
    modelled = rows.loc[rows.extend != FLOOR]
    return bool((modelled.groupby([*LINE, "seed"], dropna=False).run.nunique() > 1).any())
