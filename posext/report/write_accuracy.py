"""Outputs of a measured algorithmic task: accuracy.csv, the chart and the page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd

from posext.analysis.accuracy import COLUMNS, EXTENSION, FILE, read_accuracy, with_intervals
from posext.analysis.accuracy_summary import accuracy_table
from posext.analysis.csv_table import upsert_rows
from posext.config import TrainConfig
from posext.data.algorithmic.corpus import TaskCorpus
from posext.eval.accuracy import example_lengths, measure_accuracy
from posext.eval.extension import factor_text
from posext.report import accuracy_plot
from posext.runs import tracking
from posext.runs.command_log import record_command
from posext.runs.run import Run
from posext.training import device
from posext.utils.atomic import replacing
from posext.utils.commit import commit


def measure_task(
    run: Run,
    corpus: TaskCorpus,
    named: Sequence[tuple[TrainConfig, str]],
    wandb_run: Any = None,
    arguments: list[str] | None = None,
) -> pd.DataFrame:
    """Measure a run on its algorithmic task, and write what was measured.

    Args:
        run: A trained run.
        corpus: Its task.
        named: The configs to measure, each with the name of its extension, "" as trained.
        wandb_run: The wandb run that training left open, if any.
        arguments: What was typed to measure it, for the log of the run's commands.

    Returns:
        The rows of accuracy.csv that were measured; none off the main process.
    """
    accelerator = device.accelerator(run.config.precision)
    evaluation = run.config.evaluation
    lengths = example_lengths(corpus.config, evaluation)
    measured = []
    for config, extend in named:
        model = run.network(config, corpus.vocab_size).to(accelerator.device).eval()
        counts = measure_accuracy(model, corpus, lengths, evaluation, accelerator)
        factor = factor_text(config.pe.get("factor", ""))
        measured.append(accuracy_rows(run, counts, extend, factor))
    if not accelerator.is_main_process:
        return pd.DataFrame(columns=COLUMNS)
    if arguments is not None:
        record_command(run.folder, "evaluate", arguments)
    rows = pd.concat(measured, ignore_index=True)
    write_accuracy(run, rows, wandb_run)
    return rows


def accuracy_rows(run: Run, counts: pd.DataFrame, extend: str, factor: str) -> pd.DataFrame:
    """Return the rows of accuracy.csv of a curve.

    Args:
        run: The measured run.
        counts: Its answers, in COUNT_COLUMNS.
        extend: The extension, or "" for the run as trained.
        factor: The scaling factor, "auto", or "" for none.
    """
    data: Any = run.config.data
    settings = {
        "study": run.config.study,
        "run": run.name,
        "scheme": run.config.title(),
        "extend": extend,
        "factor": factor,
        "model": run.config.model.name,
        "parameters": run.metadata()["parameters"],
        "seed": run.config.seed,
        "task": data.title(),
        "trained_length": data.length,
        "commit": commit(),
    }
    return with_intervals(counts.assign(**settings)).reindex(columns=COLUMNS)


def write_accuracy(run: Run, measured: pd.DataFrame, wandb_run: Any) -> None:
    """Write accuracy.csv, accuracy.png and the page; print a table, and mirror it on wandb.

    Args:
        run: The measured run.
        measured: New rows of accuracy.csv; they replace those of the same curves.
        wandb_run: The wandb run of the training, if it is still open.
    """
    from posext.report import page  # a late import: start-up needs no jinja2

    file = run.folder / FILE
    rows = upsert_rows(read_accuracy(file), measured, EXTENSION)
    with replacing(file) as temporary:
        rows.to_csv(temporary, index=False)
    chart = run.folder / "accuracy.png"
    accuracy_plot.draw_accuracy(rows, chart, title=run.name)
    page_file = page.write_page([run.folder], run.folder / "report.html")
    mirror(run, measured, chart, page_file, wandb_run)
    print(f"\n{accuracy_table(measured)}\n\nChart: {chart}, page: {page_file}")


def mirror(run: Run, measured: pd.DataFrame, chart: Path, page: Path, wandb_run: Any) -> None:
    """Log the accuracies of each curve on wandb, with the chart and the page."""
    no_curve = pd.DataFrame(columns=["nll"])
    for key, rows in measured.groupby(EXTENSION, sort=False):
        extension = "-".join(filter(None, cast(tuple[str, str], key)))
        is_training_run = wandb_run is not None and not extension
        open_run = wandb_run if is_training_run else tracking.start(run, extension)
        scalars = [
            {
                "eval/context_length": row.tokens,
                "eval/exact_match": row.exact_match,
                "eval/normalized_accuracy": row.normalized_accuracy,
            }
            for row in rows.loc[rows.examples > 0].itertuples()
        ]
        tracking.mirror_curve(
            open_run, run, no_curve, cast(Any, scalars), {"accuracy": chart}, page, {}
        )
