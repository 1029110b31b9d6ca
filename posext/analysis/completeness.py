"""Whether the folder of a run has all that a measurement is to leave there."""

from collections.abc import Collection, Iterator, Sequence
from itertools import product
from typing import NamedTuple

from posext.analysis import accuracy, attention, curves, retrieval
from posext.config import OWN, WITHOUT_CURVES, AlgorithmicData
from posext.eval.bayes_floor import FLOOR, has_bayes_floor
from posext.eval.cache import MEASURING
from posext.eval.curve import context_lengths
from posext.eval.extension import Extension, extension_name, factor_text
from posext.eval.protocols import COMPARABLE
from posext.eval.variants import variants
from posext.runs.run import Run


class Expected(NamedTuple):
    """A scheme that is measured, as tables name it, and the lengths at which it is defined."""

    extend: str
    factor: str
    defined: list[int]


def is_measured(run: Run, extension: Extension | None = None) -> bool:
    """Return whether a measurement of a run with its own settings would leave nothing new.

    Args:
        run: The run, with the settings of the measurement.
        extension: The scheme that is measured; None for the one of the run.
    """
    lengths = context_lengths(run)
    schemes = list(expected(run, lengths, extension))
    if isinstance(run.config.data, AlgorithmicData):
        return accuracy.has_rows(run.folder, places(schemes))
    protocols = run.config.protocols
    if attention.due(run.folder, protocols, places(schemes)):
        return False
    if retrieval.due(run.folder, protocols, places(schemes)):
        return False
    drawn = [name for name in protocols if name not in WITHOUT_CURVES]
    if drawn and (run.folder / MEASURING).exists():
        return False
    corpora = run.config.evaluation.corpora()
    wanted = [(each.extend, each.factor, *of) for each in schemes for of in product(drawn, corpora)]
    if has_bayes_floor(run.config.data) and OWN in corpora:
        wanted += [(FLOOR, "", protocol, OWN) for protocol in drawn]
    return has_curves(run, wanted, lengths)


def expected(run: Run, lengths: Sequence[int], extension: Extension | None) -> Iterator[Expected]:
    """The schemes that are measured together: see `posext.eval.variants`."""
    for config in variants(run, extension.config if extension else run.config, lengths[-1]):
        end = run.scheme(config).max_length
        yield Expected(
            extension_name(run, config, extension),
            factor_text(config.pe.get("factor", "")),
            [length for length in lengths if end is None or length <= end],
        )


def places(schemes: Collection[Expected]) -> set[tuple[str, str, int]]:
    """The extension, factor and length of everything that is defined."""
    return {(each.extend, each.factor, length) for each in schemes for length in each.defined}


def has_curves(
    run: Run, wanted: Collection[tuple[str, str, str, str]], lengths: Sequence[int]
) -> bool:
    """Return whether curves.csv has curves, each an extension, factor, protocol and corpus.

    Protocols that are not comparable between lengths may lack some, as their windows may not fit.
    """
    rows = curves.read_curves(run.folder / "curves.csv")
    columns = [*curves.EXTENSION, "protocol", "corpus"]
    measured = {key: set(of.context_length) for key, of in rows.groupby(columns, sort=False)}
    return all(
        key in measured and (key[2] not in COMPARABLE or set(lengths) <= measured[key])
        for key in wanted
    )
