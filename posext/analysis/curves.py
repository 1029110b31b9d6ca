"""`curves.csv`, with a row per (corpus, extension, protocol, context length).

Terms:
    corpus: The name in evaluation.data of the corpus that the targets are from; `own` for the
        held-out documents of the run's own, which all rows of older files are on.
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

from posext.analysis.copies import without_copies
from posext.analysis.csv_table import read_csv_table, upsert_rows
from posext.analysis.statistics import interval
from posext.config import HEADLINE, OWN
from posext.data.split import MIN_DOCUMENTS
from posext.eval.bayes_floor import FLOOR
from posext.utils.errors import PosextError

log = logging.getLogger(__name__)
COLUMNS = [
    "study",
    "run",
    "scheme",
    "lineage",
    "extend",
    "factor",
    "model",
    "parameters",
    "original_length",
    "trained_length",
    "seed",
    "corpus",
    "protocol",
    "group",
    "bos",
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
    "lineage",
    "extend",
    "factor",
    "model",
    "corpus",
    "protocol",
    "group",
    "bos",
    "targets",
    "commit",
]
FORMER_NAMES = {"train_length": "trained_length"}  # columns of older files
NUMBERS = [name for name in COLUMNS if name not in TEXT_COLUMNS]
STATISTICS = ["nll", "nll_low", "nll_high", "perplexity", "bits_per_byte", "documents", "tokens"]
TARGET_COLUMNS = ["targets", "documents", "tokens"]  # they identify the targets of a row

# Columns that identify a curve, by scope.
EXTENSION = ["extend", "factor"]
CURVE_IN_FOLDER = [*EXTENSION, "corpus", "protocol"]
RETRIEVAL_CURVE = ["task", *EXTENSION]
SCHEME_OVER_SEEDS = ["scheme", "lineage", *EXTENSION, "model", "original_length", "trained_length"]
CURVE_OVER_SEEDS = ["study", *SCHEME_OVER_SEEDS, "corpus", "protocol", "group"]
CURVE_OF_RUN = [
    "study",
    "run",
    "scheme",
    "lineage",
    *EXTENSION,
    "original_length",
    "trained_length",
    "seed",
    "corpus",
    "protocol",
    "group",
]


def read_curves(path: Path | str) -> pd.DataFrame:
    """Read a curves file.

    Returns:
        COLUMNS; empty if the file does not exist.

    Raises:
        PosextError: The file holds something else.
    """
    if not Path(path).exists():
        return pd.DataFrame(columns=COLUMNS)
    curves = read_csv_table(path, TEXT_COLUMNS, [*NUMBERS, *FORMER_NAMES])
    if not {"run", "scheme"} <= set(curves):
        raise PosextError(
            f"{path} is no file of curves: it has not both a column run and a column scheme"
        )
    if "trained_length" not in curves:
        curves = curves.rename(columns=FORMER_NAMES)
    curves = curves.assign(**{name: "" for name in TEXT_COLUMNS if name not in curves})
    curves = curves.reindex(columns=COLUMNS).fillna(dict.fromkeys(TEXT_COLUMNS, ""))
    return curves.assign(corpus=curves.corpus.replace("", OWN))


def objective(path: Path) -> float | None:
    """NLL in nats of a run as trained, at its longest context, under its first protocol.

    It is that of the first corpus.

    Infinite if the scheme is undefined there; None if nothing was measured.
    """
    rows = read_curves(path)
    if not len(rows):
        return None
    first = rows.iloc[0]
    in_place = (rows.corpus == first.corpus) & (rows.protocol == first.protocol)
    as_trained = rows.loc[(rows.extend == "") & in_place]
    if not len(as_trained):
        return None
    longest = as_trained.loc[as_trained.context_length.idxmax()]
    return float(longest.fillna({"nll": np.inf}).nll)


def of_runs(paths: Iterable[Path]) -> pd.DataFrame:
    """Read the curves of run folders or curves files, and concatenate them.

    Raises:
        PosextError: As `by_path` does.
    """
    return pd.concat(by_path(paths).values(), ignore_index=True)


def by_path(paths: Iterable[Path], required: bool = True) -> dict[Path, pd.DataFrame]:
    """Read the curves of run folders or curves files, without those that an earlier path has.

    Leaves out a path without curves, with a warning.

    Raises:
        PosextError: A path does not exist or is damaged, two have runs of one name, or none has
            any curve, unless curves are not `required`.
    """
    curves_by_path = {}
    for path in paths:
        if not path.exists():
            raise PosextError(f"{path} is neither the folder of a run nor a file of curves")
        curves_by_path[path] = read_curves(path / "curves.csv" if path.is_dir() else path)
    empty = [path for path, curves in curves_by_path.items() if not len(curves)]
    remedy = "python -m posext.evaluate run=RUN measures it"
    if required and len(empty) == len(curves_by_path):
        raise PosextError(
            f"none of these holds curves: {', '.join(map(str, empty))}; {remedy} once it is trained"
        )
    for path in empty:
        log.warning("%s holds no curves yet; %s once it is trained", path, remedy)
    measured = {path: curves for path, curves in curves_by_path.items() if len(curves)}
    return without_copies(measured, ["run", *CURVE_IN_FOLDER, "group", "context_length"])


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
    """Replace the rows of the same curves, those of CURVE_IN_FOLDER, with the new rows last."""
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
    floors = curves.loc[is_floor].drop_duplicates(["corpus", "protocol", "context_length", "nll"])
    return pd.concat([curves.loc[~is_floor], floors])


def refuse_repeated_seeds(runs: Iterable[tuple[int, str]], label: str) -> None:
    """Raise PosextError if two runs of one scheme, each with its seed and name, have one seed."""
    names: dict[int, str] = {}
    for seed, run in runs:
        if names.setdefault(seed, run) != run:
            raise PosextError(
                f"{label} has two runs of seed {seed}, {names[seed]} and {run}: "
                "over seeds there is one of each"
            )


def curve_label(row: Any) -> str:
    """Label of a curve: scheme, extension, last training length, factor, other corpus, protocol.

    The lineage of a continued run stands in place of its scheme.
    """
    on_corpus = "" if row.corpus == OWN else f" on {row.corpus}"
    if row.extend == FLOOR:
        return FLOOR + on_corpus
    label = row.lineage or row.scheme
    if row.extend and row.extend != row.scheme:
        label += f" → {row.extend}"
    if row.trained_length > row.original_length and not row.lineage:
        label += f", trained to {row.trained_length}"
    label += factor_suffix(row.factor) + on_corpus
    if row.protocol != HEADLINE:
        label += f" [{row.protocol} {row.group}".rstrip() + "]"
    return label


def label_with_run(row: Any) -> str:
    """Label of a curve with the name of its run."""
    return f"{curve_label(row)} of {row.run}"


def factor_suffix(factor: str) -> str:
    """Suffix of a label for the scaling factor: `, s matched`, `, s = 8` or empty."""
    if not factor:
        return ""
    return ", s matched" if factor == "auto" else f", s = {float(factor):g}"
