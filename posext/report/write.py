"""What a measurement leaves in the folder of a run: curves.csv, documents.parquet, the chart, and the same on wandb."""

import logging
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from posext.analysis import curves, document_sums, retrieval
from posext.config import HEADLINE
from posext.eval import protocols
from posext.eval.bayes_floor import FLOOR
from posext.eval.curve import EvalPlan
from posext.report import curve_plot, heatmap
from posext.runs import tracking
from posext.runs.run import Run, commit
from posext.utils.atomic import replacing, write_text

log = logging.getLogger(__name__)


def write_curve(
    run: Run, plan: EvalPlan, factor: Any, extend: str, sums: pd.DataFrame, costs: pd.DataFrame
) -> pd.DataFrame:
    """Intervals from the sums; rows into curves.csv, sums into documents.parquet. Undefined lengths have empty numbers."""
    rows = rows_of(plan, sums)
    fixed = {
        "study": run.config.study,
        "run": run.name,
        "scheme": run.config.title(),
        "extend": extend,
        "factor": factor if isinstance(factor, str) else f"{factor:g}",
        "model": run.config.model.name,
        "parameters": run.metadata()["parameters"],
        "original_length": run.config.train_length,
        "trained_length": run.schedule.longest,
        "seed": run.config.seed,
        "commit": commit(),
    }
    rows = rows.assign(**fixed, **dict.fromkeys(curves.STATISTICS, np.nan))
    if len(sums):
        rows = curves.with_statistics(rows, sums)
    rows = rows.merge(costs, how="left", on=["protocol", "context_length"])
    rows = groups_to_lengths(plan, rows).reindex(columns=curves.COLUMNS)
    labelled = sums.assign(**{name: fixed[name] for name in ("extend", "factor")})
    file, before = run.folder / "curves.csv", document_sums.sums(run.folder)
    table = curves.upsert(curves.read_curves(file), rows)
    before = labelled.head(0) if before is None else before
    with replacing(run.folder / document_sums.SUMS) as beside:
        curves.upsert(before, labelled).to_parquet(beside, index=False)
    write_text(file, table.to_csv(index=False))  # last: whoever finds the curve finds its sums
    return rows


def write_retrieval(
    folder: Path, rows: pd.DataFrame, extend: str, factor: str, trained: int, title: str
) -> pd.DataFrame:
    """Rows into retrieval.csv in place of those of the same curve, and a heat map for each task; the rows."""
    rows = retrieval.with_intervals(rows).assign(extend=extend, factor=factor)
    if len(rows):
        table = retrieval.upsert_retrieval(retrieval.read_retrieval(folder / retrieval.FILE), rows)
        with replacing(folder / retrieval.FILE) as beside:
            table.to_csv(beside, index=False)
        for task, part in table.groupby("task", sort=False):
            heatmap.draw(part, folder / f"{task}.png", f"{title}: {task}", trained)
    return rows


def rows_of(plan: EvalPlan, sums: pd.DataFrame) -> pd.DataFrame:
    """A row for every protocol, context length and group of targets, whether it was measured or is undefined."""
    rows = []
    for name, made in plan.protocols.items():
        groups = sums.loc[sums.protocol == name].group.drop_duplicates().tolist() or [""]
        for length in made.windows:
            targets = protocols.targets(plan.tokens.validation, made, length)
            rows += [(name, length, group, targets.get(group, "")) for group in groups]
    return pd.DataFrame(rows, columns=["protocol", "context_length", "group", "targets"])


def groups_to_lengths(plan: EvalPlan, rows: pd.DataFrame) -> pd.DataFrame:
    """Where a protocol's groups are context lengths of one pass, they are the rows' lengths; the pass is the longest's."""
    parts = []
    for name, part in rows.groupby("protocol", sort=False):
        if plan.protocols[str(name)].groups_are_lengths and part.group.any():
            cost = ["seconds", "tokens_per_second", "peak_memory_bytes"]
            longest = part.context_length
            part = part.assign(context_length=part.group.astype(int), group="").sort_values(
                "context_length"
            )
            part.loc[part.context_length != longest, cost] = np.nan
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def write_outputs(run: Run, measured: pd.DataFrame, found: pd.DataFrame, wandb_run: Any) -> None:
    """The chart and the page of all that the run has, both on wandb too, and the tables of what was measured and found now."""
    from posext.report import page  # here, so that what draws pages is not imported at start-up

    written_so_far = curves.read_curves(run.folder / "curves.csv")
    everything = curves.latest(written_so_far)
    if left := curves.left_out(written_so_far, everything):
        log.warning("%s", left)
    figure = run.folder / "curve.png"
    curve_plot.draw(everything, figure, title=run.name)
    written = page.write([run.folder], run.folder / "report.html")
    for key, curve in measured.loc[measured.extend != FLOOR].groupby(
        ["extend", "factor"], sort=False
    ):
        extend, factor = cast(tuple[str, str], key)
        extension = f"{extend}-{factor}".strip("-") if extend else ""
        started = (
            wandb_run if wandb_run is not None and not extension else tracking.start(run, extension)
        )
        headline = curve.loc[curve.protocol == HEADLINE]
        summary = curves.summary(headline, everything) if len(headline) else {}
        answers = found.loc[(found.extend == extend) & (found.factor == factor)]
        images = {
            "curve": figure,
            **{task: run.folder / f"{task}.png" for task in answers.task.unique()},
        }
        tracking.mirror_curve(started, curve, retrieval.scalars(answers), images, written, summary)
    print(f"\n{curves.table(measured, all_curves=everything)}\n")
    if len(found):
        print(f"{retrieval.retrieval_table(found)}\n")
    for protocol, part in measured.groupby("protocol", sort=False):
        print(
            f"{protocol}: {int(part.tokens.max()):,} tokens in {int(part.documents.max())} held-out documents."
        )
    half = "± half the 95 % interval over documents"
    said = (
        "without an interval: one document says nothing of others"
        if measured.documents.max() == 1
        else half
    )
    print(f"Perplexity {said}. Chart: {figure}, page: {written}")
    curves.warn_if_few(measured)
