"""What runs left in their folders, read for a page."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from posext.analysis import comparison, curves, document_sums, retrieval
from posext.eval.bayes_floor import FLOOR
from posext.eval.protocols import COMPARABLE
from posext.runs import run
from posext.utils.errors import PosextError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A run's folder, or a curves file: its rows of curves.csv, and what a folder has beside them."""

    path: Path
    rows: pd.DataFrame
    run: run.Run | None
    retrieval: pd.DataFrame

    @property
    def bootstrap(self) -> comparison.Bootstrap:
        """How the run's documents are resampled."""
        config = self.run.config.evaluation if self.run else None
        return (
            comparison.Bootstrap(config.bootstrap, config.seed)
            if config
            else comparison.Bootstrap()
        )


@dataclass(frozen=True)
class Paired:
    """A curve's table of differences to its crop baseline, from the training length on, and the numbers derived of it."""

    row: Any
    table: pd.DataFrame
    derived: dict[str, Any]


def read(paths: Sequence[Path]) -> list[Source]:
    """Everything that some runs have. Raises PosextError where none holds curves."""
    return [
        source(path, rows) for path in paths if len(rows := measured(path, alone=len(paths) == 1))
    ]


def measured(path: Path, alone: bool) -> pd.DataFrame:
    """The rows of a run; none, with a warning, where it was not measured, or PosextError where nothing else is read."""
    try:
        rows = curves.of_runs([path])
    except PosextError:
        if alone:
            raise
        return pd.DataFrame()
    return rows.assign(group=rows.group.fillna("") if "group" in rows else "")


def source(path: Path, rows: pd.DataFrame) -> Source:
    known = path.is_dir() and (path / "config.yaml").is_file()
    return Source(
        path,
        rows,
        run.load_run(path) if known else None,
        retrieval.read_retrieval(path / retrieval.FILE),
    )


def on_same_targets(sources: Sequence[Source]) -> tuple[list[Source], list[str]]:
    """The sources with the curves that can stand on one page, and a sentence that names those left out.

    Of one run, which may have been measured on other targets before, the curves on its last. Of several, all: raises
    ValueError where these are on different targets.
    """
    rows = pd.concat([source.rows for source in sources], ignore_index=True)
    if len(sources) == 1 and rows.run.nunique() == 1:
        before = sources[0].rows
        kept = curves.latest(before)
        left = curves.left_out(before, kept)
        return [replace(sources[0], rows=kept)], [f"{left[0].upper()}{left[1:]}."] if left else []
    curves.refuse_mixed_targets(rows)
    corpora = {
        source.run.metadata()["data"]: source
        for source in sources
        if source.run and source.run.trained
    }
    if len(corpora) > 1 and (rows.targets == "").any():  # then the counts alone would have to tell
        one, two = (source.path for source in list(corpora.values())[:2])
        raise PosextError(
            f"{one} and {two} are measured on different corpora, so they cannot stand on one page"
        )
    return list(sources), []


def paired(found: Source, protocol: str, group: str) -> tuple[list[Paired], list[str]]:
    """The differences of a run's curves under a protocol to its crop baseline; and why there are none, in sentences.

    Empty where the lengths of a protocol are not comparable, and for a file of curves alone.
    """
    if protocol not in COMPARABLE or not (found.path / "documents.parquet").is_file():
        return [], []
    made, notes = [], []
    for curve in document_sums.of_folder(found.path, protocol, group, "all", found.rows):
        if curve.row.extend == FLOOR and curve.crop is None:
            continue
        try:
            derived = comparison.derived(curve, found.bootstrap)
            made.append(Paired(curve.row, comparison.to_crop(curve), derived))
        except PosextError as error:
            notes.append(f"{curves.curve_label(curve.row)} has no paired difference: {error}.")
    return made, notes
