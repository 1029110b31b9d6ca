"""A comparison of a claim, tested on what a study stores.

Shape suffixes: S seeds, D documents.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from posext.analysis import document_sums
from posext.analysis.statistics import Estimate
from posext.analysis.two_way import TwoWay, two_way
from posext.claims.accuracies import StoredAccuracies
from posext.claims.answers import StoredAnswers
from posext.claims.claim import Claim
from posext.claims.expression import Comparison
from posext.claims.stored import Stored
from posext.claims.values import Values
from posext.utils.errors import PosextError

MARGIN = 0.05  # nats; smaller differences are too small to choose by


@dataclass(frozen=True)
class Tested:
    """A comparison with the difference of its sides; in `found`, below 0 is the claimed side.

    Attributes:
        p_level: Probability of a loss as close to the other, if the truth is MARGIN from it or
            more; 1 where no two losses are compared as they are.
    """

    comparison: Comparison
    found: TwoWay
    n_documents: int = 0
    p_level: float = 1.0

    @property
    def holds(self) -> bool:
        """Whether the difference is on the claimed side."""
        return self.found.both.value < 0

    @property
    def threshold(self) -> float:
        """The number that what is measured is compared with."""
        return self.side * -self.comparison.difference.constant

    @property
    def measured(self) -> Estimate:
        """What is measured, of the left side less the right, or of the right side alone."""
        sign = self.side * (1 if self.comparison.relation == "<" else -1)
        ends = sorted(sign * end for end in self.found.both[1:])
        return Estimate(*(each + self.threshold for each in (sign * self.found.both.value, *ends)))

    @property
    def side(self) -> int:
        """-1 if the left side is a number alone, as in the first half of -1 < a - b < 1."""
        return 1 if self.comparison.left.terms else -1


def chance(tested: Tested) -> float:
    """The probability of a comparison; 1 where it is not known."""
    return 1.0 if np.isnan(tested.found.p) else tested.found.p


def compared(
    comparison: Comparison, claim: Claim, stored: Stored | StoredAccuracies | StoredAnswers
) -> Tested:
    """Test a comparison on the seeds that all of its curves have.

    Raises PosextError for an equality, or curves that share no seed or are on other documents.
    """
    if comparison.relation == "==":
        raise PosextError(f"{comparison.text!r}: what is measured is never equal; name a margin")
    sign = 1.0 if comparison.relation == "<" else -1.0
    terms = comparison.difference.terms
    units = {call.function for _, call in terms}
    if len(units) > 1:
        raise PosextError(f"{comparison.text!r} adds {' and '.join(sorted(units))}")
    values = [stored.values(call, claim.spec.curves) for _, call in terms]
    factors = [sign * factor for factor, _ in terms]
    constant = sign * comparison.difference.constant
    seeds = sorted(set.intersection(*(set(each.means) for each in values)))
    if not seeds:
        raise PosextError(f"{comparison.text!r}: its curves have no seed in common")
    by_seed = [
        constant + sum(f * v.means[seed] for f, v in zip(factors, values, strict=True))
        for seed in seeds
    ]
    if not np.isfinite(by_seed).all():
        return Tested(comparison, undefined(float(np.mean(by_seed)), len(seeds)))
    if any(each.sums is None for each in values):
        n_documents, total_SD, weight_D = 0, np.asarray(by_seed)[:, None], np.ones(1)
    else:
        total_SD, weight_D = differences(values, factors, constant, seeds)
        n_documents = len(weight_D)
    is_level = comparison.is_of_losses and not constant
    p_level = chance_of_level(total_SD, weight_D) if is_level else 1.0
    return Tested(comparison, two_way(total_SD, weight_D), n_documents, p_level)


def chance_of_level(total_SD: np.ndarray, weight_D: np.ndarray) -> float:
    """Probability of a difference this close to 0 if the truth is MARGIN from it, or further.

    The larger of two tests, one for each side (Schuirmann 1987); nan for one seed.
    """
    from_below = two_way(total_SD + MARGIN * weight_D, weight_D)
    from_above = two_way(total_SD - MARGIN * weight_D, weight_D)
    is_inside = from_above.both.value < 0 < from_below.both.value
    return max(from_below.p, from_above.p) if is_inside else 1.0


def differences(
    values: Sequence[Values], factors: Sequence[float], constant: float, seeds: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Sums over the targets of each document, by seed (S, D), and the weights (D,)."""
    frames = [each.sums[seed] for seed in seeds for each in values if each.sums is not None]
    nll_LD, weight_D = document_sums.align_documents(frames)
    nll_STD = nll_LD.reshape(len(seeds), len(values), -1)
    total_SD = np.einsum("std,t->sd", nll_STD, np.asarray(factors))
    return total_SD + constant * weight_D, weight_D


def undefined(value: float, count: int) -> TwoWay:
    """The difference of a curve that is undefined to one that is not: certain, and infinite.

    Raises PosextError if both are undefined.
    """
    if np.isnan(value):
        raise PosextError("both sides are undefined at this length")
    certain = Estimate(value, value, value)
    return TwoWay(certain, certain, certain, 0.0, count)
