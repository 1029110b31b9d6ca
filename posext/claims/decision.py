"""Which scheme should I use? A table of what the studies found lowest, by situation and need.

A scheme is chosen by the mean of its loss over seeds. Beside it stand those that are level: the
95 % interval of their paired difference to it, over seeds and documents, holds 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posext.analysis.curves import curve_label
from posext.analysis.document_sums import StoredCurve, align_documents, read_stored
from posext.analysis.measured_name import without_seed
from posext.analysis.two_way import TwoWay, two_way
from posext.claims.ledger import interval
from posext.eval.bayes_floor import FLOOR
from posext.eval.variants import OWN_WINDOW

SHOWN = 4  # schemes named as level
MULTIPLES = (1, 2, 4, 16)  # of the training length
NONE = "none was measured"


@dataclass(frozen=True)
class Situation:
    """What is to be done, the study that answers, and which of its curves are candidates."""

    text: str
    study: str
    is_candidate: Callable[[Any], bool]  # of a curve's row of curves.csv
    trained_with: str = ""  # the scheme of the weights, where one is asked for

    def takes(self, row: Any) -> bool:
        """Whether a curve is a candidate."""
        return self.trained_with in ("", row.scheme) and self.is_candidate(row)


def is_from_scratch(row: Any) -> bool:
    """Whether a curve is of a run as trained, at one length from the start."""
    return not row.lineage and not row.extend and row.trained_length == row.original_length


def is_in_stages(row: Any) -> bool:
    """Whether a curve is of a run as trained, whose sequences grew."""
    return not row.lineage and not row.extend and row.trained_length > row.original_length


def is_zero_shot(row: Any) -> bool:
    """Whether a curve is of an extension without training, with a factor that follows."""
    is_extended = row.extend not in ("", OWN_WINDOW) and row.factor in ("", "1", "auto")
    return is_extended and not row.lineage and row.trained_length == row.original_length


def is_continued(row: Any) -> bool:
    """Whether a curve is of a run that was trained on for 200 steps, as it is."""
    return "+200 steps" in row.lineage and not row.extend


SITUATIONS = (
    Situation("train from scratch, `nano`", "zoo", is_from_scratch),
    Situation("train from scratch, `tiny`", "zoo_tiny", is_from_scratch),
    Situation("train with growing length, `nano`", "zoo", is_in_stages),
    Situation("extend RoPE without training, `nano`", "zoo", is_zero_shot, "rope"),
    Situation("extend RoPE without training, `tiny`", "quickstart", is_zero_shot, "rope"),
    Situation("train RoPE on for 200 steps, `tiny`", "extension", is_continued),
)


class Candidate:
    """The curves of runs that differ in the seed alone."""

    def __init__(self, curves: Sequence[StoredCurve]):
        self.curves = {int(curve.row.seed): curve for curve in curves}
        self.label = curve_label(curves[0].row)
        self.words = without_seed(curves[0].row.run).split("-")
        self.parameters = float(curves[0].row.parameters)
        self.original_length = int(curves[0].row.original_length)
        self.trained_length = int(curves[0].row.trained_length)

    def own_words(self, others: Sequence["Candidate"]) -> str:
        """What its runs are called and not all those of others are, a number with what it is of."""
        shared = set(self.words).intersection(*(other.words for other in others))
        pairs = zip(self.words, [*self.words[1:], ""], strict=True)
        return " ".join(
            word
            for word, after in pairs
            if word not in shared or (after not in shared and after.isdecimal())
        )

    def loss(self, length: int) -> float:
        """The mean loss over seeds in nats; infinite where a seed has none."""
        by_seed = [curve.sums.get(length) for curve in self.curves.values()]
        losses = [
            float("inf") if sums is None else float(sums.nll.sum() / sums.tokens.sum())
            for sums in by_seed
        ]
        return sum(losses) / len(losses)

    def difference(self, length: int, other: "Candidate", other_length: int) -> TwoWay | None:
        """Loss at a length minus that of another at its length; None without a common seed."""
        seeds = sorted(self.curves.keys() & other.curves.keys())
        if not seeds:
            return None
        frames = []
        for seed in seeds:
            frames.append(self.curves[seed].sums[length])
            frames.append(other.curves[seed].sums[other_length])
        nll_LD, weight_D = align_documents(frames)
        return two_way(nll_LD[::2] - nll_LD[1::2], weight_D)


def candidates_of(situation: Situation, curves: Sequence[StoredCurve]) -> list[Candidate]:
    """The candidates of a situation among the curves of its study."""
    by_run: dict[tuple, list[StoredCurve]] = {}
    for curve in curves:
        if curve.row.extend != FLOOR and situation.takes(curve.row):
            key = (curve.scheme_key, without_seed(curve.row.run))
            by_run.setdefault(key, []).append(curve)
    candidates = [Candidate(of_run) for of_run in by_run.values()]
    by_label: dict[str, list[Candidate]] = {}
    for each in candidates:
        by_label.setdefault(each.label, []).append(each)
    for label, alike in by_label.items():
        for each in alike if len(alike) > 1 else ():
            words = each.own_words(alike)
            each.label = f"{label} ({words})" if words else label
    return candidates


def lowest(candidates: Sequence[Candidate], multiple: int) -> str:
    """The candidate with the lowest loss at a multiple of the training length, and its equals."""
    measured = [each for each in candidates if each.loss(at(each, multiple)) < float("inf")]
    if not measured:
        return NONE
    best = min(measured, key=lambda each: each.loss(at(each, multiple)))
    length = at(best, multiple)
    level = [
        each.label
        for each in sorted(measured, key=lambda each: each.loss(at(each, multiple)))
        if each is not best and is_level(each.difference(at(each, multiple), best, length))
    ]
    text = f"**{best.label}** {best.loss(length):.3f}"
    if multiple > 1 and (change := best.difference(length, best, at(best, 1))):
        text += f", to its own 1x {interval(change.both)}"
    if level:
        more = f" and {len(level) - SHOWN} more" if len(level) > SHOWN else ""
        text += f"; level: {', '.join(level[:SHOWN])}{more}"
    return text


def is_level(difference: TwoWay | None) -> bool:
    """Whether a difference may be 0; so it may if there is no interval."""
    return difference is None or not difference.both.low > 0


def users(candidates: Sequence[Candidate], multiple: int) -> list[Candidate]:
    """The candidates whose loss at a multiple is below their own where training began."""
    found = []
    for each in candidates:
        length, trained = at(each, multiple), at(each, 1)
        if max(each.loss(length), each.loss(trained)) == float("inf"):
            continue
        change = each.difference(length, each, trained)
        if change is not None and change.both.high < 0:
            found.append(each)
    return found


def at(candidate: Candidate, multiple: int) -> int:
    """A multiple of the training length that a candidate began at, in tokens."""
    return candidate.original_length * multiple


def page(results: Path) -> str:
    """Return the page, in Markdown."""
    parts = [HEAD]
    studies = dict.fromkeys(situation.study for situation in SITUATIONS)
    curves = {
        study: read_stored([results / study])
        for study in studies
        if (results / study / "curves.csv").is_file()
    }
    for situation in SITUATIONS:
        candidates = candidates_of(situation, curves.get(situation.study, ()))
        if not candidates:
            continue
        lines = ["| need | lowest loss | lowest of those that use it |", "| --- | --- | --- |"]
        for multiple in MULTIPLES:
            need = "in range" if multiple == 1 else f"to {multiple} times"
            lines.append(f"| {need} | {' | '.join(cells(candidates, multiple))} |")
        seeds = sorted({len(each.curves) for each in candidates})
        count = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
        longest = max(each.trained_length for each in candidates)
        grown = f", then at up to {longest}" if longest > candidates[0].original_length else ""
        about = (
            f"{len(candidates)} candidates of [{situation.study}](../{situation.study}/README.md), "
            f"{count} seeds each, {candidates[0].parameters / 1e6:.1f}M parameters, trained at "
            f"{candidates[0].original_length} tokens{grown}."
        )
        title = situation.text[0].upper() + situation.text[1:]
        parts.append(f"## {title}\n\n{about}\n\n" + "\n".join(lines))
    return "\n\n".join([*parts, FOOT]) + "\n"


def cells(candidates: Sequence[Candidate], multiple: int) -> tuple[str, str]:
    """The lowest loss of all candidates, and of those that use so much context."""
    of_all = lowest(candidates, multiple)
    if multiple == 1:
        return of_all, ""
    using = users(candidates, multiple)
    of_users = lowest(using, multiple) if using else "none uses it"
    return of_all, "the same" if of_users == of_all else of_users


HEAD = """# Which scheme should I use?

<!-- made by posext claims: do not edit -->

What our studies found lowest, in nats a token. *In range* is the length that training began at,
the others are multiples of it. The middle column is for contexts that a model must merely survive;
the right one for contexts that it must use: the loss there is below its own in range, with the
whole 95 % interval over seeds and documents."""
FOOT = """## Where the evidence ends

- Small models, trained for minutes at 64 or 128 tokens: no larger size, no training of hours, no
  length above 4,096 tokens.
- One corpus: the standard library of Python. Much of what stands far back in a file comes again, so
  far context is worth more than in prose.
- The lowest of many is lowest by luck in part: read those that are level with it as its equals.
- Loss alone: what finds a fact again, or computes, is another question.

Made by `posext claims` from what the studies store."""
