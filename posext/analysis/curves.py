"""`curves.csv`, with a row per (extension, protocol, context length), and its table of perplexity.

Terms:
    fixed_target: Sliding-window evaluation with fixed targets. The same target tokens are scored at
        every context length, so a difference between two lengths comes from the context alone.
    crop baseline: Truncation baseline. The NLL of the run as trained, without an extension, at the
        training length, on the same targets: the result of cutting a longer context to the training
        length.
    usable length: Effective context length. The largest context length up to which every measured
        length from the training length on has an NLL within 1 % of the crop baseline.
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from tabulate import tabulate

from posext.analysis.csv_table import read_csv_table, upsert_rows
from posext.analysis.statistics import NO_INTERVAL, interval, usable_length
from posext.config import HEADLINE
from posext.data.dataset import MIN_DOCUMENTS
from posext.eval.bayes_floor import FLOOR
from posext.eval.protocols import COMPARABLE
from posext.utils.errors import PosextError

log = logging.getLogger(__name__)
COLUMNS = [
    "study",
    "run",
    "scheme",
    "extend",
    "factor",
    "model",
    "parameters",
    "original_length",
    "trained_length",
    "seed",
    "protocol",
    "group",
    "context_length",
    "logit_multiplier",
    "nll",
    "nll_low",
    "nll_high",
    "perplexity",
    "bits_per_byte",
    "documents",
    "tokens",
    "targets",
    "seconds",
    "tokens_per_second",
    "peak_memory_bytes",
    "commit",
]
TEXT_COLUMNS = [
    "study",
    "run",
    "scheme",
    "extend",
    "factor",
    "model",
    "protocol",
    "group",
    "targets",
    "commit",
]
FORMER_NAMES = {"train_length": "trained_length"}  # columns of older files
NUMBERS = [name for name in COLUMNS if name not in TEXT_COLUMNS]
STATISTICS = ["nll", "nll_low", "nll_high", "perplexity", "bits_per_byte", "documents", "tokens"]
TARGET_COLUMNS = ["targets", "documents", "tokens"]  # they identify the targets of a row

# Columns that identify a curve, by scope.
EXTENSION = ["extend", "factor"]
CURVE_IN_FOLDER = [*EXTENSION, "protocol"]
RETRIEVAL_CURVE = ["task", *EXTENSION]
SCHEME_OVER_SEEDS = ["scheme", *EXTENSION, "original_length", "trained_length"]
CURVE_OVER_SEEDS = ["study", *SCHEME_OVER_SEEDS, "protocol", "group"]
CURVE_OF_RUN = [
    "study",
    "run",
    "scheme",
    *EXTENSION,
    "original_length",
    "trained_length",
    "seed",
    "protocol",
    "group",
]

REMEDY = "measure again with the same context_lengths=[...] and evaluation settings"


def read_curves(path: Path | str) -> pd.DataFrame:
    """Read a curves file.

    Returns:
        COLUMNS; empty if the file does not exist.

    Raises:
        PosextError: The file holds something else.
    """
    if not Path(path).exists():
        return pd.DataFrame(columns=COLUMNS)
    try:
        curves = read_csv_table(path, TEXT_COLUMNS, [*NUMBERS, *FORMER_NAMES])
    except ValueError as error:  # of decoding and of parsing
        raise PosextError(f"{path} is no file of curves: {error}") from error
    if not {"run", "scheme"} <= set(curves):
        raise PosextError(
            f"{path} is no file of curves: it has not both a column run and a column scheme"
        )
    if "trained_length" not in curves:
        curves = curves.rename(columns=FORMER_NAMES)
    return curves.reindex(columns=COLUMNS).fillna(dict.fromkeys(TEXT_COLUMNS, ""))


def objective(path: Path) -> float | None:
    """NLL in nats of a run as trained, at its longest context, under its first protocol.

    Infinite if the scheme is undefined there; None if nothing was measured.
    """
    rows = read_curves(path)
    if not len(rows):
        return None
    as_trained = rows.loc[(rows.extend == "") & (rows.protocol == rows.protocol.iloc[0])]
    if not len(as_trained):
        return None
    longest = as_trained.loc[as_trained.context_length.idxmax()]
    return float(longest.fillna({"nll": np.inf}).nll)


def of_runs(paths: Iterable[Path]) -> pd.DataFrame:
    """Read the curves of run folders or curves files, and concatenate them.

    Raises:
        PosextError: A path does not exist, or none has any curve.
    """
    curves_by_path = {}
    for path in paths:
        if not path.exists():
            raise PosextError(f"{path} is neither the folder of a run nor a file of curves")
        curves_by_path[path] = read_curves(path / "curves.csv" if path.is_dir() else path)
    empty = [path for path, curves in curves_by_path.items() if not len(curves)]
    remedy = "python -m posext.evaluate run=RUN measures it"
    if len(empty) == len(curves_by_path):
        raise PosextError(
            f"none of these holds curves: {', '.join(map(str, empty))}; {remedy} once it is trained"
        )
    for path in empty:
        log.warning("%s holds no curves yet; %s once it is trained", path, remedy)
    return pd.concat(
        [curves for curves in curves_by_path.values() if len(curves)], ignore_index=True
    )


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
    of_one = (curves.run == one.run) & (curves.protocol == one.protocol)
    lengths = sorted(curves.loc[of_one, "context_length"].unique())
    remedy = REMEDY.replace("...", ",".join(str(int(length)) for length in lengths))
    raise PosextError(
        f"{label_with_run(one)} and {label_with_run(two)} are measured on different targets under "
        f"{one.protocol} ({counts}), so they cannot be held against each other: {remedy}"
    )


def on_same_targets(curves: pd.DataFrame, like: pd.DataFrame) -> pd.DataFrame:
    """Select the curves with the targets of `like` under the same protocol, group and length.

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

    It is (protocol, group, context length), with length 0 under comparable protocols.
    """
    lengths = curves.context_length.where(~curves.protocol.isin(COMPARABLE), 0)
    return pd.MultiIndex.from_arrays([curves.protocol, curves.group, lengths])


def select_factor(curves: pd.DataFrame, which: str) -> pd.DataFrame:
    """Select the curves with a `matched` or a `fixed` scaling factor, or `all`.

    Curves without a factor, or with factor 1, are always selected.
    """
    if which == "all":
        return curves
    matched = curves.factor == "auto"
    unscaled = curves.factor.isin(("", "1"))
    return curves.loc[unscaled | (matched if which == "matched" else ~matched)]


def upsert(before: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Replace the rows of the same extensions, factors and protocols, with the new rows last."""
    return upsert_rows(before, rows, CURVE_IN_FOLDER)


