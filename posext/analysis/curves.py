"""`curves.csv`, one row per (extension, protocol, context length), and the same as a table that people read."""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from tabulate import tabulate

from posext.analysis.statistics import NO_INTERVAL, interval, usable_length
from posext.config import HEADLINE
from posext.eval.bayes_floor import FLOOR
from posext.eval.protocols import COMPARABLE
from posext.utils.errors import PosextError

log = logging.getLogger(__name__)
COLUMNS = (
    "study run scheme extend factor model parameters original_length trained_length seed protocol group "
    "context_length logit_multiplier nll nll_low nll_high perplexity bits_per_byte documents tokens targets "
    "seconds tokens_per_second peak_memory_bytes commit"
).split()
TEXT = dict.fromkeys(
    "study run scheme extend factor model protocol group targets commit".split(), str
)
NUMBERS = [name for name in COLUMNS if name not in TEXT]
FORMER_NAMES = {"train_length": "trained_length"}  # columns of older files
STATISTICS = "nll nll_low nll_high perplexity bits_per_byte documents tokens".split()
FEW = 10  # documents, below which intervals are not sure to hold the truth as often as they say
TARGETS = "targets documents tokens".split()  # they tell what a row scores
MEND = "measure again with the same context_lengths=[...] and evaluation settings"
ONE_LINE = (
    "study scheme extend factor original_length trained_length protocol group".split()
)  # over seeds
ONE_CURVE = (
    "study run scheme extend factor original_length trained_length seed protocol group".split()
)


def read_curves(path: Path | str) -> pd.DataFrame:
    """A curves file; an empty frame with its columns where there is none. Raises PosextError for a file of anything else."""
    if not Path(path).exists():
        return pd.DataFrame(columns=COLUMNS)
    blank: Any = {name: [""] for name in (*NUMBERS, *FORMER_NAMES)}
    try:
        table = pd.read_csv(path, dtype=cast(Any, TEXT), keep_default_na=False, na_values=blank)
    except ValueError as error:  # of decoding and of parsing
        raise PosextError(f"{path} is no file of curves: {error}") from error
    if not {"run", "scheme"} <= set(table):
        raise PosextError(
            f"{path} is no file of curves: it has not both a column run and a column scheme"
        )
    if "trained_length" not in table:
        table = table.rename(columns=FORMER_NAMES)
    return table.reindex(columns=COLUMNS).fillna({name: "" for name in TEXT})


def objective(path: Path) -> float | None:
    """A run's own loss at its longest context, in nats, under its first protocol; infinite where the scheme is undefined
    there, None where nothing was measured."""
    rows = read_curves(path)
    own = (
        rows.loc[(rows.extend == "") & (rows.protocol == rows.protocol.iloc[:1].squeeze())]
        if len(rows)
        else rows
    )
    if not len(own):
        return None
    return float(own.loc[own.context_length.idxmax()].fillna({"nll": np.inf}).nll)


def of_runs(paths: Iterable[Path]) -> pd.DataFrame:
    """The curves of run folders or curves files, one after the other. Raises PosextError where none has any."""
    tables = {}
    for path in paths:
        if not path.exists():
            raise PosextError(f"{path} is neither the folder of a run nor a file of curves")
        tables[path] = read_curves(path / "curves.csv" if path.is_dir() else path)
    empty, how = (
        [path for path, rows in tables.items() if not len(rows)],
        "python -m posext.evaluate run=RUN measures it",
    )
    if len(empty) == len(tables):
        raise PosextError(
            f"none of these holds curves: {', '.join(map(str, empty))}; {how} once it is trained"
        )
    for path in empty:
        log.warning("%s holds no curves yet; %s once it is trained", path, how)
    return pd.concat([rows for rows in tables.values() if len(rows)], ignore_index=True)


def refuse_mixed_targets(curves: pd.DataFrame, known: pd.DataFrame | None = None) -> None:
    """Raise PosextError where curves that would be held against each other are on different targets.

    With `known`, also where the crop baselines of their runs are, which are looked up there.
    """
    if known is not None:
        curves = pd.concat(
            [curves, known.loc[(known.extend == "") & known.run.isin(curves.run)]],
            ignore_index=True,
        )
    newest_first = curves.sort_values("targets", ascending=False, kind="stable")
    first = newest_first.loc[has_targets(newest_first)]
    other = curves.loc[elsewhere(curves, first)]
    if not len(other):
        return
    two = other.iloc[0]
    one = first.loc[places(first).isin(places(other.iloc[:1]))].iloc[0]
    counts = (
        f"{counted(one)}, and {counted(two)}"
        if counted(one) != counted(two)
        else f"{counted(one)} each"
    )
    lengths = sorted(
        curves.loc[
            (curves.run == one.run) & (curves.protocol == one.protocol), "context_length"
        ].unique()
    )
    raise PosextError(
        f"{named(one)} and {named(two)} are measured on different targets under {one.protocol} ({counts}), so "
        f"they cannot be held against each other: {MEND.replace('...', ','.join(str(int(n)) for n in lengths))}"
    )


