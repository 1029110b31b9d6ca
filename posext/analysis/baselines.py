"""The curves of a parent that those of a continued run are held against."""

from pathlib import Path

import pandas as pd

from posext.analysis import curves
from posext.analysis.same_targets import on_same_targets
from posext.eval.variants import OWN_WINDOW
from posext.runs.run import Run


def curves_of_parent(run: Run, rows: pd.DataFrame) -> pd.DataFrame:
    """Select the parent's curves as trained, zero-shot under the run's scheme, in its own window.

    Args:
        run: A run; only a continued one has a parent.
        rows: Its curves.

    Returns:
        The curves that are known and have the targets of `rows`.
    """
    init = run.config.init
    if init.path is None or init.checkpoint is not None:
        return rows.head(0)
    known = curves.read_curves(Path(init.path) / "curves.csv")
    is_shown = known.extend.isin(["", run.config.pe["name"], OWN_WINDOW])
    shown = known.loc[is_shown & known.corpus.isin(rows.corpus)]
    return on_same_targets(shown, rows)
