"""Paired differences between schemes over their common seeds."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from posext.analysis import seed_spread, statistics, two_way
from posext.analysis.comparison import curve_columns, seed_limit
from posext.analysis.curves import curve_label, refuse_repeated_seeds
from posext.analysis.document_sums import StoredCurve, align_documents
from posext.analysis.seed_spread import Seeds
from posext.eval.bayes_floor import FLOOR
from posext.utils.errors import PosextError


def compare_over_seeds(curves: Sequence[StoredCurve]) -> pd.DataFrame:
    """Difference of every scheme to the first over their common seeds, at each context length.

    Args:
        curves: Curves on the same targets.

    Returns:
        One row for all seeds. `difference` is the mean over seeds in nats. `documents` has its
        interval over documents, from the mean over seeds per document. `over seeds` has the paired
        t interval of the differences of the seeds, `both` that over seeds and documents, and `p` is
        its probability, adjusted for all rows (see `two_way`). `verdict` is that of
        `seed_spread.verdict_with_seeds`.

    Raises:
        PosextError: No two schemes have a seed and a length in common, a scheme has two runs of one
            seed, or `align_documents` fails.
    """
    by_scheme: dict[Any, list[StoredCurve]] = {}
    for curve in curves:
        by_scheme.setdefault(curve.scheme_key, []).append(curve)
    base, *others = (by_seed(of_scheme) for of_scheme in by_scheme.values())
    rows = []
    for other in others:
        seeds = sorted(other.keys() & base.keys())
        if not seeds:
            continue
        lengths_of_seeds = [set(other[seed].sums) & set(base[seed].sums) for seed in seeds]
        for length in sorted(set.intersection(*lengths_of_seeds)):
            rows.append(over_seeds_row(other, base, seeds, length))
    if not rows:
        raise PosextError(
            "nothing to compare: "
            "name two schemes or more that have a seed and a context length in common"
        )
    table = pd.DataFrame(rows)
    return table.assign(p=two_way.holm(table.p.tolist()))


def by_seed(curves: Sequence[StoredCurve]) -> dict[int, StoredCurve]:
    """The curves of a scheme by seed. Raises PosextError for two runs of one seed."""
    row = curves[0].row
    if row.extend != FLOOR:
        refuse_repeated_seeds([(int(c.row.seed), c.row.run) for c in curves], curve_label(row))
    return {int(curve.row.seed): curve for curve in curves}


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
    found = two_way.two_way(nll_LD[::2] - nll_LD[1::2], weight_D)
    document_verdict = statistics.verdict(found.documents)
    curve = by_seed[seeds[0]]
    if found.seeds is None:
        limit = seed_limit(curve, base_by_seed[seeds[0]])
        verdict = seed_spread.verdict_with_seeds(document_verdict, found.both.value, limit, None)
    else:
        over = Seeds(found.seeds.value, float("nan"), found.seeds.low, found.seeds.high, len(seeds))
        verdict = seed_spread.verdict_with_seeds(document_verdict, over.mean, float("nan"), over)
    row = curve_columns(curve, length)
    del row["seed"]
    return row | {
        "seeds": len(seeds),
        "difference": found.both.value,
        "documents": found.documents,
        "over seeds": found.seeds,
        "both": found.both if found.seeds else None,
        "p": found.p,
        "verdict": verdict,
    }
