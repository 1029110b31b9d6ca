"""The name of a run in its measurements; its folder may have another one since."""

import re
from pathlib import Path

from posext.analysis import accuracy, curves
from posext.utils.errors import PosextError


def without_seed(run: str) -> str:
    """The name of a run without the numbers of its seeds."""
    return re.sub(r"seed\d+", "seed", run)


def measured_name(folder: Path) -> str:
    """The name that a run's curves or accuracies have; that of its folder before it is measured.

    Raises PosextError if they have several names.
    """
    tables = (
        curves.read_curves(folder / "curves.csv"),
        accuracy.read_accuracy(folder / accuracy.FILE),
    )
    names = sorted({name for table in tables for name in table.run})
    if len(names) > 1:
        raise PosextError(
            f"{folder} holds measurements of runs named {', '.join(names)}: "
            "give it one name, and measure it again"
        )
    return names[0] if names else folder.resolve().name
