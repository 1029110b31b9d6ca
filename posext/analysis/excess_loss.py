"""Excess loss of a run's curves over the Bayes floor, and the share of the possible gain they get.

Shape suffixes: D documents, L (extension, factor, context length).
"""

import math
from pathlib import Path

import numpy as np
import pandas as pd
from tabulate import tabulate

from posext.analysis import document_sums
from posext.analysis.curves import (
    CURVE_IN_FOLDER,
    CURVE_OF_RUN,
    EXTENSION,
    curve_label,
    read_curves,
)
from posext.analysis.measured_name import measured_name
from posext.analysis.same_targets import on_same_targets, refuse_mixed_targets
from posext.analysis.statistics import NO_INTERVAL, Estimate, difference, gain_share
from posext.config import HEADLINE, OWN, SYNTHETIC_SOURCES
from posext.eval.bayes_floor import FLOOR, has_bayes_floor
from posext.runs import run
from posext.utils.errors import PosextError


def excess_losses(sums: pd.DataFrame, train_length: int) -> pd.DataFrame:
    """Excess loss of every curve over the floor, from sums per document.

    Confidence intervals are paired: they are over the difference of curve and floor per document.

    Args:
        sums: Sums per document, on the same targets for all curves.
        train_length: Longest length trained, in tokens.

    Returns:
        Estimates, indexed by (extend, factor, protocol, context_length). `distance` is the excess
        loss in nats per token. `share` is the `statistics.gain_share` relative to the run as
        trained at its training length. nan if the curve or the floor was not measured; no rows for
        a protocol without a floor.
    """
    rows = {}
    for protocol, protocol_sums in sums.groupby("protocol", sort=False):
        if FLOOR not in set(protocol_sums.extend):
            continue
        keys = [*EXTENSION, "context_length"]
        measured = pd.MultiIndex.from_frame(protocol_sums.loc[:, keys].drop_duplicates())
        pivoted = protocol_sums.pivot(index=keys, columns="document", values="nll")
        nll_LD = pivoted.reindex(measured)
        tokens = protocol_sums.groupby("document").tokens.first()
        tokens_D = tokens.loc[nll_LD.columns].to_numpy()
        start_D = at_length(nll_LD, "", train_length)
        start_floor_D = at_length(nll_LD, FLOOR, train_length)
        for (extend, factor, length), nll_D in zip(measured, nll_LD.to_numpy(), strict=True):
            floor_D = at_length(nll_LD, FLOOR, length)
            rows[extend, factor, protocol, length] = [
                difference(nll_D, floor_D, tokens_D),
                gain_share(nll_D, floor_D, start_D, start_floor_D, tokens_D),
            ]
    names = [*EXTENSION, "protocol", "context_length"]
    index = pd.MultiIndex.from_tuples(list(rows), names=names)
    return pd.DataFrame(
        list(rows.values()), index=index, columns=["distance", "share"], dtype=object
    )


def at_length(nll_LD: pd.DataFrame, extend: str, length: int) -> np.ndarray:
    """NLL (D,) of an extension's first curve at a length; nan if it was not measured."""
    of_extension = nll_LD.loc[nll_LD.index.get_level_values("extend") == extend]
    curve = of_extension.droplevel(EXTENSION)
    return curve.loc[~curve.index.duplicated()].reindex([length]).to_numpy()[0]


def excess_loss_table(curves: pd.DataFrame, folders: list[Path], style: str = "simple") -> str:
    """Table of excess loss by curve (rows) and context length (columns).

    Each cell has half the width of the paired interval and the share; it is empty if the curve was
    not measured.

    Args:
        curves: Curves shown.
        folders: Folders of their runs, or of studies into which `posext collect` put several.
        style: Table format of tabulate.

    Raises:
        PosextError: A folder is not that of a measured run on a corpus with a floor, or curves have
            different targets.
    """
    by_run = {}
    for folder in folders:
        by_run |= excess_by_run(folder)
    refuse_mixed_targets(curves)
    curves = curves.loc[(curves.extend != FLOOR) & (curves.corpus == OWN)]
    curves = curves.loc[curves.protocol == HEADLINE]
    lengths = sorted(curves.context_length.unique())
    rows = []
    for _, curve in curves.groupby(CURVE_OF_RUN, sort=False, dropna=False):
        first = curve.iloc[0]
        keys = [(first.extend, first.factor, first.protocol, length) for length in lengths]
        excess = by_run[first.run]
        cells = [excess_loss_cell(*excess.loc[key]) if key in excess.index else "" for key in keys]
        rows.append([curve_label(first), int(first.seed), *cells])
    headers = ["scheme", "seed", *map(str, lengths)]
    return tabulate(rows, headers=headers, tablefmt=style, disable_numparse=True)


def excess_by_run(folder: Path) -> dict[str, pd.DataFrame]:
    """Excess loss of a run, or of every run in a folder of several, by the name in its curves."""
    if not (folder / "configs").is_dir():
        return {measured_name(folder): excess_loss_of_run(run.load_run(folder))}
    rows = read_curves(folder / "curves.csv")
    sums = document_sums.sums(folder)
    if sums is None or FLOOR not in set(rows.extend):
        raise PosextError(
            f"{folder} has no floor: it takes runs on {' or '.join(SYNTHETIC_SOURCES)}"
        )
    return {
        str(name): excess_loss_of_rows(of_run, sums.loc[sums.run == name])
        for name, of_run in rows.groupby("run", sort=False)
    }


def excess_loss_of_run(measured: run.Run) -> pd.DataFrame:
    """Excess loss of a run's curves on its own corpus, as `excess_losses` gives it.

    Raises PosextError if the corpus has no floor, or the run was not measured.
    """
    sums = document_sums.sums(measured.folder)
    if not has_bayes_floor(measured.config.data) or sums is None:
        raise PosextError(
            f"{measured.folder} has no floor: "
            f"it takes a measured run on data={' or '.join(SYNTHETIC_SOURCES)}"
        )
    return excess_loss_of_rows(read_curves(measured.folder / "curves.csv"), sums)


def excess_loss_of_rows(rows: pd.DataFrame, sums: pd.DataFrame) -> pd.DataFrame:
    """Excess loss of the curves of one run on its own corpus, as `excess_losses` gives it."""
    rows = rows.loc[(rows.protocol == HEADLINE) & (rows.corpus == OWN)]
    kept = on_same_targets(rows, rows.loc[rows.extend == FLOOR])
    kept_curves = pd.MultiIndex.from_frame(kept.loc[:, CURVE_IN_FOLDER])
    is_kept = pd.MultiIndex.from_frame(sums.loc[:, CURVE_IN_FOLDER]).isin(kept_curves)
    return excess_losses(sums.loc[is_kept], int(rows.trained_length.iloc[0]))


def excess_loss_cell(distance: Estimate, share: Estimate) -> str:
    """Excess loss with half the width of its interval, and the share of the gain if known."""
    if math.isnan(distance.value):
        return ""
    if math.isnan(distance.low):
        return f"{distance.value:.3f} ({NO_INTERVAL})"
    text = f"{distance.value:.3f} ±{(distance.high - distance.low) / 2:.3f}"
    return text if math.isnan(share.value) else f"{text} ({share.value:.0%})"