def on_same_targets(curves: pd.DataFrame, like: pd.DataFrame) -> pd.DataFrame:
    """The curves that score the targets that `like` scores under the same protocol, in the same group, at the same length.

    The column `targets` tells. Files older than it have the counts of documents and tokens alone, which then must do.
    Where lengths compare, the length does not matter, as all lengths of a curve have the same targets.
    """
    curve = pd.MultiIndex.from_frame(curves.loc[:, ONE_CURVE])
    return curves.loc[~curve.isin(curve[elsewhere(curves, like)])]


def latest(curves: pd.DataFrame) -> pd.DataFrame:
    """Of one run's curves those on the same targets as the last measured of each protocol; `replace` writes these last."""
    return on_same_targets(curves, curves.iloc[::-1])


def left_out(before: pd.DataFrame, kept: pd.DataFrame) -> str:
    """A sentence that names the curves that were not kept; empty where all were."""
    gone = before.loc[~before.index.isin(kept.index)].drop_duplicates(ONE_CURVE)
    if not len(gone):
        return ""
    names = ", ".join(curve_label(row) for row in gone.itertuples())
    return f"left out, as measured on other targets than the last of the run: {names}; to have all, {MEND}"


def elsewhere(curves: pd.DataFrame, like: pd.DataFrame) -> np.ndarray:
    """Which rows score other targets than the first row of `like` in the same place: bool (rows,)."""
    like = like.loc[has_targets(like)]
    firsts = like.set_axis(places(like)).loc[:, TARGETS]
    theirs = firsts.loc[~firsts.index.duplicated()].reindex(places(curves)).set_axis(curves.index)
    digests = (curves.targets != "") & (theirs.targets.fillna("") != "")
    counts = ["documents", "tokens"]
    counted = curves[counts].notna().all(axis=1) & theirs[counts].notna().all(axis=1)
    other_counts = (curves[counts].astype(float) != theirs[counts].astype(float)).any(axis=1)
    return np.where(digests, curves.targets != theirs.targets, counted & other_counts).astype(bool)


def has_targets(curves: pd.DataFrame) -> pd.Series:
    """Which rows say what they score: all, but for undefined lengths in files older than the column `targets`."""
    return (curves.targets != "") | curves.documents.notna()


def places(curves: pd.DataFrame) -> pd.Index:
    """Where two rows must have the same targets to be held against each other: protocol and group, and the length where
    lengths do not compare."""
    lengths = curves.context_length.where(~curves.protocol.isin(COMPARABLE), 0)
    return pd.MultiIndex.from_arrays([curves.protocol, curves.group, lengths])


def select_factor(curves: pd.DataFrame, which: str) -> pd.DataFrame:
    """Of the scalings, the curves with a `matched` or a `fixed` factor, or `all`; without a factor, or with 1, in any case."""
    matched, unscaled = curves.factor == "auto", curves.factor.isin(("", "1"))
    return curves.loc[(which == "all") | unscaled | (matched if which == "matched" else ~matched)]