def with_statistics(rows: pd.DataFrame, sums: pd.DataFrame) -> pd.DataFrame:
    """Fill in the columns STATISTICS from sums per protocol, length, group and document."""
    key = ["protocol", "context_length", "group"]
    rows = rows.set_index(key)
    for row_key, documents in sums.groupby(key, sort=False):
        documents = documents.sort_values("document")
        weight_D = documents.weight.to_numpy(float)
        tokens = documents.tokens.sum()
        nll, low, high = interval(documents.nll.to_numpy(float), weight_D)
        bits_per_byte = nll * tokens / documents.bytes.sum() / np.log(2)
        rows.loc[cast(Any, row_key), STATISTICS] = (
            nll,
            low,
            high,
            np.exp(nll),
            bits_per_byte,
            len(documents),
            int(tokens),
        )
    return rows.reset_index()


def warn_if_few(rows: pd.DataFrame) -> None:
    """Warn of fewer than ten held-out documents, under the protocol with the fewest."""
    fewest = rows.documents.min()
    if not fewest < MIN_DOCUMENTS:
        return
    if fewest == 1:
        consequence = "one held-out document gives no interval"
    else:
        consequence = f"intervals over {fewest:.0f} held-out documents are rough"
    log.warning(
        "%s; more documents, or longer ones, would help: a larger data.validation_share, "
        "shorter context_lengths, or evaluation.documents of at least %d where it is set",
        consequence,
        MIN_DOCUMENTS,
    )


def dedupe_floor(curves: pd.DataFrame) -> pd.DataFrame:
    """Keep each Bayes floor once: runs with the same targets have the same floor."""
    is_floor = curves.extend == FLOOR
    floors = curves.loc[is_floor].drop_duplicates(["protocol", "context_length", "nll"])
    return pd.concat([curves.loc[~is_floor], floors])


def curve_label(row: Any) -> str:
    """Label of a curve: scheme, extension, last training length, factor, and other protocol."""
    if row.extend == FLOOR:
        return FLOOR
    label = row.scheme
    if row.extend and row.extend != row.scheme:
        label += f" → {row.extend}"
    if row.trained_length > row.original_length:
        label += f", trained to {row.trained_length}"
    label += factor_suffix(row.factor)
    if row.protocol != HEADLINE:
        label += f" [{row.protocol} {row.group}".rstrip() + "]"
    return label


def label_with_run(row: Any) -> str:
    """Label of a curve with the name of its run."""
    return f"{curve_label(row)} of {row.run}"


def target_counts(row: Any) -> str:
    """Counts of tokens and documents of a row, in words."""
    if not row.documents > 0:
        return "where it is undefined"
    return f"{row.tokens:,.0f} tokens in {row.documents:,.0f} documents"


