"""Cost of training under each scheme against RoPE, as it was measured.

`scheme_cost.csv` has the seconds of a training step over those of RoPE, the median and the extremes
of interleaved rounds. Made by
python benchmarks/scheme_overhead.py --model nano --repeats 9 --costs FILE
"""

from functools import cache
from pathlib import Path

import pandas as pd

COST_FILE = Path(__file__).parent / "scheme_cost.csv"
COLUMNS = ["scheme", "cost", "low", "high", "setting", "machine"]


@cache
def costs(file: Path = COST_FILE) -> pd.DataFrame:
    """The measured costs in COLUMNS, by name of the scheme."""
    return pd.read_csv(file, keep_default_na=False).set_index("scheme", drop=False)


def cost_in_words(name: str) -> str:
    """The cost of a scheme with one decimal, such as "1.4"; empty if it was not measured."""
    known = costs()
    return f"{known.cost[name]:.1f}" if name in known.index else ""


def setting_in_words() -> str:
    """What the costs are and where they were measured: a sentence."""
    first = costs().iloc[0]
    return (
        "Cost: seconds of a training step over those of RoPE, compiled, in bf16, for "
        f"{first.setting}, measured on {first.machine}; a difference of 0.2 may be noise."
    )
