"""What a chart of curves can show: perplexity, bits per byte, and the paired difference to the crop baseline."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from posext.analysis.statistics import NO_INTERVAL
from posext.eval.protocols import COMPARABLE
from posext.report.figures import ChartView
from posext.report.gather import Paired
from posext.report.lines import Line

SAID = {"uses": "uses its context", "survives": "survives", "fails": "fails"}


def of_curves(known: pd.DataFrame, differences: Sequence[Paired], protocol: str) -> list[ChartView]:
    """The views of the curves of one protocol and group, whose rows are all `known`."""

    def scaled(line: Line) -> pd.DataFrame:
        values = line.values()
        return shown(values.loc[:, ["nll", "low", "high"]].mul(values.bytes_share, axis=0), line)

    def perplexity(line: Line) -> pd.DataFrame:
        values = line.values()
        return shown(np.exp(values.loc[:, ["nll", "low", "high"]].astype(float)), line)

    def crop(line: Line) -> float:
        return line.crop(known) if protocol in COMPARABLE else float("nan")

    def crop_bits(line: Line) -> float:
        return crop(line) * float(line.values().bytes_share.mean())

    views = [
        ChartView("Perplexity", "perplexity", perplexity, lambda line: float(np.exp(crop(line)))),
        ChartView("Bits per byte", "bits per byte", scaled, crop_bits),
    ]
    if differences:
        table = of_runs(differences)
        name, axis = "Difference to crop", "nats a token above the crop baseline"
        views.append(
            ChartView(
                name, axis, lambda line: to_crop(line, table), lambda _: 0.0, log=False, signed=True
            )
        )
    return views


def shown(values: pd.DataFrame, line: Line) -> pd.DataFrame:
    """Values with what is said of each where the pointer rests."""
    frame = values.astype(float).set_axis(["value", "low", "high"], axis=1)
    between = "" if line.seeds == 1 else "mean of seeds, range "
    said = [
        f"<b>{v:.4g}</b> {ends(lo, hi, '.4g', between)}"
        for v, lo, hi in frame.itertuples(index=False)
    ]
    return frame.assign(said=said)


def ends(low: float, high: float, form: str, between: str) -> str:
    """An interval, or a range over seeds, in brackets; in words where there is none."""
    return NO_INTERVAL if np.isnan(low) else f"{between}[{low:{form}}, {high:{form}}]"


def of_runs(differences: Sequence[Paired]) -> pd.DataFrame:
    """The differences of several curves as one table, with the run, extension and factor of each."""
    names = ("run", "extend", "factor")
    return pd.concat(
        [d.table.assign(**{name: d.row[name] for name in names}) for d in differences],
        ignore_index=True,
    )


def to_crop(line: Line, table: pd.DataFrame) -> pd.DataFrame:
    """A line's difference to its crop baseline in nats, from the training length on: paired, or a mean over seeds."""
    key = ["run", "extend", "factor"]
    of_line = pd.MultiIndex.from_frame(line.curves.loc[:, key])
    mine = table.loc[pd.MultiIndex.from_frame(table.loc[:, key]).isin(of_line)].groupby("context")
    trained = int(line.curves.trained_length.iloc[0])
    lengths = sorted(int(n) for n in line.curves.context_length.unique() if n >= trained)
    alone = line.seeds == 1
    low, high = (
        (mine.low.mean(), mine.high.mean())
        if alone
        else (mine.difference.min(), mine.difference.max())
    )
    frame = pd.DataFrame(
        {"value": mine.difference.mean(), "low": low, "high": high}, dtype=float
    ).reindex(lengths)
    verdicts = mine.verdict.agg(
        lambda found: found.iloc[0] if found.nunique() == 1 else "seeds disagree"
    )
    between = "" if alone else "mean of seeds, range "
    said = [
        f"<b>{v:+.3f}</b> {ends(lo, hi, '+.3f', between)}"
        + ("" if line.floor or word == NO_INTERVAL else f", {SAID.get(word, word)}")
        for (v, lo, hi), word in zip(
            frame.itertuples(index=False), verdicts.reindex(lengths), strict=True
        )
    ]
    return frame.assign(said=said)
