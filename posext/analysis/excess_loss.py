"""How far the curves of a run lie above the floor of its corpus, and what share of the possible gain they get.

Shape suffixes: D documents, L (extension, factor, context length).
"""

import math
from pathlib import Path

import numpy as np
import pandas as pd
from tabulate import tabulate

from posext.analysis import document_sums
from posext.analysis.curves import (
    ONE_CURVE,
    curve_label,
    on_same_targets,
    read_curves,
    refuse_mixed_targets,
)
from posext.analysis.statistics import NO_INTERVAL, Estimate, difference, gain_share
from posext.config import HEADLINE, SYNTHETIC_SOURCES
from posext.eval.bayes_floor import FLOOR, has_bayes_floor
from posext.runs import run
from posext.utils.errors import PosextError

CURVE = ["extend", "factor", "protocol"]


def distances(sums: pd.DataFrame, train_length: int) -> pd.DataFrame:
    """How far every curve lies above the floor, from sums per document: indexed by (extend, factor, protocol, length).

    `distance` in nats a token, and `share`, the statistics.gain_share from the run as trained at its training length, are
    Estimates. Their intervals are paired: of each document's difference between the curve and the floor. nan where one
    of the two was not measured; no rows for a protocol without a floor. All curves are on the same targets.
    """
    rows = {}
    for protocol, part in sums.groupby("protocol", sort=False):
        if FLOOR not in set(part.extend):
            continue
        keys = ["extend", "factor", "context_length"]
        measured = pd.MultiIndex.from_frame(part.loc[:, keys].drop_duplicates())
        nll_LD = part.pivot(index=keys, columns="document", values="nll").reindex(measured)
        tokens_D = part.groupby("document").tokens.first().loc[nll_LD.columns].to_numpy()
        start_D, start_floor_D = (at_length(nll_LD, extend, train_length) for extend in ("", FLOOR))
        for (extend, factor, length), nll_D in zip(measured, nll_LD.to_numpy(), strict=True):
            floor_D = at_length(nll_LD, FLOOR, length)
            rows[extend, factor, protocol, length] = [
                difference(nll_D, floor_D, tokens_D),
                gain_share(nll_D, floor_D, start_D, start_floor_D, tokens_D),
            ]
    index = pd.MultiIndex.from_tuples(
        list(rows), names=["extend", "factor", "protocol", "context_length"]
    )
    return pd.DataFrame(
        list(rows.values()), index=index, columns=["distance", "share"], dtype=object
    )


def at_length(nll_LD: pd.DataFrame, extend: str, length: int) -> np.ndarray:
    """The row of an extension's first curve at a length; nan where it was not measured."""
    curve = nll_LD.loc[nll_LD.index.get_level_values("extend") == extend].droplevel(
        ["extend", "factor"]
    )
    return curve.loc[~curve.index.duplicated()].reindex([length]).to_numpy()[0]


def excess_loss_table(curves: pd.DataFrame, folders: list[Path], style: str = "simple") -> str:
    """Distance to the floor by curve (rows) and context length (columns), with half its paired interval and the share.

    Empty where a curve was not measured. `style` is tabulate's. Raises PosextError where a folder is not that of a measured
    run on a corpus with a floor, and for curves on different targets.
    """
    by_run = {folder.name: excess_loss_of_run(run.load_run(folder)) for folder in folders}
    refuse_mixed_targets(curves)
    curves = curves.loc[curves.extend != FLOOR]
    lengths = sorted(curves.context_length.unique())
    rows = []
    for _, curve in curves.groupby(ONE_CURVE, sort=False, dropna=False):
        first = curve.iloc[0]
        keys = [(first.extend, first.factor, first.protocol, length) for length in lengths]
        found = by_run[first.run]
        cells = [cell(*found.loc[key]) if key in found.index else "" for key in keys]
        rows.append([curve_label(first), int(first.seed), *cells])
    return tabulate(
        rows, headers=["scheme", "seed", *map(str, lengths)], tablefmt=style, disable_numparse=True
    )


def excess_loss_of_run(measured: run.Run) -> pd.DataFrame:
    """The distances of a run's curves. Raises PosextError where its corpus has no floor, or it was not measured."""
    sums = document_sums.sums(measured.folder)
    if not has_bayes_floor(measured.config.data) or sums is None:
        raise PosextError(
            f"{measured.folder} has no floor: it takes a measured run on data={' or '.join(SYNTHETIC_SOURCES)}"
        )
    rows = read_curves(measured.folder / "curves.csv")
    rows = rows.loc[rows.protocol == HEADLINE]
    kept = on_same_targets(rows, rows.loc[rows.extend == FLOOR])
    same = pd.MultiIndex.from_frame(sums.loc[:, CURVE]).isin(
        pd.MultiIndex.from_frame(kept.loc[:, CURVE])
    )
    return distances(sums.loc[same], measured.schedule.longest)


def cell(distance: Estimate, share: Estimate) -> str:
    if math.isnan(distance.value):
        return ""
    if math.isnan(distance.low):
        return f"{distance.value:.3f} ({NO_INTERVAL})"
    text = f"{distance.value:.3f} ±{(distance.high - distance.low) / 2:.3f}"
    return text if math.isnan(share.value) else f"{text} ({share.value:.0%})"
