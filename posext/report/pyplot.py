"""matplotlib without a display, and the annotation that several figures share.

Modules that draw import `plt` from here, so that the backend is chosen in one place.
"""

import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

__all__ = ["annotate_trained_length", "plt"]


def annotate_trained_length(
    axes: Axes, length: int, x: float, offset: tuple[int, int], fontsize: int
) -> None:
    """Write "trained at .." at the top of a vertical line.

    Args:
        axes: the axes with the line.
        length: the length in tokens to name.
        x: the line's place, in data coordinates.
        offset: the distance of the text from the top of the line, in points.
        fontsize: in points.
    """
    axes.annotate(
        f"trained at {length}",
        (x, 1),
        xycoords=("data", "axes fraction"),
        xytext=offset,
        textcoords="offset points",
        fontsize=fontsize,
        color="0.4",
    )
