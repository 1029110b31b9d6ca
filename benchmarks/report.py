"""What a benchmark found: rows for a csv and a table, with the machine they hold for.

`value` is a median over interleaved repeats; `low` and `high` are the extremes of the repeats, not a confidence interval.
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

from posext.runs.run import commit

FIELDS = "benchmark case quantity value low high unit repeats machine torch commit date".split()
Row = dict[str, Any]


def machine() -> str:
    """The processor, or the GPU where there is one, and the threads in use."""
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
    """Run a benchmark as a script: print its rows, and with --out put them into a csv in place of its earlier ones."""
    parser = argparse.ArgumentParser(description=benchmark.__doc__)
    parser.add_argument("--out", type=Path, help="a csv that all benchmarks share")
    for option, default in options.items():
        parser.add_argument(f"--{option}", type=type(default), default=default)
    parser.add_argument(
        "--name", default=name, help="of its rows, where it is run twice with other options"
    )
    given = vars(parser.parse_args())
    out, name = given.pop("out"), given.pop("name")
    here = {
        "machine": machine(),
        "torch": torch.__version__,
        "commit": commit(),
        "date": datetime.date.today().isoformat(),
    }
    rows = pd.DataFrame([{"benchmark": name, **found, **here} for found in benchmark(**given)])[
        FIELDS
    ]
    print(table(rows), flush=True)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        before = pd.read_csv(out) if out.exists() else rows.head(0)
        before = before.loc[before.benchmark != name]
        pd.concat([part for part in (before, rows) if len(part)]).to_csv(out, index=False)


def table(rows: pd.DataFrame) -> str:
    """Rows as Markdown."""
    shown = rows[["benchmark", "case", "quantity"]].copy()
    shown["median"] = [
        f"{value:,.4g} {unit}".strip()
        for value, unit in zip(rows.value, rows.unit.fillna(""), strict=True)
    ]
    shown["lowest .. highest"] = [
        f"{low:,.4g} .. {high:,.4g}" for low, high in zip(rows.low, rows.high, strict=True)
    ]
    return shown.assign(repeats=rows.repeats).to_markdown(index=False, disable_numparse=True)
