"""Overlay the curves of several runs on one chart: posext plot results/runs/* [--out curves.png]"""

from pathlib import Path

from matplotlib.backend_bases import FigureCanvasBase

from posext.analysis import curves
from posext.cli import app
from posext.config import HEADLINE
from posext.report import curve_plot
from posext.utils.errors import PosextError


@app.script
def main() -> None:
    parser = app.Arguments(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs, or curves.csv files")
    parser.add_argument("--out", type=Path, default=Path("curves.png"))
    parser.add_argument(
        "--factor", choices=("all", "matched", "fixed"), default="all", help="of the scalings"
    )
    parser.add_argument("--protocol", default=HEADLINE)
    parser.add_argument("--title", default="")
    options = parser.parse_args()
    if options.out.suffix[1:] not in FigureCanvasBase.filetypes:
        raise PosextError(
            f"--out {options.out}: the format must be one of {', '.join(sorted(FigureCanvasBase.filetypes))}"
        )
    known = curves.of_runs(options.runs)
    if options.protocol not in (measured := set(known.protocol)):
        raise PosextError(
            f"no curve was measured under {options.protocol!r}, but under {', '.join(sorted(measured))}"
        )
    curve_plot.draw_curves(
        curves.select_factor(known, options.factor),
        options.out,
        options.title,
        known,
        options.protocol,
    )
    print(options.out)
