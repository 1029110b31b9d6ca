"""Put what several runs measured into one folder to commit: python scripts/collect.py results/runs/* --out results/STUDY

Writes curves.csv (all rows) and configs/RUN.yaml (as resolved); figures and tables come from the scripts for them.
"""

import shutil
from pathlib import Path

from posext import command, curves


@command.script
def main() -> None:
    parser = command.Arguments(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    table = curves.of_runs(options.runs)
    for run in options.runs:
        if not (run / "config.yaml").is_file():
            raise ValueError(f"{run} is not the folder of a run: it has no config.yaml")
    (options.out / "configs").mkdir(parents=True, exist_ok=True)
    table.to_csv(options.out / "curves.csv", index=False)
    for run in options.runs:
        shutil.copyfile(run / "config.yaml", options.out / "configs" / f"{run.name}.yaml")
    print(options.out)


if __name__ == "__main__":
    main()
