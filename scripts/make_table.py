"""Print the curves of several runs as a Markdown table: python scripts/make_table.py results/runs/*"""

import argparse
from pathlib import Path

from posext import curves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs, or curves.csv files")
    parser.add_argument("--factor", choices=("all", "matched", "fixed"), default="all", help="of the scalings")
    options = parser.parse_args()
    known = curves.of_runs(options.runs)
    print(curves.table(curves.with_factor(known, options.factor), "github", known))


if __name__ == "__main__":
    main()
