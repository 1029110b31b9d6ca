"""Rows of curves.csv with chosen losses, and the page written from them."""

import math
from pathlib import Path

import numpy as np
import pandas as pd

from posext.analysis import curves
from posext.report import page

HOSTILE = (
    "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
)
LENGTHS = (64, 128, 256, 512)


def rows_of(scheme: str, nll: list[float], run: str | None = None, **changes) -> pd.DataFrame:
    rows = pd.DataFrame({"context_length": LENGTHS, "nll": nll})
    rows = rows.assign(nll_low=rows.nll - 0.1, nll_high=rows.nll + 0.1, perplexity=np.exp(rows.nll))
    rows = rows.assign(
        bits_per_byte=rows.nll / math.log(2) / 3, seconds=rows.context_length / 100.0
    )
    fixed = {
        "study": "s",
        "run": run or f"{scheme}-run",
        "scheme": scheme,
        "extend": "",
        "factor": "",
        "model": "tiny",
    }
    fixed |= {
        "parameters": 1000,
        "original_length": 128,
        "trained_length": 128,
        "seed": 0,
        "protocol": "fixed_target",
    }
    fixed |= {
        "group": "",
        "logit_multiplier": 1.0,
        "documents": 9,
        "tokens": 288,
        "targets": "",
        "commit": "abc",
    }
    rows = rows.assign(**fixed, tokens_per_second=100.0, peak_memory_bytes=1e6)
    return rows.assign(**changes)[curves.COLUMNS]


def written(*tables: pd.DataFrame) -> str:
    pd.concat(tables).to_csv("curves.csv", index=False)
    return page.write_page([Path("curves.csv")], Path("report.html")).read_text()
