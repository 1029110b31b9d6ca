"""Verdicts on claims, from what studies store and from schemes alone.

A comparison holds where the whole interval of its difference over seeds and documents lies on the
claimed side, and fails where it lies on the other. A claim holds if all of its comparisons do, and
fails if one does. The probabilities of the claims that are tested on one study are adjusted for
their number (Holm 1979); what has one above 0.05 then is undecided.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from posext.analysis import document_sums
from posext.analysis.statistics import Estimate
from posext.analysis.two_way import NOISE_FLOOR, TwoWay, holm, two_way
from posext.claims import exact
from posext.claims.claim import Claim
from posext.claims.expression import Comparison
from posext.claims.stored import Stored, Values, open_stored
from posext.utils.errors import PosextError

HOLDS = "holds"
FAILS = "fails"
UNDECIDED = "undecided"
NOT_HERE = "not decidable at this size"
ONLY_UNDER = "holds only under"
LEVEL = 0.05


@dataclass(frozen=True)
class Tested:
    """A comparison with the difference of its sides; in `found`, below 0 is the claimed side."""

    comparison: Comparison
    found: TwoWay
    n_documents: int = 0

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


@dataclass(frozen=True)
class Result:
    """A claim as tested on a study under one protocol, or on schemes alone.

    Attributes:
        p: Probability of the comparisons that decide it; nan where one seed, or nothing, does.
        decides: The comparison that is shown: the weakest if all are on the claimed side, else the
            strongest on the other.
    """

    claim: Claim
    study: str
    protocol: str
    tested: list[Tested]
    p: float
    is_here: bool = True  # what the claim needs is seen
    scale: str = ""  # of the models, in words
    exact: bool | None = None  # of schemes alone: whether it holds
    adjusted: float = field(default=float("nan"))

    @property
    def decides(self) -> Tested:
        against = [each for each in self.tested if not each.holds]
        if against:
            return min(against, key=lambda each: chance(each))
        return max(self.tested, key=lambda each: chance(each))

    @property
    def verdict(self) -> str:
        if self.exact is not None:
            return HOLDS if self.exact else FAILS
        if not self.is_here:
            return NOT_HERE
        if not self.adjusted < LEVEL:  # nan is undecided
            return UNDECIDED
        return HOLDS if all(each.holds for each in self.tested) else FAILS

    @property
    def is_above_floor(self) -> bool:
        """Whether what is measured, if it is a loss, exceeds what rounding moves one run by."""
        is_loss = all(call.function == "nll" for call in self.decides.comparison.calls)
        return not is_loss or abs(self.decides.measured.value) > NOISE_FLOOR


def decide(claims: Sequence[Claim], results: Path) -> list[Result]:
    """Test claims on the studies that they name, with probabilities adjusted within each.

    Args:
        claims: The claims.
        results: The parent folder of the studies.

    Raises:
        PosextError: A claim names a curve that its study does not have.
    """
    found = []
    for claim in claims:
        try:
            found += results_of(claim, results)
        except PosextError as error:
            raise PosextError(f"{claim.name}: {error}") from error
    adjusted: dict[int, float] = {}
    for study in dict.fromkeys(result.study for result in found):
        own = [index for index, result in enumerate(found) if result.study == study]
        adjusted |= zip(own, holm([found[index].p for index in own]), strict=True)
    return [
        Result(**{**vars(result), "adjusted": adjusted[index]})
        for index, result in enumerate(found)
    ]


def results_of(claim: Claim, results: Path) -> list[Result]:
    """The results of a claim: one for each study and protocol."""
    if claim.is_exact:
        is_true = all(exact.holds(comparison) for comparison in claim.comparisons)
        return [Result(claim, "", "", [], float("nan"), exact=is_true)]
    made = []
    for study in (claim.spec.study, *claim.spec.also):
        for protocol in claim.spec.protocols:
            stored = open_stored(results / study, protocol)
            tested = [compared(each, claim, stored) for each in claim.comparisons]
            needed = [compared(each, claim, stored) for each in claim.needs]
            is_here = all(each.holds and each.found.p < LEVEL for each in needed)
            p = of_claim(tested)
            made.append(Result(claim, study, protocol, tested, p, is_here, stored.scale))
    return made


def of_claim(tested: Sequence[Tested]) -> float:
    """The probability of what decides a claim.

    If all comparisons are on the claimed side, it is that of the weakest, as all must hold. Else it
    is that of the strongest on the other side, for the number of comparisons (Bonferroni).
    """
    against = [chance(each) for each in tested if not each.holds]
    if any(np.isnan(each.found.p) for each in tested):
        return float("nan")
    if not against:
        return max(chance(each) for each in tested)
    return min(1.0, len(tested) * min(against))


def chance(tested: Tested) -> float:
    """The probability of a comparison; 1 where it is not known."""
    return 1.0 if np.isnan(tested.found.p) else tested.found.p


def compared(comparison: Comparison, claim: Claim, stored: Stored) -> Tested:
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
        means_S1 = np.asarray(by_seed)[:, None]
        return Tested(comparison, two_way(means_S1, np.ones(1)))
    total_SD, weight_D = differences(values, factors, constant, seeds)
    return Tested(comparison, two_way(total_SD, weight_D), len(weight_D))


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


@dataclass(frozen=True)
class Verdict:
    """The verdict on a claim in one study, from its results under all protocols."""

    claim: Claim
    study: str
    results: list[Result]

    @property
    def text(self) -> str:
        """The verdict in words."""
        verdicts = {result.protocol: result.verdict for result in self.results}
        kinds = set(verdicts.values())
        if kinds == {HOLDS, FAILS}:
            under = [protocol for protocol, verdict in verdicts.items() if verdict == HOLDS]
            return f"{ONLY_UNDER} {' and '.join(under)}"
        if len(kinds) == 1:
            return kinds.pop()
        return UNDECIDED


def verdicts(results: Sequence[Result]) -> list[Verdict]:
    """Put the results of a claim under several protocols together, a verdict for each study."""
    grouped: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        grouped.setdefault((result.claim.name, result.study), []).append(result)
    return [Verdict(of[0].claim, study, of) for (_, study), of in grouped.items()]
