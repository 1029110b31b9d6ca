"""Rows of curves.csv with given losses, and the page made from them."""

import json
import math
import re
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
    """Rows of one curve, a row a length; three bytes a token."""
    rows = pd.DataFrame({"context_length": LENGTHS, "nll": nll})
    rows = rows.assign(
        study="s",
        run=run or f"{scheme}-run",
        scheme=scheme,
        lineage="",
        extend="",
        factor="",
        model="tiny",
        parameters=1000,
        original_length=128,
        trained_length=128,
        seed=0,
        corpus="own",
        protocol="fixed_target",
        group="",
        bos="",
        nll_low=rows.nll - 0.1,
        nll_high=rows.nll + 0.1,
        perplexity=np.exp(rows.nll),
        bits_per_byte=rows.nll / math.log(2) / 3,
        logit_multiplier=1.0,
        documents=9,
        tokens=288,
        targets="",
        commit="abc",
        seconds=rows.context_length / 100.0,
        tokens_per_second=100.0,
        peak_memory_bytes=1e6,
    )
    return rows.assign(**changes)[curves.COLUMNS]


def charts(text: str) -> list[dict]:
    """The charts in the text of a page."""
    match = re.search(
        r'<script type="application/json" id="charts">(.*?)</script>', text, re.DOTALL
    )
    assert match
    return json.loads(match[1])


def lines_of(text: str, view: str, chart: int = 0) -> dict[str, dict]:
    """The lines in a view of a chart of a page, by name."""
    (shown,) = [each for each in charts(text)[chart]["views"] if each["name"] == view]
    return {trace["name"]: trace for trace in shown["traces"] if trace["uid"].startswith("line")}


def written_page(*tables: pd.DataFrame) -> str:
    """Write tables to curves.csv, and return the text of the page made from it."""
    pd.concat(tables).to_csv("curves.csv", index=False)
    return page.write_page([Path("curves.csv")], Path("report.html")).read_text()
