"""The ledger on disk: verdicts.csv, changes.csv, README.md and a page.

verdicts.csv has a row for each claim and study. Where a verdict is another than it was,
changes.csv gets a row, and results/LOG.md must say why (tests/claims/test_ledger.py).
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from posext.analysis.statistics import Estimate
from posext.claims.compared import MARGIN
from posext.claims.verdicts import (
    FAILS,
    HOLDS,
    LEVEL,
    NOT_HERE,
    SIGNIFICANCE,
    UNDECIDED,
    Result,
    Verdict,
)
from posext.utils.atomic import write_text

VERDICTS = "verdicts.csv"
CHANGES = "changes.csv"
KEY = ["claim", "study"]
CHANGE_COLUMNS = [*KEY, "before", "now"]
EXACT = "of the schemes alone"


def write(verdicts: Sequence[Verdict], out: Path) -> None:
    """Write verdicts.csv, changes.csv and README.md, without claims that are not among these."""
    out.mkdir(parents=True, exist_ok=True)
    rows = pd.DataFrame([row(verdict) for verdict in verdicts])
    before = read(out / VERDICTS, list(rows))
    known = read(out / CHANGES, CHANGE_COLUMNS)
    changed = unknown(changes(before, rows), known)
    if len(changed):
        write_text(out / CHANGES, pd.concat([known, changed]).to_csv(index=False))
    write_text(out / VERDICTS, rows.to_csv(index=False))
    write_text(out / "README.md", page(verdicts))


def read(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A file of the ledger; empty if it is not there."""
    if not file.is_file():
        return pd.DataFrame(columns=list(columns), dtype=str)
    return pd.read_csv(file, dtype=str, keep_default_na=False)


