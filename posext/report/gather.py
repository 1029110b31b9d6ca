"""Reading of run folders for a page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from posext.analysis import (
    accuracy,
    attention,
    comparison,
    curves,
    document_sums,
    effective_context,
    in_context,
    key_choice,
    retrieval,
    same_targets,
)
from posext.analysis.baselines import curves_of_parent
from posext.config import KEY_TOKENS, OWN, EvaluationConfig
from posext.eval.bayes_floor import FLOOR
from posext.eval.protocols import COMPARABLE
from posext.runs.run import Run, load_run
from posext.utils.errors import PosextError


@dataclass(frozen=True)
class Source:
    """A run folder, or a curves file: its rows of curves.csv, and what a folder has beside them."""

    path: Path
    rows: pd.DataFrame
    run: Run | None
    retrieval: pd.DataFrame
    attention: pd.DataFrame

    @property
    def key_choices(self) -> list[key_choice.KeyChoice]:
        """How the keys of its runs were chosen; empty for a curves file alone."""
        counts = key_choice.read_key_counts(self.path / key_choice.FILE)
        own_rows = self.rows.loc[self.rows.corpus == OWN]  # of other corpora none are stored
        return key_choice.key_choices(counts.loc[counts.run.isin(own_rows.run)])

    @property
    def in_context_scores(self) -> list[in_context.InContextScore]:
        """The in-context-learning scores of its curves; empty for a curves file alone."""
        if not (self.path / document_sums.SUMS).is_file():
            return []
        return in_context.in_context_scores(self.path, self.rows)

    @property
    def bootstrap(self) -> comparison.Bootstrap:
        """How the run's documents are resampled."""
        if self.run is None:
            return comparison.Bootstrap()
        evaluation = self.run.config.evaluation
        return comparison.Bootstrap(evaluation.bootstrap, evaluation.seed)

    @property
    def effective_rise(self) -> float:
        """The share of the loss below which the run counts a rise as none."""
        evaluation = self.run.config.evaluation if self.run else EvaluationConfig()
        return evaluation.effective_rise


@dataclass(frozen=True)
class PairedCurve:
    """The paired differences of a curve to its crop baseline, from the training length on."""

    row: Any  # the curve's first row
    table: pd.DataFrame  # a row for each context length
    derived: dict[str, Any]  # numbers derived from the differences


def read_sources(paths: Sequence[Path], required: bool = True) -> list[Source]:
    """Read all that some run folders or curves files hold.

    Leaves out a path without curves, with a warning if it has no accuracies either.

    Raises:
        PosextError: As `curves.by_path` does.
    """
    on_texts = [path for path in paths if not has_accuracies_alone(path)]
    tables = curves.by_path(on_texts, required)
    return [open_source(path, rows) for path, rows in tables.items()]


def has_accuracies_alone(path: Path) -> bool:
    """Whether a path is the folder of runs on algorithmic tasks, which have no curves."""
    return (path / accuracy.FILE).is_file() and not (path / "curves.csv").is_file()


def open_source(path: Path, rows: pd.DataFrame) -> Source:
    is_run = path.is_dir() and (path / "config.yaml").is_file()
    return Source(
        path=path,
        rows=rows,
        run=load_run(path) if is_run else None,
        retrieval=read_answers(path, str(rows.run.iloc[0])),
        attention=attention.read_attention(path / attention.FILE),
    )


def read_answers(path: Path, run: str) -> pd.DataFrame:
    """Read the retrieval file of a run of that name, or of a folder of several.

    It has a column `run`. Empty if the file does not exist.
    """
    file = path / retrieval.FILE
    if file.is_file() and (path / "configs").is_dir():
        return retrieval.read_collected(file)
    return retrieval.read_retrieval(file).assign(run=run)


def corpora(rows: pd.DataFrame) -> list[str]:
    """The corpora of some rows in their order, the runs' own first; none of accuracies."""
    names = rows.corpus.drop_duplicates().tolist() if "corpus" in rows else []
    return sorted(names, key=lambda name: name != OWN)


def on_corpus(sources: Sequence[Source], corpus: str) -> list[Source]:
    """The sources with the rows of one corpus, without those that have none."""
    selected = [
        replace(source, rows=source.rows.loc[source.rows.corpus == corpus]) for source in sources
    ]
    return [source for source in selected if len(source.rows)]


def select_same_targets(sources: Sequence[Source]) -> tuple[list[Source], list[str]]:
    """Select the curves that can stand on one page.

    One run may have been measured on other targets before: its curves on the latest targets are
    kept, and its parent's are put beside them. Several runs are kept whole.

    Returns:
        The sources, and a sentence that names the curves left out.

    Raises:
        PosextError: several runs are on different targets.
    """
    rows = pd.concat([source.rows for source in sources], ignore_index=True)
    if len(sources) == 1 and rows.run.nunique() == 1:
        all_rows = sources[0].rows
        latest = same_targets.latest(all_rows)
        left_out = same_targets.left_out(all_rows, latest)
        sentences = [f"{capitalized(left_out)}."] if left_out else []
        return [replace(sources[0], rows=latest), *parents(sources[0].run, latest)], sentences
    kept, reason = same_targets.without_mixed_keys(rows)
    same_targets.refuse_mixed_targets(kept)
    refuse_mixed_corpora(sources, kept)
    if not reason:
        return list(sources), []
    others = [
        replace(source, rows=source.rows.loc[source.rows.protocol != KEY_TOKENS])
        for source in sources
    ]
    return [source for source in others if len(source.rows)], [f"{capitalized(reason)}."]


def capitalized(sentence: str) -> str:
    """A sentence with a capital."""
    return sentence[0].upper() + sentence[1:]


def parents(run: Run | None, rows: pd.DataFrame) -> list[Source]:
    """The parent of a continued run with its curves on the same targets; empty without any."""
    if run is None:
        return []
    baselines = curves_of_parent(run, rows)
    return [open_source(Path(str(run.config.init.path)), baselines)] if len(baselines) else []


def refuse_mixed_corpora(sources: Sequence[Source], rows: pd.DataFrame) -> None:
    """Raise PosextError for runs on different corpora if only counts could tell their targets."""
    corpora = {
        source.run.metadata()["data"]: source
        for source in sources
        if source.run and source.run.trained
    }
    if len(corpora) > 1 and (rows.targets == "").any():
        first, second = (source.path for source in list(corpora.values())[:2])
        raise PosextError(
            f"{first} and {second} are measured on different corpora, "
            "so they cannot stand on one page"
        )


def paired_curves(source: Source, protocol: str, group: str) -> tuple[list[PairedCurve], list[str]]:
    """Compare a run's curves under a protocol with its crop baseline.

    Empty for a protocol whose lengths are not comparable, and for a curves file alone.

    Returns:
        The differences, and a sentence for each curve that has none.
    """
    if protocol not in COMPARABLE or not (source.path / "documents.parquet").is_file():
        return [], []
    paired = []
    sentences = []
    for curve in document_sums.of_folder(source.path, protocol, group, "all", source.rows):
        if curve.row.extend == FLOOR and curve.crop is None:
            continue
        try:
            derived = comparison.derived(curve, source.bootstrap)
            effective = effective_context.effective_size(curve, source.bootstrap)
            derived["effective"] = effective_context.size_text(effective)
            paired.append(PairedCurve(curve.row, comparison.to_crop(curve), derived))
        except PosextError as error:
            sentences.append(f"{curves.curve_label(curve.row)} has no paired difference: {error}.")
    return paired, sentences
