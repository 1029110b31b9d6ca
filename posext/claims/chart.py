"""Small charts of a claim, as SVG: the differences of its comparisons, and the curves it names."""

import math
from collections.abc import Sequence

from markupsafe import escape

from posext.claims.verdicts import Result

WIDTH = 320
ROW = 18
LABEL = 8
CURVES = (320, 150)
PAD = 26
COLORS = "#0072B2 #D55E00 #009E73 #CC79A7 #E69F00 #56B4E9 #999933 #AA4499".split()


def intervals(result: Result) -> str:
    """What each comparison measures, with its interval and the threshold of the claim."""
    shown = [each for each in result.tested if math.isfinite(each.measured.value)]
    if not shown:
        return ""
    numbers = [(*each.measured, each.threshold) for each in shown]
    ends = [0.0, *(x for of_one in numbers for x in of_one if math.isfinite(x))]
    scale = scaled(min(ends), max(ends), LABEL, WIDTH - LABEL)
    height = ROW * (len(shown) + 1)
    marks = [line(scale(0), 0, scale(0), height - ROW, "zero")]
    for number, (value, low, high, threshold) in enumerate(numbers):
        y = ROW * (number + 0.5)
        marks.append(line(scale(threshold), y - ROW / 2, scale(threshold), y + ROW / 2, "axis"))
        if math.isfinite(low):
            marks.append(line(scale(low), y, scale(high), y, "interval"))
        marks.append(f'<circle cx="{scale(value):.1f}" cy="{y:.1f}" r="3"/>')
    for end in (min(ends), max(ends)):
        if end:
            anchor = "start" if end == min(ends) else "end"
            marks.append(text(scale(end), height - 4, f"{end:+.3g}", anchor))
    marks.append(text(scale(0), height - 4, "0", "middle"))
    return svg(WIDTH, height, marks)


def lines(curves: Sequence[tuple[str, dict[int, float]]]) -> str:
    """Curves by context length, each with its name: mean NLL, or the share of exact answers."""
    drawn = [
        (name, {length: y for length, y in points.items() if math.isfinite(y)})
        for name, points in curves
    ]
    lengths = [length for _, points in drawn for length in points]
    losses = [loss for _, points in drawn for loss in points.values()]
    if not lengths:
        return ""
    width, height = CURVES
    x = scaled(math.log2(min(lengths)), math.log2(max(lengths)), PAD, width - PAD)
    y = scaled(min(losses), max(losses), height - PAD, LABEL)
    marks = []
    for value in sorted(set(lengths)):
        marks.append(text(x(math.log2(value)), height - LABEL, str(value), "middle"))
    for value in (min(losses), max(losses)):
        marks.append(text(PAD - 4, y(value) + 3, f"{value:.2f}", "end"))
    for number, (_, points) in enumerate(drawn):
        color = COLORS[number % len(COLORS)]
        path = " ".join(
            f"{x(math.log2(n)):.1f},{y(loss):.1f}" for n, loss in sorted(points.items())
        )
        marks.append(f'<polyline points="{path}" stroke="{color}" fill="none"/>')
    legend = [
        f'<span style="color:{COLORS[number % len(COLORS)]}">{escape(name)}</span>'
        for number, (name, _) in enumerate(drawn)
    ]
    return f"{svg(width, height, marks)}<p class=legend>{' '.join(legend)}</p>"


def scaled(low: float, high: float, start: float, end: float):
    """A function from numbers between `low` and `high` to places between `start` and `end`."""
    span = high - low or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def line(x: float, y: float, to_x: float, to_y: float, kind: str) -> str:
    places = f'x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"'
    return f'<line class="{kind}" {places}/>'


def text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def svg(width: float, height: float, marks: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {width} {height}" width="{width}">{"".join(marks)}</svg>'
