"""Write a page about one run, or one that compares several: posext report results/runs/* [--out FILE]"""

from pathlib import Path

from posext.cli.app import Arguments, script
from posext.report import page


@script
def main() -> None:
    parser = Arguments(prog="posext report", description=__doc__)
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="folders of runs, or curves.csv files"
    )
    parser.add_argument(
        "--out", type=Path, help="default: report.html in the run's folder, or here for several"
    )
    options = parser.parse_args()
    alone = options.runs[0] if len(options.runs) == 1 and options.runs[0].is_dir() else Path()
    print(page.write_page(options.runs, options.out or alone / "report.html"))
