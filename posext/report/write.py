"""Outputs of a measurement: curves.csv, documents.parquet, charts, the page, and wandb."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from posext.analysis import (
    attention,
    comparison,
    curve_table,
    curves,
    document_sums,
    effective_context,
    positions,
    retrieval,
    same_targets,
)
from posext.analysis.baselines import curves_of_parent
from posext.config import ATTENTION, HEADLINE, OWN, PERTURBED
from posext.eval import protocols
from posext.eval.bayes_floor import FLOOR
from posext.eval.curve import EvalPlan
from posext.report import curve_plot, perturbed_plot
from posext.report.lines import COST_NUMBERS
from posext.runs import tensorboard, tracking
from posext.runs.run import Run
from posext.utils.atomic import write_text
from posext.utils.commit import commit

log = logging.getLogger(__name__)


def write_curve(
    run: Run,
    plan: EvalPlan,
    factor: str,
    extend: str,
    sums: pd.DataFrame,
    costs: pd.DataFrame,
    parts: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Write a curve's rows into curves.csv and its sums into documents.parquet.

    Args:
        run: the measured run.
        plan: the plan of the evaluation.
        factor: the scaling factor, "auto", or "" for none.
        extend: the extension, or "" for the run as trained.
        sums: NLL sums by protocol, length, group and document.
        costs: time and memory by protocol and context length.
        parts: NLL sums of `per_position` by part of the window; they go into positions.parquet.

    Returns:
        The rows, with intervals. Undefined lengths have empty numbers.
    """
    settings = {
        "study": run.config.study,
        "run": run.name,
        "scheme": run.config.title(),
        "lineage": run.lineage,
        "extend": extend,
        "factor": factor,
        "model": run.config.model.name,
        "parameters": run.metadata()["parameters"],
        "original_length": run.original_length,
        "trained_length": run.trained_length,
        "seed": run.config.seed,
        "corpus": plan.corpus,
        "bos": run.start_of_windows,
        "commit": commit(),
    }
    rows = planned_rows(plan, sums)
    if not len(rows):  # protocols that make no curve
        return rows.reindex(columns=curves.COLUMNS)
    rows = rows.assign(**settings, **dict.fromkeys(curves.STATISTICS, np.nan))
    if len(sums):
        rows = curves.with_statistics(rows, sums)
    rows = rows.merge(costs, how="left", on=["protocol", "context_length"])
    rows = groups_to_lengths(plan, rows).reindex(columns=curves.COLUMNS)
    labels = {name: settings[name] for name in ("extend", "factor", "corpus")}
    labeled_sums = sums.assign(**labels)
    sums_before = document_sums.sums(run.folder)
    if sums_before is None:
        sums_before = labeled_sums.head(0)
    file = run.folder / "curves.csv"
    table = curves.upsert(curves.read_curves(file), rows)
    document_sums.write_sums(curves.upsert(sums_before, labeled_sums), run.folder)
    if parts is not None and len(parts):
        by_position = parts.assign(
            context_length=parts.group.astype(int), nll=parts.nll.astype("float32")
        )
        positions.write_positions(run.folder, by_position.assign(**labels))
    write_text(file, table.to_csv(index=False))  # last: a curve is never without its sums
    return rows


def planned_rows(plan: EvalPlan, sums: pd.DataFrame) -> pd.DataFrame:
    """A row for each protocol, context length and group of targets, measured or undefined."""
    rows = []
    for name, protocol in plan.protocols.items():
        groups = sums.loc[sums.protocol == name].group.drop_duplicates().tolist() or [""]
        for length in protocol.windows:
            targets = protocols.target_digests(plan.tokens.validation, protocol, length)
            rows += [
                (name, length, group, targets.get(group, ""))
                for group in groups
                if group in targets or not group
            ]
    return pd.DataFrame(rows, columns=["protocol", "context_length", "group", "targets"])


def groups_to_lengths(plan: EvalPlan, rows: pd.DataFrame) -> pd.DataFrame:
    """Move groups that are context lengths of one pass (per_position) into context_length.

    Only the row of the longest length keeps the cost of the pass.
    """
    by_protocol = []
    for name, protocol_rows in rows.groupby("protocol", sort=False):
        if plan.protocols[str(name)].groups_are_lengths and protocol_rows.group.any():
            longest = protocol_rows.context_length
            lengths = protocol_rows.group.astype(int)
            protocol_rows = protocol_rows.assign(context_length=lengths, group="")
            protocol_rows = protocol_rows.sort_values("context_length")
            protocol_rows.loc[protocol_rows.context_length != longest, COST_NUMBERS] = np.nan
        by_protocol.append(protocol_rows)
    return pd.concat(by_protocol, ignore_index=True)


