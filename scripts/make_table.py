"""Print the curves of several runs as a Markdown table: python scripts/make_table.py results/runs/*"""

import argparse
from pathlib import Path

from posext import curves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs, or curves.csv files")
    print(curves.table(curves.of_runs(parser.parse_args().runs), style="github"))


if __name__ == "__main__":
    main()
