"""Whether curves are measured on the same targets; others are not held against each other."""

from typing import Any

import numpy as np
import pandas as pd

from posext.analysis.curves import CURVE_OF_RUN, TARGET_COLUMNS, curve_label, label_with_run
from posext.config import KEY_TOKENS
from posext.eval.protocols import COMPARABLE
from posext.utils.errors import PosextError

REMEDY = "measure again with the same context_lengths=[...] and evaluation settings"
JUDGE = ", the same judge evaluation.key_judge=RUN above all"  # of key tokens


def refuse_mixed_targets(curves: pd.DataFrame, all_curves: pd.DataFrame | None = None) -> None:
    """Raise PosextError if curves that are to be compared have different targets.

    With `all_curves`, the crop baselines of their runs, which are looked up there, are included.
    """
    if all_curves is not None:
        baselines = (all_curves.extend == "") & all_curves.run.isin(curves.run)
        curves = pd.concat([curves, all_curves.loc[baselines]], ignore_index=True)
    newest_first = curves.sort_values("targets", ascending=False, kind="stable")
    reference = newest_first.loc[has_targets(newest_first)]
    differing = curves.loc[on_other_targets(curves, reference)]
    if not len(differing):
        return
    two = differing.iloc[0]
    in_same_place = target_places(reference).isin(target_places(differing.iloc[:1]))
    one = reference.loc[in_same_place].iloc[0]
    if target_counts(one) != target_counts(two):
        counts = f"{target_counts(one)}, and {target_counts(two)}"
    else:
        counts = f"{target_counts(one)} each"
    of_one = (
        (curves.run == one.run) & (curves.corpus == one.corpus) & (curves.protocol == one.protocol)
    )
    lengths = sorted(curves.loc[of_one, "context_length"].unique())
    remedy = REMEDY.replace("...", ",".join(str(int(length)) for length in lengths))
    if one.protocol == KEY_TOKENS:
        remedy += JUDGE
    raise PosextError(
        f"{label_with_run(one)} and {label_with_run(two)} are measured on different targets under "
        f"{one.protocol} ({counts}), so they cannot be held against each other: {remedy}"
    )


def without_mixed_keys(curves: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Leave out key tokens that several judges chose, where there are other curves.

    Returns:
        The curves that are left, and the reason in words; empty if all are.
    """
    are_keys = curves.protocol == KEY_TOKENS
    try:
        refuse_mixed_targets(curves.loc[are_keys])
    except PosextError as error:
        if are_keys.all():
            raise
        return curves.loc[~are_keys], f"key tokens are left out: {error}"
    return curves, ""


def on_same_targets(curves: pd.DataFrame, like: pd.DataFrame) -> pd.DataFrame:
    """Select the curves with the targets of `like` on the same corpus, protocol, group and length.

    Targets are compared by the column `targets`, or by the counts of documents and tokens in files
    older than that column. Under comparable protocols the length is ignored, because all lengths of
    a curve have the same targets.
    """
    curve_index = pd.MultiIndex.from_frame(curves.loc[:, CURVE_OF_RUN])
    return curves.loc[~curve_index.isin(curve_index[on_other_targets(curves, like)])]


def latest(curves: pd.DataFrame) -> pd.DataFrame:
    """Select the curves of one run with the targets last measured under each protocol.

    The last rows of a file are the last measured: `upsert` writes them at the end.
    """
    return on_same_targets(curves, curves.iloc[::-1])


def left_out(before: pd.DataFrame, kept: pd.DataFrame) -> str:
    """Sentence that names the curves that were not kept; empty if all were."""
    dropped = before.loc[~before.index.isin(kept.index)].drop_duplicates(CURVE_OF_RUN)
    if not len(dropped):
        return ""
    names = ", ".join(curve_label(row) for row in dropped.itertuples())
    return (
        f"left out, as measured on other targets than the last of the run: {names}; "
        f"to have all, {REMEDY}"
    )


def on_other_targets(curves: pd.DataFrame, like: pd.DataFrame) -> np.ndarray:
    """Mask of rows with other targets than the first row of `like` in their place: bool (rows,)."""
    like = like.loc[has_targets(like)]
    references = like.set_axis(target_places(like)).loc[:, TARGET_COLUMNS]
    references = references.loc[~references.index.duplicated()]
    references = references.reindex(target_places(curves)).set_axis(curves.index)
    both_digests = (curves.targets != "") & (references.targets.fillna("") != "")
    other_digest = curves.targets != references.targets
    counts = ["documents", "tokens"]
    both_counts = curves[counts].notna().all(axis=1) & references[counts].notna().all(axis=1)
    unequal = curves[counts].astype(float) != references[counts].astype(float)
    other_counts = both_counts & unequal.any(axis=1)
    return np.where(both_digests, other_digest, other_counts).astype(bool)


def has_targets(curves: pd.DataFrame) -> pd.Series:
    """Mask of rows that identify their targets.

    Only undefined lengths in files older than the column `targets` do not.
    """
    return (curves.targets != "") | curves.documents.notna()


def target_places(curves: pd.DataFrame) -> pd.Index:
    """Index within which rows must have the same targets to be compared.

    It is (corpus, protocol, group, context length), with length 0 under comparable protocols.
    """
    lengths = curves.context_length.where(~curves.protocol.isin(COMPARABLE), 0)
    return pd.MultiIndex.from_arrays([curves.corpus, curves.protocol, curves.group, lengths])


def target_counts(row: Any) -> str:
    """Counts of tokens and documents of a row, in words."""
    if not row.documents > 0:
        return "where it is undefined"
    return f"{row.tokens:,.0f} tokens in {row.documents:,.0f} documents"
