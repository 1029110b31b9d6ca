"""Print the curves of several runs as a Markdown table: posext table results/runs/*"""

from pathlib import Path

from posext.analysis import curves, excess_loss
from posext.cli import app


@app.script
def main() -> None:
    parser = app.Arguments(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs, or curves.csv files")
    parser.add_argument(
        "--factor", choices=("all", "matched", "fixed"), default="all", help="of the scalings"
    )
    parser.add_argument(
        "--floor", action="store_true", help="distance to the best possible loss, where it is known"
    )
    parser.add_argument(
        "--over-seeds", action="store_true", help="one row for all seeds, with their spread in nats"
    )
    options = parser.parse_args()
    known = curves.of_runs(options.runs)
    chosen = curves.select_factor(known, options.factor)
    if options.over_seeds:
        print(curves.table_over_seeds(chosen, "github"))
        return
    made = (
        excess_loss.excess_loss_table(chosen, options.runs, "github")
        if options.floor
        else curves.table(chosen, "github", known)
    )
    print(made)
