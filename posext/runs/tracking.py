"""Metrics of a training run: rows in `metrics.jsonl`, and mirrors of them."""

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
from posext.runs import artifacts, tensorboard
from posext.runs.run import Run
from posext.utils.atomic import synced, write_text

log = logging.getLogger(__name__)
AXES = ("step", "tokens", "flops")  # of a row of metrics


class Metrics:
    """`metrics.jsonl`, one JSON object a line, and its mirror in TensorBoard's events.

    Opening it drops the rows after `step`, so that a resumed run has no duplicates.

    Args:
        path: The file.
        step: The last step to keep.
        events: The folder of the events, made again from the rows kept; None for no events.
    """

    def __init__(self, path: Path, step: int, events: Path | None = None):
        self.path = path
        kept = [row for row in read_metrics(path) if row["step"] <= step]
        write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
        points = ((row["step"], by_tag(row)) for row in kept)
        self.events = tensorboard.write_all(events, points) if events else None

    def write(self, row: dict[str, Any]) -> None:
        """Append a row."""
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")
        if self.events:
            self.events.write(row["step"], by_tag(row))

    def close(self) -> None:
        """Write the last events to disk."""
        if self.events:
            self.events.close()

    def keep(self) -> None:
        """Flush the rows to disk, as required before a checkpoint of their step is written."""
        synced(self.path)


def open_metrics(run: Run, step: int) -> Metrics:
    """Open the metrics of a run, without the rows after `step`."""
    events = run.folder / tensorboard.FOLDER / "training"
    wanted = run.config.tracking.tensorboard
    return Metrics(run.folder / "metrics.jsonl", step, events if wanted else None)


def by_tag(row: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a row of metrics under train/ or validation/, without its axes."""
    section = "validation" if "validation_loss" in row else "train"
    return {f"{section}/{key}": value for key, value in row.items() if key not in AXES}


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
    its name, so starting again continues it; the agent of a sweep has an id of its own.

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
            tags=run.config.tags,
            name=name,
            id=wandb_id(name),
            dir=str(run.folder.resolve()),  # its service may run in another folder
            mode="online" if online else "offline",
            resume="allow" if online else None,
            reinit="finish_previous",
            config={**asdict(run.config), "extension": extension},
        )
    except Exception as error:  # wandb is a mirror: a run never fails for it
        log.warning("wandb did not start (%s); the run goes on, its files are the record", error)
        return None
    wandb_run.define_metric("tokens")
    wandb_run.define_metric("flops")
    wandb_run.define_metric("train/*", step_metric="tokens")
    wandb_run.define_metric("validation/*", step_metric="tokens")
    wandb_run.define_metric("eval/context_length")
    wandb_run.define_metric("eval/*", step_metric="eval/context_length")
    return wandb_run


def wandb_id(name: str) -> str:
    """Return the id of the wandb run of a name: the one that a sweep's agent waits for, if any."""
    if "WANDB_SWEEP_ID" in os.environ:
        return os.environ["WANDB_RUN_ID"]
    return name[-128:]


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
    with warn_on_failure():
        wandb_run.log({key: row[key] for key in AXES} | by_tag(row))


def mirror_weights(wandb_run: Any, run: Run) -> None:
    """Log the trained weights of a run on wandb, if its config asks for that."""
    if wandb_run is None or not run.config.tracking.weights:
        return
    with warn_on_failure():
        artifacts.log_weights(wandb_run, run)


def mirror_curve(
    wandb_run: Any,
    run: Run,
    curve: pd.DataFrame,
    scalars: list[dict[str, float]],
    images: dict[str, Path],
    page: Path,
    summary: dict[str, Any],
) -> None:
    """Log a curve, figures and the report page on wandb, then finish the wandb run.

    Args:
        wandb_run: The wandb run; nothing happens without one.
        run: The run, whose curves.csv and page become an artifact.
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
        artifacts.log_measurement(wandb_run, run, page)
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
