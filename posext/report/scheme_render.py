"""Figures of show.py on the terminal and as a PNG."""

import math
import shutil
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
import plotext
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from posext.report.scheme_figures import Figure

MARKERS = "123456789abcdefghijklmnopqrstuvwxyz"


def terminal(figure: Figure) -> str:
    """A figure in characters: every curve in one of its own, named below, so that no colour is needed."""
    canvas = plotext.figure
    canvas.clear()
    canvas.theme("colorless")
    canvas.plot_size(min(shutil.get_terminal_size((100, 24)).columns, 120), 22)
    height = math.log10 if figure.logarithmic else float
    curves = []
    for line in figure.lines:
        finite = line.y.isfinite()
        curves.append(
            (line.label, line.x[finite].tolist(), [height(y) for y in line.y[finite].tolist()])
        )
    x_ends, y_ends = (
        [f(v for _, *curve in curves for v in curve[axis]) for f in (min, max)] for axis in (0, 1)
    )
    across = figure.marked == "y"
    for value in figure.marks.values():
        ends = (x_ends, [height(value)] * 2) if across else ([value] * 2, y_ends)
        canvas.draw(canvas.signal(*ends, marker="-" if across else "|").lines())
    for marker, (_, x, y) in zip(MARKERS, curves, strict=False):
        canvas.draw(canvas.signal(x, y, marker=marker).lines())
    x_ticks = [
        tick for tick in MaxNLocator(8, integer=True).tick_values(*x_ends) if tick <= x_ends[1]
    ]
    canvas.ruler("x").ticks(x_ticks, [f"{tick:,g}" for tick in x_ticks])
    if figure.logarithmic:
        powers = list(range(math.ceil(y_ends[0]), math.floor(y_ends[1]) + 1))
        canvas.ruler("y").ticks(powers, [f"{10**power:,}" for power in powers])
    canvas.title(f"{figure.title}  {figure.y_label}".strip())
    canvas.label(figure.x_label, "x")
    key = [f"{marker} {label}" for marker, (label, *_) in zip(MARKERS, curves, strict=False)]
    marks = [
        f"{'--' if across else '|'} {label} {value:,}" for label, value in figure.marks.items()
    ]
    return f"{plotext.uncolorize(str(canvas.build())).rstrip()}\n{'   '.join(key + marks)}"


def png(figures: list[Figure], path: Path, title: str) -> None:
    """All figures of a scheme, one below the other."""
    sheet, column = plt.subplots(
        len(figures), figsize=(8, 4.5 * len(figures)), layout="constrained", squeeze=False
    )
    for figure, axes in zip(figures, column[:, 0], strict=True):
        panel(figure, axes)
    sheet.suptitle(title, fontsize=10, x=0.01, ha="left")
    sheet.savefig(path, dpi=150)
    plt.close(sheet)


def panel(figure: Figure, axes: Axes) -> None:
    for line in figure.lines:
        y = line.y.where(line.y.isfinite(), math.nan)
        axes.plot(line.x, y, marker="." if figure.logarithmic else "", label=line.label)
    for label, value in figure.marks.items():
        if figure.marked == "y":
            axes.axhline(value, color="0.4", linewidth=0.8, linestyle=":")
            at, units = (0, value), ("axes fraction", "data")
        else:
            axes.axvline(value, color="0.4", linewidth=0.8, linestyle=":")
            at, units = (value, 0), ("data", "axes fraction")
        axes.annotate(
            f"{label} {value:,}",
            at,
            xycoords=units,
            xytext=(3, 3),
            textcoords="offset points",
            fontsize=8,
            color="0.4",
        )
    if figure.logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.set_title(figure.title, fontsize=9, loc="left")
    axes.set_xlabel(figure.x_label)
    axes.set_ylabel(figure.y_label)
    axes.spines[["top", "right"]].set_visible(False)
    if len(figure.lines) > 1:
        axes.legend(fontsize=8, frameon=False)
