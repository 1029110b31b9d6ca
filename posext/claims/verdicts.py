"""Verdicts on claims, from what studies store and from schemes alone.

A comparison holds where the whole interval of its difference over seeds and documents lies on the
claimed side, and fails where it lies on the other. A claim holds if all of its comparisons do, and
fails if one does. A claim that one loss is below another is level where neither can be said, and
each of its comparisons holds or is within MARGIN of 0. The probabilities of the claims that are
tested on one study are adjusted for their number, so that of its verdicts one in twenty is expected
to be wrong (Benjamini and Hochberg 1995); what has one above 0.05 then is undecided.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from posext.analysis.two_way import benjamini_hochberg, holm
from posext.claims import exact
from posext.claims.claim import Claim
from posext.claims.compared import MARGIN, Tested, chance, compared
from posext.claims.stored import open_stored
from posext.utils.errors import PosextError

HOLDS = "holds"
FAILS = "fails"
LEVEL = "level"
UNDECIDED = "undecided"
NOT_HERE = "not decidable at this size"
ONLY_UNDER = "holds only under"
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Result:
    """A claim as tested on a study under one protocol, or on schemes alone.

    Attributes:
        p: Probability of the comparisons that decide it; nan where one seed, or nothing, does.
        p_level: Likewise, that it is level.
        cutoff: The largest probability that decides a claim of the study.
        adjusted: The smaller of both, adjusted for the claims of the study.
        holm: The same, adjusted so that the chance of any wrong verdict is bounded (Holm 1979).
        decides: The comparison that is shown: the weakest if all are on the claimed side, else the
            strongest on the other.
    """

    claim: Claim
    study: str
    protocol: str
    tested: list[Tested]
    p: float
    p_level: float = float("nan")
    is_here: bool = True  # what the claim needs is seen
    scale: str = ""  # of the models, in words
    exact: bool | None = None  # of schemes alone: whether it holds
    cutoff: float = -1.0
    adjusted: float = float("nan")
    holm: float = float("nan")

    @property
    def smaller_p(self) -> float:
        """The probability by which it is decided, if it is; nan where it cannot be."""
        return min(self.p, self.p_level) if self.is_here else float("nan")

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
        if self.p <= self.cutoff:  # nan is undecided
            return HOLDS if all(each.holds for each in self.tested) else FAILS
        return LEVEL if self.p_level <= self.cutoff else UNDECIDED

    @property
    def is_small(self) -> bool:
        """Whether what is measured is a loss, and less than MARGIN."""
        return self.decides.comparison.is_of_losses and abs(self.decides.measured.value) < MARGIN


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
    studies = dict.fromkeys(result.study for result in found)
    by_study = {study: [each for each in found if each.study == study] for study in studies}
    adjusted = {study: iter(adjust(own)) for study, own in by_study.items()}
    return [next(adjusted[result.study]) for result in found]


def adjust(results: Sequence[Result]) -> list[Result]:
    """The results of one study, with their probabilities adjusted."""
    p_values = [result.smaller_p for result in results]
    adjusted = benjamini_hochberg(p_values)
    cutoff = max(
        (p for p, after in zip(p_values, adjusted, strict=True) if after < SIGNIFICANCE),
        default=-1.0,
    )
    return [
        replace(result, cutoff=cutoff, adjusted=after, holm=strict_after)
        for result, after, strict_after in zip(results, adjusted, holm(p_values), strict=True)
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
            is_here = all(each.holds and each.found.p < SIGNIFICANCE for each in needed)
            chances = of_claim(tested), of_level(tested)
            made.append(Result(claim, study, protocol, tested, *chances, is_here, stored.scale))
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


def of_level(tested: Sequence[Tested]) -> float:
    """The probability of the weakest comparison of a claim, each of which holds or is level."""
    if any(np.isnan(each.found.p) for each in tested):
        return float("nan")
    return max(min(chance(each) if each.holds else 1.0, each.p_level) for each in tested)


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
        if HOLDS in kinds and len(kinds) > 1 and kinds <= {HOLDS, FAILS, LEVEL}:
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
