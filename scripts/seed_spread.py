"""Spread of the loss over seeds, for posext/analysis/seed_spread.csv

    python scripts/seed_spread.py results/zoo/curves.csv results/zoo_tiny/curves.csv

Writes a row for each model, scheme, training length and number of training tokens that has three
seeds or more: the standard deviation over seeds of the NLL in nats, as trained, at the training
length, on the fixed targets.
"""

from pathlib import Path

import pandas as pd

from posext.analysis import curves, same_targets, seed_spread
from posext.cli import app
from posext.config import HEADLINE
from posext.runs import run
from posext.utils.errors import PosextError

MIN_SEEDS = 3
GROUP_KEY = "model scheme trained_length trained_on".split()


@app.script
def main() -> None:
    parser = app.Arguments(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs, or curves.csv files")
    parser.add_argument(
        "--out", type=Path, default=seed_spread.SPREAD_FILE, help="the file to write"
    )
    options = parser.parse_args()
    rows = pd.concat([rows_as_trained(path) for path in options.runs], ignore_index=True)
    spread_table(rows).to_csv(options.out, index=False)
    print(options.out)


def rows_as_trained(path: Path) -> pd.DataFrame:
    """The rows of runs as trained, at their training length, with their training tokens."""
    rows = curves.of_runs([path])
    rows = rows.loc[
        (rows.extend == "")
        & (rows.protocol == HEADLINE)
        & (rows.context_length == rows.trained_length)
    ]
    return rows.assign(trained_on=[trained_on(path, name) for name in rows.run])


def trained_on(path: Path, name: str) -> int | None:
    """The number of training tokens of a run, from its config; None without a config.

    The config lies in the run folder, or in configs/ beside a curves file, as `posext collect` puts
    it.
    """
    file = path / "config.yaml" if path.is_dir() else path.parent / "configs" / f"{name}.yaml"
    if not file.is_file():
        return None
    config = run.stored_config(file)
    return int(config.steps) * int(config.tokens_per_step)


def spread_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The standard deviation over seeds of each group that has enough.

    Raises PosextError if a group has two runs of one seed, runs are on different targets, or no
    group has enough seeds.
    """
    spreads = []
    for _, same in rows.groupby(GROUP_KEY, sort=False, dropna=False):
        repeated = same.loc[same.seed.duplicated(keep=False)]
        if len(repeated):
            names = " and ".join(repeated.run.iloc[:2])
            raise PosextError(
                f"{names} are of one seed, so they differ in something else: name one of them only"
            )
        if len(same) >= MIN_SEEDS:
            same_targets.refuse_mixed_targets(same)
            deviation = round(float(same.nll.std()), 4)
            spreads.append((*same.iloc[0][GROUP_KEY], len(same), deviation))
    if not spreads:
        raise PosextError(
            f"none of these has {MIN_SEEDS} seeds of one model, scheme, training length "
            "and tokens trained on"
        )
    return pd.DataFrame(spreads, columns=seed_spread.SPREAD_COLUMNS)


if __name__ == "__main__":
    main()
