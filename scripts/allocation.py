"""How to spend the compute of a curve: documents, blocks in a document, targets in a block.

    python scripts/allocation.py RUN OTHER_RUN --out results/allocation

Measures two trained runs of one corpus under several allocations, in turns. allocation.csv has for
each the seconds of both curves and half the 95 % interval of two paired differences in nats: of the
runs at a context length, and of a run between its training length and that length. `cost` is the
square of an interval times the seconds, relative to the first allocation: an interval over
documents shrinks with the root of their number, so it is the relative time for an equal interval.
`coverage` is the share of 95 % intervals of the first difference that hold its value over all
documents, in samples of half as many documents drawn from them. table.md has means over lengths.
"""

import time
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from posext.analysis.document_sums import align_documents
from posext.analysis.statistics import difference
from posext.cli import app
from posext.data.dataset import Data, load_data
from posext.eval.protocols import PROTOCOLS, ProtocolSettings, measure_protocol
from posext.runs.run import Run, load_run


class Allocation(NamedTuple):
    """Blocks in a document, targets in a block, and the share of a window that is scored."""

    blocks: int
    targets: int
    share: float


ALLOCATIONS = [
    Allocation(4, 32, 0.5),
    Allocation(1, 32, 0.5),
    *(Allocation(1, targets, share) for targets, share in product((128, 256), (0.5, 0.25))),
    Allocation(1, 512, 0.25),
    Allocation(2, 128, 0.25),
    Allocation(2, 256, 0.25),
]
SAMPLES = 1000  # of documents, for the coverage


@app.script
def main() -> None:
    parser = app.Arguments(description=__doc__)
    parser.add_argument("runs", nargs=2, type=Path, help="folders of trained runs of one corpus")
    parser.add_argument("--lengths", nargs="+", type=int, default=[64, 128, 256, 512, 1024, 2048])
    parser.add_argument("--documents", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True, help="folder for the two files")
    options = parser.parse_args()
    runs = [load_run(folder) for folder in options.runs]
    tokens = load_data(runs[0].config.data)
    models = [run.network(run.config, tokens.vocab_size).eval() for run in runs]
    rows = []
    for repeat in range(options.repeats):
        for allocation in ALLOCATIONS:
            measured = measure(models, tokens, runs[0], allocation, options)
            rows += [{"repeat": repeat, **allocation._asdict(), **row} for row in measured]
    table = by_length(pd.DataFrame(rows))
    options.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(options.out / "allocation.csv", index=False)
    (options.out / "table.md").write_text(over_lengths(table) + "\n")
    print(options.out)


def measure(
    models: list[Any], tokens: Data, run: Run, allocation: Allocation, options: Any
) -> list[dict[str, Any]]:
    """Measure both models, and return a row for each context length."""
    train_length = run.config.train_length
    settings = ProtocolSettings(
        train_length,
        allocation.targets,
        allocation.blocks,
        documents=options.documents,
        scored_share=allocation.share,
    )
    begin = time.perf_counter()
    with torch.inference_mode():
        sums = [
            measure_protocol(
                PROTOCOLS["fixed_target"], model, tokens.validation, options.lengths, settings
            )
            for model in models
        ]
    seconds = time.perf_counter() - begin
    sums_of = [dict(iter(frame.groupby("context_length"))) for frame in sums]
    rows = []
    for length in options.lengths:
        rows.append(
            {
                "context_length": length,
                "seconds": seconds,
                "between_runs": half_width(sums_of[0][length], sums_of[1][length]),
                "between_lengths": half_width(sums_of[0][length], sums_of[0][train_length]),
                "coverage": coverage(sums_of[0][length], sums_of[1][length]),
            }
        )
    return rows


def half_width(sums: pd.DataFrame, base: pd.DataFrame) -> float:
    """Half the 95 % interval of a paired difference, in nats a token."""
    estimate = difference(*paired(sums, base))
    return (estimate.high - estimate.low) / 2


def coverage(sums: pd.DataFrame, base: pd.DataFrame) -> float:
    """The share of intervals from samples of the documents that hold the difference of all."""
    columns = paired(sums, base)
    value = difference(*columns).value
    documents = len(columns[0])
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(SAMPLES):
        drawn = rng.integers(documents, size=documents // 2)
        estimate = difference(*(column[drawn] for column in columns))
        held += estimate.low <= value <= estimate.high
    return held / SAMPLES


def paired(sums: pd.DataFrame, base: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """NLL sums and base sums of each document, and its weight."""
    frames = [frame.set_index("document") for frame in (sums, base)]
    (nll_D, base_D), weight_D = align_documents(frames)
    return nll_D, base_D, weight_D


def by_length(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each allocation and length: the medians over repeats, and the costs."""
    key = [*Allocation._fields, "context_length"]
    table = rows.groupby(key, sort=False, as_index=False).median().drop(columns="repeat")
    first = table.iloc[: rows.context_length.nunique()].set_index("context_length")
    base = first.reindex(table.context_length).reset_index()
    for difference_of in ("runs", "lengths"):
        width = f"between_{difference_of}"
        cost = (table[width] / base[width]) ** 2 * table.seconds / base.seconds
        table[f"cost_{difference_of}"] = cost
    return table.round(4)


def over_lengths(table: pd.DataFrame) -> str:
    """A Markdown table: the geometric mean of costs and the mean of all else over lengths."""
    summary = table.groupby(list(Allocation._fields), sort=False, as_index=False).agg(
        seconds=("seconds", "first"),
        between_runs=("between_runs", "mean"),
        between_lengths=("between_lengths", lambda widths: widths[widths > 0].mean()),
        coverage=("coverage", "mean"),
        lowest=("coverage", "min"),
        highest=("coverage", "max"),
        cost_runs=("cost_runs", geometric_mean),
        cost_lengths=("cost_lengths", geometric_mean),
    )
    return summary.round(3).to_markdown(index=False)


def geometric_mean(costs: pd.Series) -> float:
    """The mean of ratios, without those that are undefined."""
    return float(np.exp(np.log(costs.dropna()).mean()))


if __name__ == "__main__":
    main()
