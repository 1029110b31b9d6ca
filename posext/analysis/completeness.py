"""Whether the folder of a run has all that a measurement is to leave there."""

from collections.abc import Collection
from itertools import product

from posext.analysis import accuracy, attention, curves, retrieval
from posext.config import WITHOUT_CURVES, AlgorithmicData
from posext.eval.cache import MEASURING
from posext.eval.protocols import COMPARABLE
from posext.runs.run import Run


def is_complete(
    run: Run,
    extensions: Collection[str],
    protocols: Collection[str],
    corpora: Collection[str],
    lengths: Collection[int],
    factor: str | None = None,
) -> bool:
    """Return whether everything that is named was measured, and no measurement was cut off.

    Args:
        run: The run.
        extensions: Names in the column `extend`, "" for the scheme as trained.
        protocols: Names of protocols.
        corpora: Names of evaluation corpora.
        lengths: Context lengths in tokens. Protocols that are not comparable between lengths may
            lack some, as their windows may not fit.
        factor: The factor of the extensions, as curves.csv writes it; None for any.
    """
    if isinstance(run.config.data, AlgorithmicData):
        return accuracy.has_rows(run.folder, set(extensions), lengths)
    if any(part.due(run.folder, protocols, extensions) for part in (attention, retrieval)):
        return False
    wanted = list(product(extensions, set(protocols) - set(WITHOUT_CURVES), corpora))
    if wanted and (run.folder / MEASURING).exists():
        return False
    rows = curves.read_curves(run.folder / "curves.csv")
    if factor is not None:
        rows = rows.loc[rows.factor == factor]
    measured = {
        key: set(of.context_length)
        for key, of in rows.groupby(["extend", "protocol", "corpus"], sort=False)
    }
    return all(
        key in measured and (key[1] not in COMPARABLE or set(lengths) <= measured[key])
        for key in wanted
    )
