"""Training throughput of every scheme, relative to `none` and `rope` within each round.

With --costs it also writes the file that `posext schemes` shows, posext/analysis/scheme_cost.csv.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import report
from paired import interleaved, speedup
from setting import bf16, compose_config, network, training_steps

from posext.analysis.scheme_cost import COLUMNS
from posext.data import dataset
from posext.pe import names


def benchmark(repeats: int, model: str, schemes: str, costs: str) -> list[report.Row]:
    """Speed relative to rope and none: compiled, bf16, at the default training length."""
    config = compose_config(f"model={model}", "precision=bf16")
    accelerator = bf16()
    tokens = dataset.load_data(config.data, progress=False)
    cases = {}
    for name in dict.fromkeys(["none", "rope", *(schemes.split(",") if schemes else names())]):
        steps = training_steps(
            config, tokens, network(config, tokens.vocab_size, name), accelerator
        )
        steps(1)  # compiles
        print(name, flush=True)
        cases[name] = lambda steps=steps: steps(2)
    seconds = interleaved(cases, repeats)
    if costs:
        write_costs(seconds, f"{model} at {config.train_length} tokens", Path(costs))
    return [
        report.row(f"{name} against {other}", "speed", speedup(seconds, name, other), "times")
        for other in ("rope", "none")
        for name in cases
    ]


def write_costs(seconds: pd.DataFrame, setting: str, file: Path) -> None:
    """Write the seconds of each scheme over those of RoPE: median and extremes of the rounds."""
    rows = []
    for name in sorted(seconds):
        ratios = speedup(seconds, "rope", name)
        rows.append(
            (name, np.median(ratios), ratios.min(), ratios.max(), setting, report.machine())
        )
    pd.DataFrame(rows, columns=COLUMNS).round(3).to_csv(file, index=False)


if __name__ == "__main__":
    report.run("scheme_overhead", benchmark, repeats=5, model="tiny", schemes="", costs="")
