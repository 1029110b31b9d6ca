"""Overlay the curves of several runs on one chart: python scripts/plot_curves.py results/runs/* [--out curves.png]"""

from pathlib import Path

from posext.analysis import curves
from posext.cli import app
from posext.report import curve_plot


@app.script
def main() -> None:
    parser = app.Arguments(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs, or curves.csv files")
    parser.add_argument("--out", type=Path, default=Path("curves.png"))
    parser.add_argument("--factor", choices=("all", "matched", "fixed"), default="all", help="of the scalings")
    parser.add_argument("--protocol", default=curves.HEADLINE)
    parser.add_argument("--title", default="")
    options = parser.parse_args()
    known = curves.of_runs(options.runs)
    if options.protocol not in (measured := set(known.protocol)):
        raise ValueError(f"no curve was measured under {options.protocol!r}, but under {', '.join(sorted(measured))}")
    curve_plot.draw(curves.with_factor(known, options.factor), options.out, options.title, known, options.protocol)
    print(options.out)


if __name__ == "__main__":
    main()