def upsert(before: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that were there, but for those of the same extensions and protocols as the new ones, and then the new ones."""
    key = ["extend", "factor", "protocol"]
    known = pd.MultiIndex.from_frame(rows.loc[:, key])
    kept = (
        before.loc[~pd.MultiIndex.from_frame(before.loc[:, key]).isin(known)]
        if len(before)
        else before
    )
    return pd.concat([part for part in (kept, rows) if len(part)] or [rows], ignore_index=True)


def with_statistics(rows: pd.DataFrame, sums: pd.DataFrame) -> pd.DataFrame:
    """Fill in NLL with its interval, perplexity, bits per byte and counts, from sums per length, group and document."""
    key = ["protocol", "context_length", "group"]
    rows = rows.set_index(key)
    for at, documents in sums.groupby(key, sort=False):
        documents = documents.sort_values("document")
        weight_D, tokens = documents.weight.to_numpy(float), documents.tokens.sum()
        nll, low, high = interval(documents.nll.to_numpy(float), weight_D)
        bits = nll * tokens / documents.bytes.sum() / np.log(2)
        rows.loc[cast(Any, at), STATISTICS] = (
            nll,
            low,
            high,
            np.exp(nll),
            bits,
            len(documents),
            int(tokens),
        )
    return rows.reset_index()


def warn_if_few(rows: pd.DataFrame) -> None:
    """Warn of fewer than ten held-out documents, by the protocol that has the fewest."""
    fewest = rows.documents.min()
    if fewest < FEW:
        several = f"intervals over {fewest:.0f} held-out documents are rough"
        log.warning(
            "%s; more documents, or longer ones, would help: a larger data.validation_share, shorter context_lengths, or "
            "evaluation.documents of at least %d where it is set",
            "one held-out document gives no interval" if fewest == 1 else several,
            FEW,
        )


def dedupe_floor(curves: pd.DataFrame) -> pd.DataFrame:
    """The curves with each floor once: runs on the same targets have the same."""
    floors = curves.loc[curves.extend == FLOOR].drop_duplicates(
        ["protocol", "context_length", "nll"]
    )
    return pd.concat([curves.loc[curves.extend != FLOOR], floors])


def curve_label(row: Any) -> str:
    """What a curve is called: the scheme, what replaced it, and which factor it was measured with."""
    if row.extend == FLOOR:
        return FLOOR
    name = row.scheme
    if row.extend and row.extend != row.scheme:
        name += f" → {row.extend}"
    if row.trained_length > row.original_length:
        name += f", trained to {row.trained_length}"
    name += factor_suffix(row.factor)
    return name + (
        f" [{row.protocol} {row.group}".rstrip() + "]" if row.protocol != HEADLINE else ""
    )


def named(row: Any) -> str:
    return f"{curve_label(row)} of {row.run}"


def counted(row: Any) -> str:
    return (
        f"{row.tokens:,.0f} tokens in {row.documents:,.0f} documents"
        if row.documents > 0
        else "where it is undefined"
    )


def factor_suffix(factor: str) -> str:
    """The factor of a curve as a label ends: `, s matched`, `, s = 8` or nothing."""
    return "" if not factor else ", s matched" if factor == "auto" else f", s = {float(factor):g}"


def crop_baseline(curve: pd.DataFrame, known: pd.DataFrame) -> float:
    """The NLL of a curve's run as trained, at the training length: what cutting the context gives, with no extension.

    Looked up among the `known` curves; without it, the curve's own value there, and nan where that was not measured.
    """
    first = curve.iloc[0]
    same = (
        (known.run == first.run) & (known.protocol == first.protocol) & (known.group == first.group)
    )
    of_run = known.loc[same & (known.extend == "")]
    for rows in (of_run, curve):
        at = rows.loc[rows.context_length == first.trained_length, "nll"]
        if len(at):
            return float(at.iloc[0])
    return float("nan")


def summary(curve: pd.DataFrame, known: pd.DataFrame) -> dict[str, Any]:
    """Numbers derived from one curve, and its crop baseline among the known ones."""
    curve, crop_nll = curve.sort_values("context_length"), crop_baseline(curve, known)
    lengths, train_length = curve.context_length.tolist(), int(curve.trained_length.iloc[0])
    usable = usable_length(lengths, curve.nll.to_numpy(float), train_length, crop_nll)
    return {"crop_nll": crop_nll, "usable_length": usable}


def table(curves: pd.DataFrame, style: str = "simple", known: pd.DataFrame | None = None) -> str:
    """Perplexity by curve (rows) and context length (columns), with half the width of its interval.

    `style` is tabulate's; crop baselines are looked up among the `known` curves, or these. Raises PosextError for curves on
    different targets.
    """
    refuse_mixed_targets(curves, known)
    lengths = sorted(curves.context_length.unique())
    rows = []
    for _, curve in dedupe_floor(curves).groupby(ONE_CURVE, sort=False, dropna=False):
        at = curve.set_index("context_length")
        cells = [cell(at.loc[length]) if length in at.index else "" for length in lengths]
        usable = summary(curve, curves if known is None else known)["usable_length"] or "nowhere"
        usable = usable if curve.protocol.iloc[0] in COMPARABLE else ""
        rows.append([curve_label(curve.iloc[0]), int(curve.seed.iloc[0]), *cells, usable])
    return tabulate(
        rows,
        headers=["scheme", "seed", *map(str, lengths), "usable to"],
        tablefmt=style,
        disable_numparse=True,
    )


def table_over_seeds(curves: pd.DataFrame, style: str = "simple") -> str:
    """Perplexity by scheme and context length over seeds: of the mean NLL, and its standard deviation in nats.

    Raises PosextError for curves on different targets.
    """
    refuse_mixed_targets(curves)
    lengths = sorted(curves.context_length.unique())
    rows = []
    for _, of_line in dedupe_floor(curves).groupby(ONE_LINE, sort=False, dropna=False):
        at = of_line.groupby("context_length").nll.agg(["mean", "std"])
        cells = [
            over_seeds_cell(at.loc[length]) if length in at.index else "" for length in lengths
        ]
        rows.append([curve_label(of_line.iloc[0]), of_line.seed.nunique(), *cells])
    return tabulate(
        rows, headers=["scheme", "seeds", *map(str, lengths)], tablefmt=style, disable_numparse=True
    )


def over_seeds_cell(row: Any) -> str:
    if np.isnan(row["mean"]):
        return "undefined"
    spread = "" if np.isnan(row["std"]) else f" ({row['std']:.3f})"
    return f"{np.exp(row['mean']):.2f}{spread}"


def cell(row: Any) -> str:
    if np.isnan(row.nll):
        return "undefined"
    if np.isnan(row.nll_low):
        return f"{row.perplexity:.2f} ({NO_INTERVAL})"
    half = (np.exp(row.nll_high) - np.exp(row.nll_low)) / 2
    return f"{row.perplexity:.2f} ±{half:.2f}"
