"""The chart of what far text is worth: the rise of the loss over the distance that stays intact."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from posext.analysis.comparison import Bootstrap
from posext.analysis.effective_context import RiseCurve, effective_text
from posext.eval.perturbation import CHANGES
from posext.report.pyplot import annotate_trained_length, plt


def draw_rises(
    rises: Sequence[RiseCurve], path: Path, share: float, bootstrap: Bootstrap, title: str = ""
) -> None:
    """Write the chart of rises, a panel for each change of the far text.

    A band is the paired interval over documents. The dotted line is the rise that counts as none;
    the legend has the effective context length of each curve.

    Args:
        rises: The curves, at least one.
        path: The file to write; its suffix gives the format.
        share: The rise that counts as none, as a share of the intact loss.
        bootstrap: Resampling of documents, for the intervals of effective lengths.
        title: The heading.
    """
    colors: dict[str, str] = {}
    changes = [change for change in CHANGES if any(curve.change == change for curve in rises)]
    figure, panels = plt.subplots(
        1,
        len(changes),
        figsize=(4 * len(changes), 4),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for axes, change in zip(panels[0], changes, strict=True):
        for curve in (curve for curve in rises if curve.change == change):
            color = colors.setdefault(curve.name, f"C{len(colors) % 10}")
            effective = effective_text(curve, curve.effective(share, bootstrap))
            plot_rise(axes, curve, color, f"{curve.name}: effective {effective}")
            axes.axhline(curve.limit(share), color=color, linestyle=":", linewidth=1)
        finish(axes, [curve for curve in rises if curve.change == change])
        axes.set_title(f"farther text {change}", fontsize=9, loc="left", pad=16)
    panels[0, 0].set_ylabel("rise of the loss (nats a token)")
    figure.supxlabel(
        "intact text before the first target, k (tokens); dotted: less counts as none", fontsize=10
    )
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def plot_rise(axes: Axes, curve: RiseCurve, color: str, label: str) -> None:
    """Plot one curve with its band."""
    table = curve.table()
    kept = table.kept.to_numpy()
    axes.plot(kept, table.rise, color=color, marker="o", markersize=3, label=label)
    low, high = table.low.to_numpy(float), table.high.to_numpy(float)
    axes.fill_between(kept, low, high, color=color, alpha=0.15, linewidth=0)


def finish(axes: Axes, rises: Sequence[RiseCurve]) -> None:
    """Set the axes of a panel, and mark the training length where distances reach it."""
    distances = sorted({kept for curve in rises for kept in curve.kept})
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(distances))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    axes.tick_params(axis="x", labelsize=8)
    trained = int(rises[0].row.trained_length)
    if trained <= distances[-1]:
        axes.axvline(trained, color="0.6", linewidth=0.8, zorder=0)
        annotate_trained_length(axes, trained, x=trained, offset=(3, -10), fontsize=7)
    axes.grid(axis="y", color="0.92", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=7, frameon=False, loc="upper right", bbox_to_anchor=(1, 0.94))
