"""Views of a chart of curves: perplexity, bits per byte, and difference to the crop baseline."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from posext.analysis.statistics import NO_INTERVAL
from posext.eval.protocols import COMPARABLE
from posext.report.figures import ChartView
from posext.report.gather import PairedCurve
from posext.report.lines import Line, mean_and_band

VERDICT_TEXT = {"uses": "uses its context", "survives": "survives", "fails": "fails"}
CURVE_KEY = ["run", "extend", "factor"]


def curve_views(
    curves: pd.DataFrame, differences: Sequence[PairedCurve], protocol: str
) -> list[ChartView]:
    """The views of the curves of one protocol and group.

    Args:
        curves: all rows of that protocol and group.
        differences: the paired differences of those curves; the third view needs some.
        protocol: the protocol, which decides whether there is a crop baseline.
    """

    def bits(line: Line) -> pd.DataFrame:
        values = line.values
        nats = values.loc[:, ["nll", "low", "high"]]
        return with_hover(nats.mul(values.bytes_share, axis=0), line)

    def perplexity(line: Line) -> pd.DataFrame:
        nats = line.values.loc[:, ["nll", "low", "high"]]
        return with_hover(np.exp(nats.astype(float)), line)

    def crop(line: Line) -> float:
        return line.crop(curves) if protocol in COMPARABLE else float("nan")

    def crop_perplexity(line: Line) -> float:
        return float(np.exp(crop(line)))

    def crop_bits(line: Line) -> float:
        return crop(line) * float(line.values.bytes_share.mean())

    views = [
        ChartView("Perplexity", "perplexity", perplexity, crop_perplexity),
        ChartView("Bits per byte", "bits per byte", bits, crop_bits),
    ]
    if differences:
        table = concat_differences(differences)
        views.append(
            ChartView(
                name="Difference to crop",
                axis="nats a token above the crop baseline",
                values=lambda line: difference_values(line, table),
                crop=lambda _: 0.0,
                log=False,
                signed=True,
            )
        )
    return views


def with_hover(values: pd.DataFrame, line: Line) -> pd.DataFrame:
    """Name the columns value, low and high, and add the hover text of each row."""
    frame = values.astype(float).set_axis(["value", "low", "high"], axis=1)
    hover = [
        f"<b>{value:.4g}</b> {interval_text(low, high, '.4g', line)}"
        for value, low, high in frame.itertuples(index=False)
    ]
    return frame.assign(hover=hover)


def interval_text(low: float, high: float, number_format: str, line: Line) -> str:
    """An interval, or a range over seeds, in brackets; words if there is none."""
    if np.isnan(low):
        return NO_INTERVAL
    prefix = "" if line.seeds == 1 else "mean of seeds, range "
    return f"{prefix}[{low:{number_format}}, {high:{number_format}}]"


def concat_differences(differences: Sequence[PairedCurve]) -> pd.DataFrame:
    """The differences of several curves as one table, with each curve's run, extension, factor."""
    return pd.concat(
        [d.table.assign(**{name: d.row[name] for name in CURVE_KEY}) for d in differences],
        ignore_index=True,
    )


def difference_values(line: Line, table: pd.DataFrame) -> pd.DataFrame:
    """The differences of a line to its crop baseline, from the training length on.

    Args:
        line: a line of one seed, or several.
        table: the paired differences (nats) of all curves.

    Returns:
        The columns value, low, high and hover by context length: a paired difference for one seed,
        else mean and range over seeds.
    """
    keys = pd.MultiIndex.from_frame(line.curves.loc[:, CURVE_KEY])
    is_own = pd.MultiIndex.from_frame(table.loc[:, CURVE_KEY]).isin(keys)
    by_length = table.loc[is_own].groupby("context")
    train_length = int(line.curves.trained_length.iloc[0])
    lengths = sorted(int(n) for n in line.curves.context_length.unique() if n >= train_length)
    values = mean_and_band(by_length, "difference", ("low", "high"), line.seeds == 1)
    frame = values.rename(columns={"mean": "value"}).astype(float).reindex(lengths)
    verdicts = by_length.verdict.agg(common_verdict).reindex(lengths)
    hover = [
        f"<b>{value:+.3f}</b> {interval_text(low, high, '+.3f', line)}{verdict_text(verdict, line)}"
        for (value, low, high), verdict in zip(frame.itertuples(index=False), verdicts, strict=True)
    ]
    return frame.assign(hover=hover)


def common_verdict(verdicts: pd.Series) -> str:
    """The verdict of all seeds."""
    return verdicts.iloc[0] if verdicts.nunique() == 1 else "seeds disagree"


def verdict_text(verdict: str, line: Line) -> str:
    """The end of a hover text; empty for a floor and without an interval."""
    if line.floor or verdict == NO_INTERVAL:
        return ""
    return f", {VERDICT_TEXT.get(verdict, verdict)}"
