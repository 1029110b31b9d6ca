"""`posext report`: write the page of one run, or of several."""

from pathlib import Path

from posext.cli.app import script, subcommand_parser
from posext.report import page

DESCRIPTION = """
Write one HTML page about a run, or one that compares several. It holds charts, tables and the
commands that make each run again, and opens offline.
"""
EXAMPLES = """
posext report results/runs/rope-tiny-128-seed0
posext report results/runs/* --out comparison.html
"""


@script
def main() -> None:
    parser = subcommand_parser("report", DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="a run folder, or a curves.csv file"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the page to write (default: report.html, in the folder of a single run, else here)",
    )
    options = parser.parse_args()
    is_single_run = len(options.runs) == 1 and options.runs[0].is_dir()
    folder = options.runs[0] if is_single_run else Path()
    print(page.write_page(options.runs, options.out or folder / "report.html"))
