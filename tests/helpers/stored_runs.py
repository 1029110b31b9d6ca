"""Folders that hold what a measured run stores of its curves, without training."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from posext.analysis import curves

LENGTHS = [8, 16, 32, 64]
RISES = {  # nats above each document's own loss, by length
    "rope": [0.5, 0.0, 0.4, 0.9],
    "alibi": [0.6, 0.1, 0.05, 0.05],
}


def write_run(
    folder: Path,
    scheme: str = "rope",
    seed: int = 0,
    extend: str = "",
    protocol: str = "fixed_target",
    documents: Sequence[int] = range(30),
    model: str = "",
    shift: float = 0.0,
    factor: str = "",
    **columns,
) -> Path:
    """Add a curve to the folder of a run.

    The loss on document d is 2 + d / 10 nats and what RISES says, on 100 tokens.
    """
    folder.mkdir(exist_ok=True)
    row = dict.fromkeys(curves.COLUMNS, "") | dict.fromkeys(curves.NUMBERS, 1.0)
    row |= {"run": folder.name, "scheme": scheme, "extend": extend, "seed": seed}
    row |= {
        "protocol": protocol,
        "model": model,
        "factor": factor,
        "trained_length": 16,
        "original_length": 16,
    }
    rows = pd.DataFrame([row | {"context_length": length} for length in LENGTHS])
    curves_file = folder / "curves.csv"
    pd.concat([curves.read_curves(curves_file), rows]).to_csv(curves_file, index=False)
    noise = np.random.default_rng(seed).normal(0, 0.01, size=(len(LENGTHS), len(documents)))
    sums = []
    for i, length in enumerate(LENGTHS):
        above = RISES[extend or scheme][i] + 0.01 * seed + shift
        for k, document in enumerate(documents):
            row = {
                "document": f"d{document}",
                "nll": 100 * (2 + document / 10 + above + noise[i, k]),
                "tokens": 100,
                "bytes": 300 + document,
                "context_length": length,
                "extend": extend,
                "factor": factor,
                "protocol": protocol,
            }
            sums.append(row | columns)
    sums_file = folder / "documents.parquet"
    before = [pd.read_parquet(sums_file)] if sums_file.exists() else []
    pd.concat([*before, pd.DataFrame(sums)]).to_parquet(sums_file)
    return folder
