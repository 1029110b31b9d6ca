"""Stored sums per document of each curve, and the documents that several curves share.

Shape suffixes: D documents, L context lengths.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd

from posext.analysis import curves, same_targets
from posext.config import OWN
from posext.eval.bayes_floor import FLOOR
from posext.utils.atomic import replacing
from posext.utils.errors import PosextError

SUMS = "documents.parquet"


class StoredCurve(NamedTuple):
    """Curve of a run with its sums per document.

    `run` is the folder and the name of the run. `rows` are the curve's rows of curves.csv. `sums`
    are frames with index `document`, by context length. `crop` is such a frame for the run's crop
    baseline, or None if it was not measured.
    """

    run: tuple[Path, str]
    rows: pd.DataFrame
    sums: dict[int, pd.DataFrame]
    crop: pd.DataFrame | None

    @property
    def row(self) -> Any:
        """First row of the curve in curves.csv."""
        return self.rows.iloc[0]

    @property
    def name(self) -> str:
        """Label of the curve with the name of its run."""
        return curves.label_with_run(self.row)

    @property
    def scheme_key(self) -> tuple[Any, ...]:
        """Values of SCHEME_OVER_SEEDS, equal for the seeds of a scheme; all floors have one key."""
        if self.row.extend == FLOOR:
            return (FLOOR,)
        return tuple(self.row[name] for name in curves.SCHEME_OVER_SEEDS)


def read_stored(
    folders: Sequence[Path],
    protocol: str = "fixed_target",
    group: str = "",
    factor: str = "all",
    corpus: str = OWN,
) -> list[StoredCurve]:
    """Read the curves of runs on one corpus under one protocol.

    Args:
        folders: Folders of runs, or of studies into which `posext collect` put several runs.
        protocol: Name of the protocol.
        group: Group of its targets.
        factor: `matched`, `fixed` or `all`, as `curves.select_factor` takes it.
        corpus: Name of the corpus.

    Returns:
        Curves in the order of the folders.

    Raises:
        PosextError: A folder has no curves on the corpus or under the protocol and group (the
            message names those it has), or curves have different targets.
    """
    stored_curves = [
        curve
        for folder in folders
        for curve in of_folder(folder, protocol, group, factor, on_corpus(folder, corpus))
    ]
    if stored_curves:
        all_rows = [curve.rows for curve in stored_curves]
        same_targets.refuse_mixed_targets(pd.concat(all_rows, ignore_index=True))
    return stored_curves


def on_corpus(folder: Path, corpus: str) -> pd.DataFrame:
    """Read the rows of curves.csv on a corpus; none for a folder without curves.

    Raises PosextError if the folder has curves on others alone.
    """
    rows = curves.read_curves(folder / "curves.csv")
    return filter_or_raise(rows, "corpus", corpus, folder) if len(rows) else rows


def of_folder(
    folder: Path, protocol: str, group: str, factor: str, rows: pd.DataFrame | None = None
) -> list[StoredCurve]:
    """Read the curves of one folder, as `read_stored` does, on every corpus.

    `rows` restricts the rows of curves.csv.
    """
    stored = sums(folder)
    if rows is None:
        rows = curves.read_curves(folder / "curves.csv")
    if not len(rows) or stored is None:
        raise PosextError(
            f"{folder} holds no curves; python -m posext.evaluate run={folder} "
            "measures a trained run"
        )
    stored = filter_or_raise(stored, "protocol", protocol, folder)
    stored = stored.assign(group=stored.group.fillna("") if "group" in stored else "")
    stored = filter_or_raise(stored, "group", group, folder)
    # The group is empty at undefined lengths, also under a protocol with groups.
    wanted: pd.DataFrame = rows.loc[(rows.protocol == protocol) & rows.group.isin((group, ""))]
    stored_curves = []
    for key, rows_of_run in wanted.groupby(["run", "corpus"], sort=False):
        run, corpus = cast(tuple[str, str], key)
        stored_of_run = stored.loc[stored.corpus == corpus]
        if "run" in stored:
            stored_of_run = stored_of_run.loc[stored_of_run.run == run]
        stored_curves += curves_of_run((folder, run), rows_of_run, stored_of_run, factor)
    return stored_curves


def curves_of_run(
    run: tuple[Path, str], rows: pd.DataFrame, stored: pd.DataFrame, factor: str
) -> list[StoredCurve]:
    """Build the curves of one run on one corpus from its rows of curves.csv and its sums."""
    stored_curves = []
    crop = None
    for _, curve_rows in rows.groupby(curves.EXTENSION, sort=False):
        extend = curve_rows.extend.iloc[0]
        own_factor = curve_rows.factor.iloc[0]
        of_curve = stored.loc[(stored.extend == extend) & (stored.factor == own_factor)]
        by_length = {
            int(str(length)): sums_of_length.set_index("document")
            for length, sums_of_length in of_curve.groupby("context_length")
        }
        at_train_length = by_length.get(curve_rows.trained_length.iloc[0])
        if extend == "" and crop is None:
            crop = at_train_length
        stored_curves.append(StoredCurve(run, curve_rows, by_length, at_train_length))
    selected = [curve for curve in stored_curves if len(curves.select_factor(curve.rows, factor))]
    return selected if crop is None else [curve._replace(crop=crop) for curve in selected]


def sums(folder: Path) -> pd.DataFrame | None:
    """Read the sums per document of a run; None if there are none.

    Raises PosextError for a damaged file.
    """
    file = folder / SUMS
    try:
        stored = pd.read_parquet(file) if file.exists() else None
    except (ValueError, OSError) as error:
        raise PosextError(f"{file} is damaged: {error}") from error
    if stored is None or "corpus" in stored:
        return stored
    return stored.assign(corpus=OWN)


def write_sums(stored: pd.DataFrame, folder: Path) -> None:
    """Replace the sums per document of a folder."""
    with replacing(folder / SUMS) as temporary:
        stored.to_parquet(temporary, index=False)


def filter_or_raise(stored: pd.DataFrame, column: str, value: str, folder: Path) -> pd.DataFrame:
    """Select the rows with a value. Raises PosextError if there are none."""
    selected = stored[column] == value
    if not selected.to_numpy().any():
        valid = ", ".join(repr(name) for name in sorted(stored[column].unique()))
        raise PosextError(f"{folder} has no {column} {value!r}; it has {valid}")
    return stored.loc[selected]


def align_documents(
    frames: Sequence[pd.DataFrame], names: Sequence[str] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Align the documents of frames of sums, for paired statistics.

    Args:
        frames: Sums with index `document`; the documents must be the same in all frames.
        names: Names of the frames, for the error message.

    Returns:
        NLL in nats (L, D), and weights (D,).

    Raises:
        PosextError: A frame has other documents or targets than the first.
    """
    first = frames[0]
    aligned = [first]
    for number, frame in enumerate(frames[1:], start=1):
        one, two = (names[0], names[number]) if names else ("one curve", "the other")
        other = frame
        if not frame.index.equals(first.index):
            shared = len(first.index.intersection(frame.index))
            if not shared == len(first) == len(frame):
                raise PosextError(
                    f"{one} and {two} are measured on different documents ({len(first)} and "
                    f"{len(frame)}, {shared} of them in both), "
                    f"so they cannot be held against each other: {same_targets.REMEDY}"
                )
            other = frame.loc[first.index]
        aligned.append(other)
        differs_D = (other.tokens.to_numpy() != first.tokens.to_numpy()) | (
            other.bytes.to_numpy() != first.bytes.to_numpy()
        )
        if differs_D.any():
            document = first.index[differs_D][0]
            raise PosextError(
                f"{one} and {two} are measured on different targets "
                f"(of {document}, {document_size(first, document)} and "
                f"{document_size(other, document)}), "
                f"so they cannot be held against each other: {same_targets.REMEDY}"
            )
    weights = first.weight.fillna(first.tokens) if "weight" in first else first.tokens
    nll_LD = np.stack([frame.nll.to_numpy(float) for frame in aligned])
    return nll_LD, weights.to_numpy(float)


def document_size(frame: pd.DataFrame, document: Any) -> str:
    """Tokens and bytes of the targets of a document, in words."""
    return f"{frame.tokens[document]} tokens of {frame.bytes[document]} bytes"
