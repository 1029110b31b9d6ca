"""Drawing of the figures of scheme_figures.py, on the terminal and as a PNG."""

import math
import shutil
from pathlib import Path

import plotext
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from posext.report.pyplot import plt
from posext.report.scheme_figures import Figure

MARKERS = "123456789abcdefghijklmnopqrstuvwxyz"


def terminal(figure: Figure) -> str:
    """Draw a figure in characters, each curve in a character of its own that is named below."""
    canvas = plotext.figure
    canvas.clear()
    canvas.theme("colorless")
    canvas.plot_size(min(shutil.get_terminal_size((100, 24)).columns, 120), 22)
    height = math.log10 if figure.logarithmic else float
    curves = []
    for line in figure.lines:
        finite = line.y.isfinite()
        heights = [height(y) for y in line.y[finite].tolist()]
        curves.append((line.x[finite].tolist(), heights))
    all_x = [value for x, _ in curves for value in x]
    all_y = [value for _, y in curves for value in y]
    x_ends = [min(all_x), max(all_x)]
    y_ends = [min(all_y), max(all_y)]
    horizontal = figure.marked == "y"
    for value in figure.marks.values():
        if horizontal:
            mark = canvas.signal(x_ends, [height(value)] * 2, marker="-")
        else:
            mark = canvas.signal([value] * 2, y_ends, marker="|")
        canvas.draw(mark.lines())
    for marker, (x, y) in zip(MARKERS, curves, strict=False):
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
    drawing = plotext.uncolorize(str(canvas.build())).rstrip()
    return f"{drawing}\n{terminal_legend(figure)}"


def terminal_legend(figure: Figure) -> str:
    """The characters of the curves and marks, with their labels."""
    lines = [f"{marker} {line.label}" for marker, line in zip(MARKERS, figure.lines, strict=False)]
    mark_symbol = "--" if figure.marked == "y" else "|"
    marks = [f"{mark_symbol} {label} {value:,}" for label, value in figure.marks.items()]
    return "   ".join(lines + marks)


def png(figures: list[Figure], path: Path, title: str) -> None:
    """Write all figures of a scheme into one PNG, one below the other."""
    sheet, column = plt.subplots(
        len(figures), figsize=(8, 4.5 * len(figures)), layout="constrained", squeeze=False
    )
    for figure, axes in zip(figures, column[:, 0], strict=True):
        draw_figure(figure, axes)
    sheet.suptitle(title, fontsize=10, x=0.01, ha="left")
    sheet.savefig(path, dpi=150)
    plt.close(sheet)


def draw_figure(figure: Figure, axes: Axes) -> None:
    for line in figure.lines:
        y = line.y.where(line.y.isfinite(), math.nan)
        axes.plot(line.x, y, marker="." if figure.logarithmic else "", label=line.label)
    for label, value in figure.marks.items():
        draw_mark(axes, f"{label} {value:,}", value, figure.marked)
    if figure.logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.set_title(figure.title, fontsize=9, loc="left")
    axes.set_xlabel(figure.x_label)
    axes.set_ylabel(figure.y_label)
    axes.spines[["top", "right"]].set_visible(False)
    if len(figure.lines) > 1:
        axes.legend(fontsize=8, frameon=False)


def draw_mark(axes: Axes, text: str, value: int, marked: str) -> None:
    """Draw a dotted line with a text at a value of one axis, "x" or "y"."""
    if marked == "y":
        axes.axhline(value, color="0.4", linewidth=0.8, linestyle=":")
        point = (0, value)
        units = ("axes fraction", "data")
    else:
        axes.axvline(value, color="0.4", linewidth=0.8, linestyle=":")
        point = (value, 0)
        units = ("data", "axes fraction")
    axes.annotate(
        text,
        point,
        xycoords=units,
        xytext=(3, 3),
        textcoords="offset points",
        fontsize=8,
        color="0.4",
    )