def factor_suffix(factor: str) -> str:
    """Suffix of a label for the scaling factor: `, s matched`, `, s = 8` or empty."""
    if not factor:
        return ""
    return ", s matched" if factor == "auto" else f", s = {float(factor):g}"


def crop_baseline(curve: pd.DataFrame, all_curves: pd.DataFrame) -> float:
    """NLL of the crop baseline of a curve (see the terms in the module docstring).

    It is looked up in `all_curves`. Without the run's curve as trained there, it is the curve's own
    NLL at the training length; nan if that was not measured.
    """
    first = curve.iloc[0]
    of_run = all_curves.loc[
        (all_curves.run == first.run)
        & (all_curves.protocol == first.protocol)
        & (all_curves.group == first.group)
        & (all_curves.extend == "")
    ]
    for rows in (of_run, curve):
        nll = rows.loc[rows.context_length == first.trained_length, "nll"]
        if len(nll):
            return float(nll.iloc[0])
    return float("nan")


def summary(curve: pd.DataFrame, all_curves: pd.DataFrame) -> dict[str, Any]:
    """Crop baseline and usable length of one curve."""
    curve = curve.sort_values("context_length")
    crop_nll = crop_baseline(curve, all_curves)
    lengths = curve.context_length.tolist()
    train_length = int(curve.trained_length.iloc[0])
    usable = usable_length(lengths, curve.nll.to_numpy(float), train_length, crop_nll)
    return {"crop_nll": crop_nll, "usable_length": usable}


def table(
    curves: pd.DataFrame, style: str = "simple", all_curves: pd.DataFrame | None = None
) -> str:
    """Table of perplexity by curve (rows) and context length (columns).

    Each cell has half the width of the confidence interval.

    Args:
        curves: Curves shown.
        style: Table format of tabulate.
        all_curves: Curves among which crop baselines are looked up; by default `curves`.

    Raises:
        PosextError: Curves have different targets.
    """
    refuse_mixed_targets(curves, all_curves)
    lengths = sorted(curves.context_length.unique())
    rows = []
    for _, curve in dedupe_floor(curves).groupby(CURVE_OF_RUN, sort=False, dropna=False):
        by_length = curve.set_index("context_length")
        cells = [
            perplexity_cell(by_length.loc[length]) if length in by_length.index else ""
            for length in lengths
        ]
        derived = summary(curve, curves if all_curves is None else all_curves)
        usable = derived["usable_length"] or "nowhere"
        if curve.protocol.iloc[0] not in COMPARABLE:
            usable = ""
        rows.append([curve_label(curve.iloc[0]), int(curve.seed.iloc[0]), *cells, usable])
    headers = ["scheme", "seed", *map(str, lengths), "usable to"]
    return tabulate(rows, headers=headers, tablefmt=style, disable_numparse=True)


def table_over_seeds(curves: pd.DataFrame, style: str = "simple") -> str:
    """Table of perplexity over seeds, by scheme (rows) and context length (columns).

    Each cell has the perplexity of the mean NLL, and the standard deviation of the NLL in nats.

    Args:
        curves: Curves of all seeds.
        style: Table format of tabulate.

    Raises:
        PosextError: Curves have different targets.
    """
    refuse_mixed_targets(curves)
    lengths = sorted(curves.context_length.unique())
    rows = []
    for _, curve in dedupe_floor(curves).groupby(CURVE_OVER_SEEDS, sort=False, dropna=False):
        by_length = curve.groupby("context_length").nll.agg(["mean", "std"])
        cells = [
            over_seeds_cell(by_length.loc[length]) if length in by_length.index else ""
            for length in lengths
        ]
        rows.append([curve_label(curve.iloc[0]), curve.seed.nunique(), *cells])
    headers = ["scheme", "seeds", *map(str, lengths)]
    return tabulate(rows, headers=headers, tablefmt=style, disable_numparse=True)


def over_seeds_cell(row: Any) -> str:
    """Perplexity of the mean NLL, with the standard deviation over seeds if there are several."""
    if np.isnan(row["mean"]):
        return "undefined"
    spread = "" if np.isnan(row["std"]) else f" ({row['std']:.3f})"
    return f"{np.exp(row['mean']):.2f}{spread}"


def perplexity_cell(row: Any) -> str:
    """Perplexity with half the width of its interval."""
    if np.isnan(row.nll):
        return "undefined"
    if np.isnan(row.nll_low):
        return f"{row.perplexity:.2f} ({NO_INTERVAL})"
    half = (np.exp(row.nll_high) - np.exp(row.nll_low)) / 2
    return f"{row.perplexity:.2f} ±{half:.2f}"
