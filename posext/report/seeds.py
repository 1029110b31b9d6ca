"""Sentences and the table about seeds: differences over several, and the limits of one seed."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from posext.analysis import seed_spread
from posext.analysis.comparison import ONE_RUN_CAVEAT
from posext.analysis.curve_table import crop_baseline
from posext.analysis.curves import CURVE_OF_RUN
from posext.analysis.seed_spread import Seeds
from posext.eval.bayes_floor import FLOOR
from posext.report.lines import Styles
from posext.report.words import quoted_list

NO_VALUE = {"value": "", "between": ""}
SeedDifferences = Mapping[tuple[str, int], Seeds]  # by curve name and context length


class CurveEnd(NamedTuple):
    """A curve at the longest length, over its seeds."""

    name: str
    rows: pd.DataFrame  # index seed

    @property
    def nll(self) -> float:
        return float(self.rows.nll.mean())

    @property
    def perplexity(self) -> str:
        return f"{math.exp(self.nll):.2f}"

    @property
    def interval(self) -> str:
        """The interval of one seed, or the range of several, in perplexity."""
        if len(self.rows) == 1:
            only = self.rows.iloc[0]
            return f"{math.exp(only.nll_low):.1f} to {math.exp(only.nll_high):.1f}"
        low = math.exp(self.rows.nll.min())
        high = math.exp(self.rows.nll.max())
        return f"mean of {len(self.rows)} seeds, {low:.1f} to {high:.1f}"


def seed_differences(headline: pd.DataFrame, styles: Styles) -> SeedDifferences:
    """Differences to the crop baseline (nats), for curves of several seeds.

    Each seed is compared with its own baseline, from the training length on.
    """
    differences: dict[tuple[str, int], dict[int, float]] = {}
    for _, curve in without_floor(headline).groupby(CURVE_OF_RUN, sort=False, dropna=False):
        name = styles.line(curve).name
        crop = crop_baseline(curve, headline)
        longer = curve.loc[curve.context_length >= curve.trained_length]
        for row in longer.itertuples():
            difference = float(row.nll) - crop
            if math.isfinite(difference):
                by_seed = differences.setdefault((name, int(row.context_length)), {})
                by_seed[int(row.seed)] = difference
    return {
        key: seed_spread.over_seeds(list(by_seed.values()))
        for key, by_seed in differences.items()
        if len(by_seed) > 1
    }


def seeds_section(
    headline: pd.DataFrame, differences: SeedDifferences, styles: Styles
) -> list[dict[str, Any]]:
    """A row a curve of several seeds: its name, color, and a cell a length."""
    lengths = sorted(int(n) for n in headline.context_length.unique())
    names = {name for name, _ in differences}
    rows = {}
    for _, curve in without_floor(headline).groupby(CURVE_OF_RUN, sort=False, dropna=False):
        line = styles.line(curve)
        if line.name in names:
            rows[line.name] = {
                "name": line.name,
                "cells": [seeds_cell(differences.get((line.name, n))) for n in lengths],
                "color": line.style.color,
                "dashed": line.style.dashed,
            }
    return list(rows.values())


def seeds_cell(seeds: Seeds | None) -> dict[str, str]:
    if seeds is None:
        return NO_VALUE
    return {
        "value": f"{seeds.mean:+.3f} ± {seeds.sd:.3f}",
        "between": f"{seeds.low:+.3f} to {seeds.high:+.3f}",
    }


def lowest_curves(headline: pd.DataFrame, styles: Styles) -> str:
    """A sentence that names the curves that end lowest, and those within seed noise of them.

    Empty for a single curve.
    """
    ends = curve_ends(headline, styles)
    if len(ends) < 2:
        return ""
    best = min(ends, key=lambda end: end.nll)
    lowest = [end.name for end in ends if end.perplexity == best.perplexity]
    tied = [end.name for end in ends if end.name not in lowest and within_seed_noise(end, best)]
    length = int(headline.context_length.max())
    sentence = (
        f"Lowest perplexity at {length:,} tokens: "
        f"{best.perplexity} ({best.interval}), {quoted_list(lowest)}"
    )
    if tied:
        sentence += (
            f"; within seed noise of it, so no higher as far as this tells: {quoted_list(tied)}"
        )
    return f"{sentence}."


def curve_ends(headline: pd.DataFrame, styles: Styles) -> list[CurveEnd]:
    """All curves that are defined at the longest length, over their seeds."""
    rows = without_floor(headline)
    rows = rows.loc[(rows.context_length == headline.context_length.max()) & rows.nll.notna()]
    by_name: dict[str, list[pd.DataFrame]] = {}
    for _, curve in rows.groupby(CURVE_OF_RUN, sort=False, dropna=False):
        by_name.setdefault(styles.line(curve).name, []).append(curve)
    return [
        CurveEnd(name, pd.concat(curves).drop_duplicates("seed").set_index("seed"))
        for name, curves in by_name.items()
    ]


def within_seed_noise(end: CurveEnd, best: CurveEnd) -> bool:
    """Whether another seed could have put `end` below `best`.

    False for two curves of the same run, and if no spread over seeds is known.
    """
    shared_seeds = end.rows.index.intersection(best.rows.index)
    if len(shared_seeds) > 1:
        differences = end.rows.nll.loc[shared_seeds] - best.rows.nll.loc[shared_seeds]
        return seed_spread.over_seeds(differences.tolist()).low <= 0
    if set(end.rows.run) == set(best.rows.run):
        return False
    spreads = [
        seed_spread.known_spread(curve.rows.model.iloc[0], curve.rows.scheme.iloc[0])
        for curve in (end, best)
    ]
    return end.nll - best.nll <= seed_spread.noise(*spreads)


def one_seed_sentences(headline: pd.DataFrame, styles: Styles) -> list[str]:
    """Sentences about what one seed leaves open; none if all curves have several seeds."""
    rows = without_floor(headline)
    names = pd.Series("", index=rows.index)
    for _, curve in rows.groupby(CURVE_OF_RUN, sort=False, dropna=False):
        names[curve.index] = styles.line(curve).name
    one_seed = rows.loc[rows.groupby(names).seed.transform("nunique") == 1]
    models_and_schemes = one_seed[["model", "scheme"]].drop_duplicates()
    sentences = seed_spread.sentences(models_and_schemes.itertuples(index=False, name=None))
    same_run = one_seed.drop_duplicates(CURVE_OF_RUN).run.duplicated().any()
    return [*sentences, ONE_RUN_CAVEAT] if same_run else sentences


def without_floor(headline: pd.DataFrame) -> pd.DataFrame:
    return headline.loc[headline.extend != FLOOR]
