"""What a page says of seeds: differences to the crop baseline over several, and what may not be concluded from one."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from posext.analysis import seed_spread
from posext.analysis.comparison import WEIGHTS
from posext.analysis.curves import ONE_CURVE, crop_baseline
from posext.analysis.seed_spread import Seeds
from posext.eval.bayes_floor import FLOOR
from posext.report.lines import Styles
from posext.report.words import listed

BLANK = {"value": "", "between": ""}
Over = Mapping[tuple[str, int], Seeds]  # by the name of a curve and the context length


class End(NamedTuple):
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
    def between(self) -> str:
        if len(self.rows) == 1:
            return f"{math.exp(self.rows.nll_low.iloc[0]):.1f} to {math.exp(self.rows.nll_high.iloc[0]):.1f}"
        return f"mean of {len(self.rows)} seeds, {math.exp(self.rows.nll.min()):.1f} to {math.exp(self.rows.nll.max()):.1f}"


def over(headline: pd.DataFrame, styles: Styles) -> Over:
    """Differences to the crop baseline, each of a seed to its own, for curves of several seeds, from the training length on."""
    values: dict[tuple[str, int], dict[int, float]] = {}
    for _, curve in modelled(headline).groupby(ONE_CURVE, sort=False, dropna=False):
        name, crop = styles.line(curve).name, crop_baseline(curve, headline)
        longer = curve.loc[curve.context_length >= curve.trained_length]
        for row in longer.itertuples():
            if math.isfinite(difference := float(row.nll) - crop):
                values.setdefault((name, int(row.context_length)), {})[int(row.seed)] = difference
    return {
        key: seed_spread.over_seeds(list(found.values()))
        for key, found in values.items()
        if len(found) > 1
    }


def table(headline: pd.DataFrame, found: Over, styles: Styles) -> list[dict[str, Any]]:
    """A row a curve of several seeds: its name, colour, and a cell a length."""
    lengths = sorted(int(n) for n in headline.context_length.unique())
    made = {}
    for _, curve in modelled(headline).groupby(ONE_CURVE, sort=False, dropna=False):
        line = styles.line(curve)
        if any(name == line.name for name, _ in found):
            cells = [cell(found.get((line.name, n))) for n in lengths]
            style = {"colour": line.style.colour, "dashed": line.style.dashed}
            made[line.name] = {"name": line.name, "cells": cells, **style}
    return list(made.values())


def cell(seeds: Seeds | None) -> dict[str, str]:
    if seeds is None:
        return BLANK
    return {
        "value": f"{seeds.mean:+.3f} ± {seeds.sd:.3f}",
        "between": f"{seeds.low:+.3f} to {seeds.high:+.3f}",
    }


def lowest(headline: pd.DataFrame, styles: Styles) -> str:
    """Which curve ends lowest, and which are within seed noise of it; empty where there is but one."""
    ends = at_the_end(headline, styles)
    if len(ends) < 2:
        return ""
    best = min(ends, key=lambda end: end.nll)
    same = [end.name for end in ends if end.perplexity == best.perplexity]
    tied = [end.name for end in ends if end.name not in same and within_seeds(end, best)]
    length = int(headline.context_length.max())
    said = f"Lowest perplexity at {length:,} tokens: {best.perplexity} ({best.between}), {listed(same)}"
    return (
        f"{said}; within seed noise of it, so no higher as far as this tells: {listed(tied)}."
        if tied
        else f"{said}."
    )


def at_the_end(headline: pd.DataFrame, styles: Styles) -> list[End]:
    rows = modelled(headline)
    rows = rows.loc[(rows.context_length == headline.context_length.max()) & rows.nll.notna()]
    found: dict[str, list[pd.DataFrame]] = {}
    for _, curve in rows.groupby(ONE_CURVE, sort=False, dropna=False):
        found.setdefault(styles.line(curve).name, []).append(curve)
    return [
        End(name, pd.concat(parts).drop_duplicates("seed").set_index("seed"))
        for name, parts in found.items()
    ]


def within_seeds(end: End, best: End) -> bool:
    """Whether seeds alone may have put one curve below another; False where nothing is known of seeds, and within a run."""
    both = end.rows.index.intersection(best.rows.index)
    if len(both) > 1:
        differences = end.rows.nll.loc[both] - best.rows.nll.loc[both]
        return seed_spread.over_seeds(differences.tolist()).low <= 0
    if set(end.rows.run) == set(best.rows.run):
        return False
    of_each = [
        seed_spread.known(each.rows.model.iloc[0], each.rows.scheme.iloc[0]) for each in (end, best)
    ]
    return end.nll - best.nll <= seed_spread.noise(*of_each)


def sentences(headline: pd.DataFrame, styles: Styles) -> list[str]:
    """What one seed leaves open; nothing where all curves have several."""
    rows = modelled(headline)
    names = pd.Series("", index=rows.index)
    for _, curve in rows.groupby(ONE_CURVE, sort=False, dropna=False):
        names[curve.index] = styles.line(curve).name
    alone = rows.loc[rows.groupby(names).seed.transform("nunique") == 1]
    said = seed_spread.sentences(
        alone[["model", "scheme"]].drop_duplicates().itertuples(index=False, name=None)
    )
    several = alone.drop_duplicates(ONE_CURVE).run.duplicated().any()
    return [*said, WEIGHTS] if several else said


def modelled(headline: pd.DataFrame) -> pd.DataFrame:
    return headline.loc[headline.extend != FLOOR]
