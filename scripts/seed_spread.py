"""How far seeds put a loss apart: python scripts/seed_spread.py results/runs/zoo/* --out posext/analysis/seed_spread.csv

A row for each model, scheme, training length and tokens trained on that has three seeds or more: the standard deviation over
seeds of the NLL, in nats, as trained, at the training length, on the fixed targets.
"""

from pathlib import Path

import pandas as pd

from posext.analysis import curves, seed_spread
from posext.cli import app
from posext.config import HEADLINE
from posext.runs import run
from posext.utils.errors import PosextError

LEAST = 3  # seeds
ALIKE = "model scheme trained_length trained_on".split()


@app.script
def main() -> None:
    parser = app.Arguments(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs, or curves.csv files")
    parser.add_argument("--out", type=Path, default=seed_spread.SPREAD_FILE)
    options = parser.parse_args()
    made = table(pd.concat([own(path) for path in options.runs], ignore_index=True))
    made.to_csv(options.out, index=False)
    print(options.out)


def own(path: Path) -> pd.DataFrame:
    """The rows of runs as trained, at their training length, with the tokens that each was trained on."""
    rows = curves.of_runs([path])
    rows = rows.loc[
        (rows.extend == "")
        & (rows.protocol == HEADLINE)
        & (rows.context_length == rows.trained_length)
    ]
    return rows.assign(trained_on=[trained_on(path, name) for name in rows.run])


def trained_on(path: Path, name: str) -> int | None:
    """Tokens, by the config in a run's folder or, as posext collect puts it, beside a file of curves; None without it."""
    file = path / "config.yaml" if path.is_dir() else path.parent / "configs" / f"{name}.yaml"
    if not file.is_file():
        return None
    config = run.stored_config(file)
    return int(config.steps) * int(config.tokens_per_step)


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Raises PosextError where one seed stands twice, runs are on different targets, or none has seeds enough."""
    found = []
    for _, same in rows.groupby(ALIKE, sort=False, dropna=False):
        if (again := same.loc[same.seed.duplicated(keep=False)]).size:
            names = " and ".join(again.run.iloc[:2])
            raise PosextError(
                f"{names} are of one seed, so they differ in something else: name one of them only"
            )
        if len(same) >= LEAST:
            curves.refuse_mixed_targets(same)
            found.append((*same.iloc[0][ALIKE], len(same), round(float(same.nll.std()), 4)))
    if not found:
        raise PosextError(
            f"none of these has {LEAST} seeds of one model, scheme, training length and tokens trained on"
        )
    return pd.DataFrame(found, columns=seed_spread.SPREAD_COLUMNS)


if __name__ == "__main__":
    main()