def unknown(changed: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """The changes that are not the last known ones of their claim, as after a kill."""
    last = known.drop_duplicates(KEY, keep="last")
    both = changed.merge(last, on=CHANGE_COLUMNS, how="left", indicator=True)
    return both.loc[both["_merge"] == "left_only", CHANGE_COLUMNS]


def changes(before: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """The verdicts that are others than before, with both."""
    both = before.merge(now, on=KEY, suffixes=("_before", "_now"))
    changed = both.loc[both.verdict_before != both.verdict_now]
    columns = {"verdict_before": "before", "verdict_now": "now"}
    return changed.rename(columns=columns).loc[:, CHANGE_COLUMNS]


def row(verdict: Verdict) -> dict[str, object]:
    """The row of verdicts.csv; the numbers are of the first protocol."""
    result = verdict.results[0]
    cells: dict[str, object] = {"claim": verdict.claim.name, "study": verdict.study}
    cells["verdict"] = verdict.text
    cells["comparisons"] = len(verdict.claim.comparisons)
    numbers = ("decides", "difference", "low", "high", "p", "holm", "seeds", "documents")
    cells |= dict.fromkeys(numbers, "")
    if result.tested:
        shown = result.decides
        cells["decides"] = shown.comparison.text
        cells["difference"], cells["low"], cells["high"] = map(rounded, shown.measured)
        cells["p"], cells["holm"] = map(probability, (result.adjusted, result.holm))
        cells["seeds"] = shown.found.count
        cells["documents"] = shown.n_documents or ""
    return cells


def probability(p: float) -> str:
    """A probability; empty for nan. Far tails of few seeds are not known any further."""
    return "" if np.isnan(p) else "<0.0001" if p < 1e-4 else f"{p:.2g}"


def rounded(number: float) -> str:
    """A number in nats; empty for nan."""
    return "" if np.isnan(number) else f"{number:.4f}"


def page(verdicts: Sequence[Verdict]) -> str:
    """README.md of the ledger."""
    rows = [
        (
            verdict.claim.name,
            verdict.claim.spec.says,
            cited(verdict),
            verdict.claim.spec.published or verdict.claim.spec.inequality,
            here(verdict),
            seeds(verdict.results[0]),
            verdict.study or "exact",
            f"**{verdict.text}**",
        )
        for verdict in verdicts
    ]
    rows = [[cell.replace("|", r"\|") for cell in cells] for cells in rows]
    headers = ["", "claim", "source", "published", "here", "seeds", "study", "verdict"]
    lines = (headers, ["---"] * len(headers), *rows)
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    scales = {verdict.study: verdict.results[0].scale for verdict in verdicts if verdict.study}
    studies = "\n".join(f"- `{study}`: {scale}" for study, scale in sorted(scales.items()))
    return f"{HEAD}\n\n{tally(verdicts)}\n\n{table}\n\n{STUDIES}\n\n{studies}\n\n{FOOT}\n"


def cited(verdict: Verdict) -> str:
    """The source of a claim with the place in it."""
    source = verdict.claim.spec.source
    return ", ".join(part for part in (source.paper, source.place) if part)


def here(verdict: Verdict) -> str:
    """What was seen here, under each protocol."""
    seen = []
    for result in verdict.results:
        under = f"{result.protocol}: " if len(verdict.results) > 1 else ""
        seen.append(under + seen_in(result))
    return "; ".join(seen)


def seen_in(result: Result) -> str:
    """The deciding comparison with its difference, in words."""
    if not result.tested:
        return f"`{result.claim.spec.holds_if}`, computed exactly"
    shown = result.decides
    others = len(result.tested) - 1
    which = f", the deciding of {others + 1}" if others else ""
    below = f", less than {MARGIN}" if result.is_small else ""
    return f"`{shown.comparison.text}`{which}: {interval(shown.measured)}{below}"


def interval(estimate: Estimate) -> str:
    """A difference with its interval."""
    if np.isinf(estimate.value):
        return "undefined on one side"
    if np.isnan(estimate.low):
        return f"{estimate.value:+.3f}"
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"


def seeds(result: Result) -> str:
    """The number of seeds; empty for what is exact."""
    return str(result.decides.found.count) if result.tested else ""


def tally(verdicts: Sequence[Verdict]) -> str:
    """How many claims have which verdict, each counted in its first study."""
    first = {verdict.claim.name: verdict for verdict in reversed(verdicts)}
    counts = Counter(verdict.text for verdict in first.values())
    ordered = sorted(counts, key=lambda text: (*ORDER, text).index(text))
    parts = [f"{text} {counts[text]}" for text in ordered]
    decided = [each for each in first.values() if each.text not in (UNDECIDED, NOT_HERE)]
    strict = sum(all(stands_alone(result) for result in each.results) for each in decided)
    return (
        f"{len(first)} claims, each counted in the first of its studies: {', '.join(parts)}. "
        f"Of the {len(decided)} that are decided, {strict} would be under Holm's adjustment too."
    )


def stands_alone(result: Result) -> bool:
    """Whether a verdict is exact, or stands if no verdict of its study may be wrong."""
    return result.exact is not None or result.holm < SIGNIFICANCE


ORDER = (HOLDS, FAILS, LEVEL, UNDECIDED, NOT_HERE)
HEAD = """# Claims

<!-- made by posext claims: do not edit -->

What papers say of positions and length, each as an inequality over curves that are stored here."""
STUDIES = "The studies:"
FOOT = f"""*Here* is the difference of what is measured on both sides, with its 95 % interval over
seeds and documents together: of losses (`nll`) in nats, where 5 % is 0.049, of shares of answers
and of attention as a share, of costs in doublings. Of a claim with several comparisons
the one that decides is shown. A claim holds or fails where the difference lies on one side. It is
*level* where that cannot be said, but the difference is within {MARGIN} nats of 0: whatever it is,
it is too small to choose by, which does not contradict a source whose own effect is as small. Of
the verdicts of a study one in twenty is expected to be wrong (Benjamini and Hochberg). Where a
source names no length, a claim is tested at four times the training length or at the lengths that
it speaks of. The published sizes, and in what a test differs, stand in the files in `claims/`, and
on the page `claims.html`, which `posext claims` writes.

Made by `posext claims` from what the studies store, without a model. A study is made again by
`posext study NAME`, and one claim by `posext claims ID`."""
