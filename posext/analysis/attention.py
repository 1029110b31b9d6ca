"""`attention.csv`: a row per (extension, context length, metric, layer, and head or pair).

A head counts as a sink of Gu et al. 2024 (arXiv:2410.10781, section 3) where its mean weight on the
first token is above SINK_THRESHOLD; the sink rate is the share of such heads, over all layers.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from tabulate import tabulate

from posext.analysis.csv_table import read_csv_table, upsert_rows
from posext.analysis.curves import EXTENSION
from posext.analysis.retrieval import extension_label
from posext.analysis.statistics import interval
from posext.config import ATTENTION
from posext.eval.attention.measure import PLACE
from posext.eval.attention.tally import LARGEST_LOGIT, SINK
from posext.utils.atomic import write_text

FILE = "attention.csv"
VALUES = ["value", "low", "high", "documents"]
COLUMNS = ["run", *EXTENSION, *PLACE, *VALUES]
TEXT_COLUMNS = ["run", *EXTENSION, "metric"]
SINK_RATE = "sink_rate"
SINK_THRESHOLD = 0.3
# Numbers of the printed table, each with its unit.
PRINTED = {
    "entropy": "entropy (nats)",
    "entropy_share": "entropy / ln keys",
    "distance": "distance (tokens)",
    "first_token": "weight on first token",
    SINK_RATE: "sink rate",
    LARGEST_LOGIT: "largest logit",
    "hidden_norm_ratio": "hidden norm / in range",
    "hidden_cosine": "cosine to in-range mean",
}


def read_attention(path: Path | str) -> pd.DataFrame:
    """Read a file of attention into COLUMNS; empty if it does not exist."""
    if not Path(path).exists():
        return pd.DataFrame(columns=COLUMNS)
    numbers = [name for name in COLUMNS if name not in TEXT_COLUMNS]
    return read_csv_table(path, TEXT_COLUMNS, numbers).reindex(columns=COLUMNS)


def write_attention(rows: pd.DataFrame, path: Path) -> None:
    """Write rows, with six digits of each number."""
    write_text(path, rows.to_csv(index=False, float_format="%.6g"))


def upsert_attention(before: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Replace the rows of the same runs, extensions and factors, with the new rows last."""
    return upsert_rows(before, rows, ["run", *EXTENSION])


def with_intervals(sums: pd.DataFrame) -> pd.DataFrame:
    """Turn sums per document into PLACE and VALUES, with intervals over documents.

    The sink rate of each context length is added; it has no interval.
    """
    if not len(sums):
        return pd.DataFrame(columns=[*PLACE, *VALUES])
    numbers = sums.groupby(PLACE, sort=False, dropna=False).ngroup()
    sums = sums.assign(number=numbers).sort_values("number", kind="stable")
    ends = np.cumsum(np.bincount(sums.number))[:-1]
    totals, weights = (np.split(sums[name].to_numpy(float), ends) for name in ("total", "weight"))
    values = [
        (*interval(total_D, weight_D), int((weight_D > 0).sum()))
        for total_D, weight_D in zip(totals, weights, strict=True)
    ]
    places = sums.drop_duplicates("number").loc[:, PLACE].reset_index(drop=True)
    table = places.join(pd.DataFrame(values, columns=VALUES))
    return pd.concat([table, sink_rates(table)], ignore_index=True)


def sink_rates(rows: pd.DataFrame) -> pd.DataFrame:
    """The share of heads above SINK_THRESHOLD at each context length, over all layers."""
    weights = rows.loc[rows.metric == SINK]
    rates = (weights.value > SINK_THRESHOLD).groupby(weights.context_length).mean()
    table = rates.rename("value").reset_index().assign(metric=SINK_RATE)
    documents = weights.groupby("context_length").documents.max()
    return table.assign(documents=table.context_length.map(documents)).reindex(
        columns=[*PLACE, *VALUES]
    )


def over_heads(rows: pd.DataFrame) -> pd.DataFrame:
    """One number per context length of a curve, with an empty interval: over layers and heads.

    It is their mean; of largest logits it is the largest.

    Returns:
        The columns run, extend, factor, metric, context_length and value.
    """
    key = ["run", *EXTENSION, "metric", "context_length"]
    groups = rows.groupby(key, sort=False).value
    means = groups.mean()
    is_largest = means.index.get_level_values("metric") == LARGEST_LOGIT
    return means.where(~is_largest, groups.max()).reset_index()


def attention_table(rows: pd.DataFrame) -> str:
    """Table of the numbers over all heads, by curve and metric (rows) and length (columns)."""
    values = over_heads(rows.loc[rows.metric.isin(PRINTED)])
    lengths = sorted(values.context_length.unique())
    lines = []
    for (extend, factor), curve in cast(Any, values.groupby(EXTENSION, sort=False)):
        cells = curve.set_index(["metric", "context_length"]).value
        for number, (metric, label) in enumerate(PRINTED.items()):
            if metric not in cells:
                continue
            name = "" if number else extension_label(str(extend), str(factor))
            at_lengths = cells[metric].reindex(lengths).to_numpy(float)
            shown = ["" if np.isnan(value) else f"{value:.3g}" for value in at_lengths]
            lines.append([name, label, *shown])
    headers = ["attention", "", *(f"{length:g}" for length in lengths)]
    return tabulate(lines, headers=headers, disable_numparse=True)


def due(folder: Path, protocols: Collection[str], places: Collection[tuple[str, str, int]]) -> bool:
    """Whether the protocol is asked for, and lacks an extension, factor and context length."""
    rows = read_attention(folder / FILE)
    measured = zip(rows.extend, rows.factor, rows.context_length, strict=True)
    return ATTENTION in protocols and not set(places) <= set(measured)


def scalars(rows: pd.DataFrame) -> list[dict[str, float]]:
    """The numbers over all heads by context length, for wandb."""
    values = over_heads(rows.loc[rows.metric.isin(PRINTED)])
    names = "eval/attention/" + values.metric
    by_length = zip(values.context_length.astype(int), names, values.value, strict=True)
    return [{"eval/context_length": length, name: value} for length, name, value in by_length]
