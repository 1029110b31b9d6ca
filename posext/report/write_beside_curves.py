"""What a measurement writes beside curves.csv: answers, keys and attention, with their charts."""

from pathlib import Path

import pandas as pd

from posext.analysis import attention, key_choice, retrieval
from posext.config import ATTENTION, KEY_TOKENS
from posext.eval.curve import EvalPlan
from posext.report import attention_plot, heatmap
from posext.runs.run import Run
from posext.utils.atomic import replacing, write_text


def write_retrieval(
    folder: Path, rows: pd.DataFrame, extend: str, factor: str, trained: int, title: str
) -> pd.DataFrame:
    """Write a curve's rows into retrieval.csv, and a heat map for each task.

    Args:
        folder: the run folder.
        rows: counts of right answers; they replace rows of the same curve.
        extend: the extension, or "" for the run as trained.
        factor: the scaling factor, "auto", or "" for none.
        trained: the training length in tokens.
        title: the heading of the heat maps, before the task's name.

    Returns:
        The rows, with intervals.
    """
    rows = retrieval.with_intervals(rows).assign(extend=extend, factor=factor)
    if len(rows):
        file = folder / retrieval.FILE
        table = retrieval.upsert_retrieval(retrieval.read_retrieval(file), rows)
        with replacing(file) as temporary:
            table.to_csv(temporary, index=False)
        for task, task_rows in table.groupby("task", sort=False):
            heatmap.draw_heat_map(task_rows, folder / f"{task}.png", f"{title}: {task}", trained)
    return rows


def write_keys(run: Run, plan: EvalPlan, judge: Run) -> None:
    """Write how the judge of a run chose its keys into keys.csv, and print it."""
    evaluation = run.config.evaluation
    counts = plan.protocols[KEY_TOKENS].counts
    assert counts is not None
    is_own = judge.folder.resolve() == run.folder.resolve()
    rows = counts.assign(
        run=run.name,
        judge=key_choice.ITSELF if is_own else evaluation.key_judge,
        alpha=evaluation.key_alpha,
        beta=evaluation.key_beta,
        short=evaluation.key_short or evaluation.far_beyond or run.trained_length,
        long=plan.lengths[-1],
    )
    rows = rows.loc[:, [*key_choice.TEXT_COLUMNS, *key_choice.NUMBERS]]
    write_text(run.folder / key_choice.FILE, rows.to_csv(index=False))
    choice = key_choice.key_choice(rows)
    print(f"\n{key_choice.key_table([choice])}")
    key_choice.warn_if_poor(choice)


def write_attention(run: Run, sums: pd.DataFrame, extend: str, factor: str) -> pd.DataFrame:
    """Write a curve's rows into attention.csv, and the chart of all curves in it.

    Args:
        run: the measured run.
        sums: sums by document; the rows replace those of the same curve.
        extend: the extension, or "" for the run as trained.
        factor: the scaling factor, "auto", or "" for none.

    Returns:
        The rows, with intervals.
    """
    settings = {"run": run.name, "extend": extend, "factor": factor}
    rows = attention.with_intervals(sums).assign(**settings).reindex(columns=attention.COLUMNS)
    if len(rows):
        file = run.folder / attention.FILE
        table = attention.upsert_attention(attention.read_attention(file), rows)
        attention.write_attention(table, file)
        chart = run.folder / f"{ATTENTION}.png"
        attention_plot.draw_attention(table, chart, run.name, run.trained_length)
    return rows
