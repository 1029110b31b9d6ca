"""Paired differences between schemes over their common seeds."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from posext.analysis import seed_spread, statistics
from posext.analysis.comparison import curve_columns, seed_limit
from posext.analysis.document_sums import StoredCurve, align_documents
from posext.analysis.statistics import Estimate
from posext.utils.errors import PosextError


def compare_over_seeds(curves: Sequence[StoredCurve]) -> pd.DataFrame:
    """Difference of every scheme to the first over their common seeds, at each context length.

    Args:
        curves: Curves on the same targets.

    Returns:
        One row for all seeds. `difference` is the mean over seeds in nats. `documents` has its
        interval over documents, from the mean over seeds per document. `over seeds` has the paired
        t interval of the differences of the seeds. `verdict` is that of
        `seed_spread.verdict_with_seeds`.

    Raises:
        PosextError: No two schemes have a seed and a length in common, or `align_documents` fails.
    """
    by_scheme: dict[Any, dict[int, StoredCurve]] = {}
    for curve in curves:
        by_scheme.setdefault(curve.scheme_key, {})[int(curve.row.seed)] = curve
    base, *others = by_scheme.values()
    rows = []
    for by_seed in others:
        seeds = sorted(by_seed.keys() & base.keys())
        if not seeds:
            continue
        lengths_of_seeds = [set(by_seed[seed].sums) & set(base[seed].sums) for seed in seeds]
        for length in sorted(set.intersection(*lengths_of_seeds)):
            rows.append(over_seeds_row(by_seed, base, seeds, length))
    if not rows:
        raise PosextError(
            "nothing to compare: "
            "name two schemes or more that have a seed and a context length in common"
        )
    return pd.DataFrame(rows)


def over_seeds_row(
    by_seed: dict[int, StoredCurve],
    base_by_seed: dict[int, StoredCurve],
    seeds: Sequence[int],
    length: int,
) -> dict[str, Any]:
    """Row of `compare_over_seeds` for one scheme and context length."""
    pairs = [curves[seed] for seed in seeds for curves in (by_seed, base_by_seed)]
    frames = [curve.sums[length] for curve in pairs]
    nll_LD, weight_D = align_documents(frames, [curve.name for curve in pairs])
    difference_SD = nll_LD[::2] - nll_LD[1::2]
    by_documents = statistics.interval(difference_SD.mean(0), weight_D)
    document_verdict = statistics.verdict(by_documents)
    curve = by_seed[seeds[0]]
    row = curve_columns(curve, length)
    del row["seed"]
    row |= {
        "seeds": len(seeds),
        "difference": by_documents.value,
        "documents": by_documents,
    }
    if len(seeds) < 2:
        limit = seed_limit(curve, base_by_seed[seeds[0]])
        verdict = seed_spread.verdict_with_seeds(document_verdict, by_documents.value, limit, None)
        return {**row, "over seeds": None, "verdict": verdict}
    of_seeds = seed_spread.over_seeds((difference_SD.sum(1) / weight_D.sum()).tolist())
    verdict = seed_spread.verdict_with_seeds(
        document_verdict, of_seeds.mean, float("nan"), of_seeds
    )
    over_seeds = Estimate(of_seeds.mean, of_seeds.low, of_seeds.high)
    return {**row, "over seeds": over_seeds, "verdict": verdict}
