"""What a run tells while it trains: rows in `metrics.jsonl`, the record, and the same on wandb, a mirror."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from posext.config import HEADLINE
from posext.runs.run import Run
from posext.utils.atomic import synced, write_text

log = logging.getLogger(__name__)


class Metrics:
    """`metrics.jsonl`: a row of JSON a line. Rows after `step` are cut off, so that a resumed run has no doubles."""

    def __init__(self, path: Path, step: int):
        self.path = path
        write_text(
            path, "".join(json.dumps(row) + "\n" for row in read(path) if row["step"] <= step)
        )

    def write(self, row: dict[str, Any]) -> None:
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")

    def keep(self) -> None:
        """Return once the rows are on the disk, as those up to a checkpoint must be."""
        synced(self.path)


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics file; a last line cut short by a crash is dropped."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def start(run: Run, extension: str = "") -> Any:
    """A wandb run for a run, or for one extension of it; None where tracking is disabled or wandb cannot start.

    Offline unless the config says online and the user is logged in. The id is the name's, so starting again continues it.
    """
    if run.config.tracking.wandb == "disabled":
        return None
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb

    online = run.config.tracking.wandb == "online"
    if online and not logged_in():
        log.warning(
            "wandb is out of reach or not logged in to, so this run is recorded offline: wandb login, then wandb sync"
        )
        online = False
    name = "-".join(part for part in (run.name, extension) if part)
    try:
        started = wandb.init(
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
    started.define_metric("tokens")
    started.define_metric("train/*", step_metric="tokens")
    started.define_metric("validation/*", step_metric="tokens")
    started.define_metric("eval/context_length")
    started.define_metric("eval/*", step_metric="eval/context_length")
    return started


def logged_in() -> bool:
    """Whether wandb takes the key of this user. It raises one thing without a key and many without a network."""
    import wandb

    try:
        return bool(wandb.Api().api_key)
    except Exception:
        return False


def mirror(started: Any, row: dict[str, Any]) -> None:
    """A row of metrics on wandb, its values under train/ or validation/."""
    if started is None:
        return
    part = "validation" if "validation_loss" in row else "train"
    axes = {key: row[key] for key in ("step", "tokens")}
    with never_failing():
        started.log(
            axes | {f"{part}/{key}": value for key, value in row.items() if key not in axes}
        )


def mirror_curve(
    started: Any,
    curve: pd.DataFrame,
    scalars: list[dict[str, float]],
    images: dict[str, Path],
    page: Path,
    summary: dict[str, Any],
) -> None:
    """Curves and other scalars against context length, the headline's values in the summary, the figures and the page."""
    if started is None:
        return
    import wandb

    with never_failing():
        for row in curve.dropna(subset=["nll"]).to_dict("records"):
            headline = row["protocol"] == HEADLINE
            part = (
                "eval/"
                if headline
                else "/".join(filter(None, ("eval", row["protocol"], row["group"], "")))
            )
            values = {
                f"{part}{key}": row[key] for key in ("nll", "nll_low", "nll_high", "perplexity")
            }
            started.log({"eval/context_length": row["context_length"], **values})
            if headline:
                started.summary[f"perplexity_{row['context_length']}"] = row["perplexity"]
        for row in scalars:
            started.log(row)
        started.summary.update(summary)
        drawn = {key: wandb.Image(str(file)) for key, file in images.items()}
        started.log({**drawn, "report": wandb.Html(page.read_text(), inject=False)})
        started.finish()


@contextmanager
def never_failing() -> Iterator[None]:
    """wandb is a mirror: what fails there is said, and the run goes on, as its files are the record."""
    try:
        yield
    except Exception as error:
        log.warning("wandb failed (%s); the run goes on, its files are the record", error)
