"""Results of a benchmark: rows for a CSV and a table, with the machine they were measured on.

`value` is a median over interleaved repeats; `low` and `high` are the extremes of the repeats, not
a confidence interval.
"""

import argparse
import datetime
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from posext.utils.commit import commit

FIELDS = "benchmark case quantity value low high unit repeats machine torch commit date".split()
Row = dict[str, Any]


def machine() -> str:
    """The GPU, or else the processor and the number of threads in use."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    names = [
        line
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    name = names[0].partition(":")[2].strip() if names else platform.processor()
    return f"{name}, {torch.get_num_threads()} threads"


def row(case: str, quantity: str, values: Any, unit: str = "") -> Row:
    """One quantity of one case, from its repeats."""
    repeats = np.atleast_1d(np.asarray(values, dtype=float))
    spread = {"value": np.median(repeats), "low": repeats.min(), "high": repeats.max()}
    return {"case": case, "quantity": quantity, **spread, "unit": unit, "repeats": len(repeats)}


def run(name: str, benchmark: Callable[..., list[Row]], **options: Any) -> None:
    """Run a benchmark as a script.

    Prints its rows; with --out also writes them into a CSV, in place of its earlier ones.

    Args:
        name: the name of its rows.
        benchmark: a function of the options that returns rows.
        options: the options of the command line, with their defaults.
    """
    parser = argparse.ArgumentParser(description=benchmark.__doc__)
    parser.add_argument("--out", type=Path, help="a CSV that all benchmarks share")
    for option, default in options.items():
        parser.add_argument(f"--{option}", type=type(default), default=default)
    parser.add_argument(
        "--name", default=name, help="the name of its rows, to run it twice with other options"
    )
    arguments = vars(parser.parse_args())
    out = arguments.pop("out")
    name = arguments.pop("name")
    environment = {
        "machine": machine(),
        "torch": torch.__version__,
        "commit": commit(),
        "date": datetime.date.today().isoformat(),
    }
    results = [{"benchmark": name, **result, **environment} for result in benchmark(**arguments)]
    rows = pd.DataFrame(results, columns=FIELDS)
    print(table(rows), flush=True)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        before = pd.read_csv(out) if out.exists() else rows.head(0)
        before = before.loc[before.benchmark != name]
        pd.concat([frame for frame in (before, rows) if len(frame)]).to_csv(out, index=False)


def table(rows: pd.DataFrame) -> str:
    """Rows as Markdown."""
    columns = rows[["benchmark", "case", "quantity"]].copy()
    columns["median"] = [
        f"{value:,.4g} {unit}".strip()
        for value, unit in zip(rows.value, rows.unit.fillna(""), strict=True)
    ]
    columns["lowest .. highest"] = [
        f"{low:,.4g} .. {high:,.4g}" for low, high in zip(rows.low, rows.high, strict=True)
    ]
    return columns.assign(repeats=rows.repeats).to_markdown(index=False, disable_numparse=True)
