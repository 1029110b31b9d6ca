"""Metrics of a training run: rows in `metrics.jsonl`, and a mirror of them on wandb."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from posext.config import HEADLINE, OWN
from posext.runs.run import Run
from posext.utils.atomic import synced, write_text

log = logging.getLogger(__name__)


class Metrics:
    """`metrics.jsonl`, one JSON object a line.

    Opening it drops the rows after `step`, so that a resumed run has no duplicates.
    """

    def __init__(self, path: Path, step: int):
        self.path = path
        kept = [row for row in read_metrics(path) if row["step"] <= step]
        write_text(path, "".join(json.dumps(row) + "\n" for row in kept))

    def write(self, row: dict[str, Any]) -> None:
        """Append a row."""
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")

    def keep(self) -> None:
        """Flush the rows to disk, as required before a checkpoint of their step is written."""
        synced(self.path)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a metrics file, without a last line that a crash cut short."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def start(run: Run, extension: str = "") -> Any:
    """Start a wandb run for a run or for one of its extensions.

    It is offline unless the config says online and the user is logged in. Its id is made from
    its name, so starting again continues it.

    Args:
        run: The run.
        extension: The extension's name; empty for the run as trained.

    Returns:
        The wandb run; None if tracking is disabled or wandb cannot start.
    """
    if run.config.tracking.wandb == "disabled":
        return None
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb

    online = goes_online(run)
    name = f"{run.name}-{extension}" if extension else run.name
    try:
        wandb_run = wandb.init(
            project=run.config.tracking.project,
            group=run.config.study,
            name=name,
            id=name[-128:],
            dir=str(run.folder),
            mode="online" if online else "offline",
            resume="allow" if online else None,
            reinit="finish_previous",
            config={**asdict(run.config), "extension": extension},
        )
    except Exception as error:  # wandb is a mirror: a run never fails for it
        log.warning("wandb did not start (%s); the run goes on, its files are the record", error)
        return None
    wandb_run.define_metric("tokens")
    wandb_run.define_metric("train/*", step_metric="tokens")
    wandb_run.define_metric("validation/*", step_metric="tokens")
    wandb_run.define_metric("eval/context_length")
    wandb_run.define_metric("eval/*", step_metric="eval/context_length")
    return wandb_run


def goes_online(run: Run) -> bool:
    """Return whether to track online; warn if the config asks for it without a login."""
    if run.config.tracking.wandb != "online":
        return False
    if logged_in():
        return True
    log.warning(
        "wandb is out of reach or not logged in to, so this run is recorded offline: "
        "wandb login, then wandb sync"
    )
    return False


def logged_in() -> bool:
    """Return whether wandb accepts this user's API key.

    wandb raises one error without a key, and many different ones without a network.
    """
    import wandb

    try:
        return bool(wandb.Api().api_key)
    except Exception:
        return False


def mirror(wandb_run: Any, row: dict[str, Any]) -> None:
    """Log a row of metrics on wandb, its values under train/ or validation/."""
    if wandb_run is None:
        return
    section = "validation" if "validation_loss" in row else "train"
    axes = {key: row[key] for key in ("step", "tokens")}
    values = {f"{section}/{key}": value for key, value in row.items() if key not in axes}
    with warn_on_failure():
        wandb_run.log(axes | values)


def mirror_curve(
    wandb_run: Any,
    curve: pd.DataFrame,
    scalars: list[dict[str, float]],
    images: dict[str, Path],
    page: Path,
    summary: dict[str, Any],
) -> None:
    """Log a curve, figures and the report page on wandb, then finish the wandb run.

    Args:
        wandb_run: The wandb run; nothing happens without one.
        curve: Rows of curves.csv. The perplexities of the headline protocol on the run's own corpus
            join the summary.
        scalars: More values against context length, as wandb takes them.
        images: Figures, by key.
        page: The report, an HTML file.
        summary: More values for the summary.
    """
    if wandb_run is None:
        return
    import wandb

    with warn_on_failure():
        for row in curve.dropna(subset=["nll"]).to_dict("records"):
            is_own = row["corpus"] == OWN
            is_headline = row["protocol"] == HEADLINE
            section = ["eval", "" if is_own else row["corpus"]]
            if not is_headline:
                section += [row["protocol"], row["group"]]
            values = {
                "/".join([*filter(None, section), key]): row[key]
                for key in ("nll", "nll_low", "nll_high", "perplexity")
            }
            wandb_run.log({"eval/context_length": row["context_length"], **values})
            if is_headline and is_own:
                wandb_run.summary[f"perplexity_{row['context_length']}"] = row["perplexity"]
        for values in scalars:
            wandb_run.log(values)
        wandb_run.summary.update(summary)
        figures = {key: wandb.Image(str(file)) for key, file in images.items()}
        wandb_run.log({**figures, "report": wandb.Html(page.read_text(), inject=False)})
        wandb_run.finish()


@contextmanager
def warn_on_failure() -> Iterator[None]:
    """Turn an error of wandb into a warning; the files of the run are its record."""
    try:
        yield
    except Exception as error:
        log.warning("wandb failed (%s); the run goes on, its files are the record", error)


def write_rows(metrics: Metrics | None, wandb_run: Any, rows: list[dict[str, Any]]) -> None:
    """Append rows to metrics.jsonl and mirror them on wandb; a no-op off the main process."""
    if metrics is None:
        return
    for row in rows:
        metrics.write(row)
        mirror(wandb_run, row)
