"""Write a page about one run, or one that compares several: python -m posext.report results/runs/* [--out FILE]"""

import argparse
import sys
from pathlib import Path

from posext.report import page


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m posext.report", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of runs, or curves.csv files")
    parser.add_argument("--out", type=Path, help="default: report.html in the run's folder, or here for several")
    options = parser.parse_args()
    alone = options.runs[0] if len(options.runs) == 1 and options.runs[0].is_dir() else Path()
    try:
        print(page.write(options.runs, options.out or alone / "report.html"))
    except (ValueError, OSError) as error:
        sys.exit(f"report: {error}")


if __name__ == "__main__":
    main()