def write_outputs(
    run: Run, measured: pd.DataFrame, answers: pd.DataFrame, looks: pd.DataFrame, wandb_run: Any
) -> None:
    """Write a run's chart and page, mirror them on wandb, and print the new tables.

    Args:
        run: the measured run; chart and page show all its curves on the latest targets, and
            those of its parent.
        measured: the new rows of curves.csv.
        answers: the new rows of retrieval.csv.
        looks: the new rows of attention.csv.
        wandb_run: the wandb run of the training, if it is still open.
    """
    from posext.report import page  # a late import: start-up needs no jinja2

    if len(looks):
        print(f"\n{attention.attention_table(looks)}\n\nTable: {run.folder / attention.FILE}")
    if not len(measured):
        write_without_curves(run, answers, looks, wandb_run)
        return
    stored_curves = curves.read_curves(run.folder / "curves.csv")
    latest_curves = same_targets.latest(stored_curves)
    if left_out := same_targets.left_out(stored_curves, latest_curves):
        log.warning("%s", left_out)
    baselines = curves_of_parent(run, latest_curves)
    latest_curves = pd.concat([baselines, latest_curves], ignore_index=True)
    images = draw_charts(run, latest_curves, measured)
    page_file = page.write_page([run.folder], run.folder / "report.html")
    for extend, factor, curve in measured_curves(measured):
        extension = f"{extend}-{factor}".strip("-") if extend else ""
        is_training_run = wandb_run is not None and not extension
        open_run = wandb_run if is_training_run else tracking.start(run, extension)
        is_headline = (curve.protocol == HEADLINE) & (curve.corpus == curve.corpus.iloc[0])
        headline = curve.loc[is_headline]
        if run.config.tracking.tensorboard:
            tensorboard.write_curve(run.folder, extension, headline)
        summary = curve_table.summary(headline, latest_curves) if len(headline) else {}
        own_answers = answers.loc[(answers.extend == extend) & (answers.factor == factor)]
        tasks = {task: run.folder / f"{task}.png" for task in own_answers.task.unique()}
        own_looks = looks.loc[(looks.extend == extend) & (looks.factor == factor)]
        shown = images | tasks
        if len(own_looks):
            shown[ATTENTION] = run.folder / f"{ATTENTION}.png"
        scalars = [*retrieval.scalars(own_answers), *attention.scalars(own_looks)]
        tracking.mirror_curve(open_run, run, curve, scalars, shown, page_file, summary)
    print_summary(measured, answers, latest_curves)
    charts = ", ".join(str(file) for key, file in images.items() if key.startswith("curve"))
    print(f"Perplexity {interval_meaning(measured)}. Chart: {charts}, page: {page_file}")
    curves.warn_if_few(measured)


def draw_charts(run: Run, rows: pd.DataFrame, measured: pd.DataFrame) -> dict[str, Path]:
    """Draw the chart of each corpus, and its chart of far text if that was measured now.

    Returns:
        The charts that there are, by name.
    """
    images = {}
    for corpus, of_corpus in rows.groupby("corpus", sort=False):
        suffix = "" if corpus == OWN else f"-{corpus}"
        title = run.name if corpus == OWN else f"{run.name} on {corpus}"
        chart = run.folder / f"curve{suffix}.png"
        curve_plot.draw_curves(of_corpus, chart, title)
        images[f"curve{suffix}"] = chart
        rises = run.folder / f"{PERTURBED}{suffix}.png"
        if ((measured.protocol == PERTURBED) & (measured.corpus == corpus)).any():
            write_rises(run, of_corpus, rises, title)
        if rises.is_file():
            images[f"{PERTURBED}{suffix}"] = rises
    return images


def write_without_curves(
    run: Run, answers: pd.DataFrame, looks: pd.DataFrame, wandb_run: Any
) -> None:
    """Print answers that were measured without a curve, and renew the page of earlier curves."""
    from posext.report import page

    if len(answers):
        print(f"\n{retrieval.retrieval_table(answers)}\n\nTable: {run.folder / retrieval.FILE}")
    elif not len(looks):
        log.warning("no context length has room for %s", ", ".join(run.config.protocols))
    if len(looks) and len(curves.read_curves(run.folder / "curves.csv")):
        page.write_page([run.folder], run.folder / "report.html")
    if wandb_run is not None:
        wandb_run.finish()


def write_rises(run: Run, rows: pd.DataFrame, file: Path, title: str) -> None:
    """Draw and print what far text of a corpus is worth to a run, with its effective lengths."""
    rises = effective_context.read_rises(run.folder, rows.loc[rows.run == run.name])
    if not rises:
        return
    settings = run.config.evaluation
    bootstrap = comparison.Bootstrap(settings.bootstrap, settings.seed)
    share = settings.effective_rise
    perturbed_plot.draw_rises(rises, file, share, bootstrap, title=title)
    print(f"\n{effective_context.rise_table(rises, share, bootstrap)}")
    print(
        f"Nats a token, where text farther than so many tokens is changed; chart: {file}. "
        f"Effective: from there on the rise stays below {100 * share:g} % of the loss."
    )


def measured_curves(measured: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Each extension and factor with its rows, without the floor."""
    rows = measured.loc[measured.extend != FLOOR]
    for key, curve in rows.groupby(["extend", "factor"], sort=False):
        extend, factor = cast(tuple[str, str], key)
        yield extend, factor, curve


def print_summary(measured: pd.DataFrame, answers: pd.DataFrame, known: pd.DataFrame) -> None:
    """Print the tables of new curves and answers, and the size of each protocol."""
    shown = measured.loc[measured.protocol != PERTURBED]
    if len(shown):
        print(f"\n{curve_table.table(shown, all_curves=known)}\n")
    if len(answers):
        print(f"{retrieval.retrieval_table(answers)}\n")
    for key, rows in measured.groupby(["corpus", "protocol"], sort=False):
        corpus, protocol = cast(tuple[str, str], key)
        place = protocol if corpus == OWN else f"{protocol} on {corpus}"
        if rows.tokens.isna().all():
            print(f"{place}: undefined at every length.")
            continue
        tokens = int(rows.tokens.max())
        documents = int(rows.documents.max())
        print(f"{place}: {tokens:,} tokens in {documents} held-out documents.")


def interval_meaning(measured: pd.DataFrame) -> str:
    """The meaning of the number after ± in the table."""
    if measured.documents.max() == 1:
        return "without an interval: one document says nothing of others"
    return "± half the 95 % interval over documents"
