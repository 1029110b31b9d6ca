"""What a claim reads of a study: a number for every seed."""

from typing import NamedTuple

import pandas as pd


class Values(NamedTuple):
    """A number of a curve for every seed.

    Attributes:
        sums: By seed, frames of sums with index `document`; None without sums of documents.
        means: By seed, the number itself; infinite where the scheme is undefined.
    """

    sums: dict[int, pd.DataFrame] | None
    means: dict[int, float]
