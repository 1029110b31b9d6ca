"""What a page says in sentences: how it was measured, and what each protocol is."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from posext.analysis.seed_spread import Seeds
from posext.analysis.statistics import LEVEL, NO_INTERVAL, TOLERANCE
from posext.eval.protocols import COMPARABLE, PROTOCOLS
from posext.report.gather import Source

PLAIN = {
    "far_copy": "The targets in two groups: “far” are tokens that last stood after the same few tokens further back than "
    "the training length, so that only a longer context can show them; “rest” are the others of the same blocks.",
    "sliding": "A window slides through whole documents and scores a few tokens at its end, so that nearly every token is "
    "a target once, with about the whole length before it.",
    "nonoverlap": "Blocks side by side, every token in one: the commonest protocol. Tokens early in a block have little "
    "context, and longer blocks have fewer of them.",
    "per_position": "The loss at each position of one long window, in buckets named by their largest context. One pass "
    "gives the whole curve, but every position is read under the longest context.",
}
TITLES = {
    "per_position": "Loss by position",
    "sliding": "Sliding window",
    "nonoverlap": "Blocks side by side",
    "far_copy": "Far copies",
}
LENGTHS = "Its targets are the same at every length, so lengths are comparable."
NO_LENGTHS = "Its lengths are not comparable: part of any difference between two of them is the protocol's, not the model's."

COST = (
    "Wall time and speed of measuring the same targets at each length, and the largest process's peak memory above what it "
    "held before. The exponent is the power of the length by which a quantity grows, fitted over the longer half of the "
    "lengths: time at 1 means that a token costs the same at any length, at 2 that it costs in proportion to its context. "
    "On a CPU the memory is what the process grew by, which says little where it already held enough."
)
RETRIEVAL = (
    "How often what was hidden in a context is given back, by the context's length and how deep it was hidden: 0 is the "
    "start, 1 the end. The control shows what is right without it, by chance."
)


MANY = "Of so many curves, those that end lowest are drawn; a click in the legend shows another."


def answers(
    table: Sequence[dict[str, Any]],
    lengths: Sequence[int],
    over: Mapping[tuple[str, int], Seeds],
    lowest: str,
) -> list[str]:
    """What the table of a page comes to, in sentences: of several seeds, what all of them reach and their interval shows."""
    usable: dict[str, list[int]] = {}
    for row in table:
        usable.setdefault(row["name"], []).append(
            0 if row["usable"] == "nowhere" else number(row["usable"])
        )
    reach = {name: min(found) for name, found in usable.items() if min(found)}
    found = ["No curve stays within 1 % of its crop baseline, not even at its training length."]
    if reach:
        furthest = max(reach.values())
        longest = ", the longest measured" if furthest == lengths[-1] else ""
        names = listed([name for name, at in reach.items() if at == furthest])
        found = [f"Usable furthest, to {furthest:,} tokens{longest}: {names}."]
    verdicts = {
        (row["name"], cell["verdict"]) for row in table for cell in row["cells"] if cell["verdict"]
    }
    refuted = {name for name, _ in over} - {
        name for (name, _), seeds in over.items() if seeds.high < 0
    }
    using = [name for name in usable if (name, "uses") in verdicts and name not in refuted]
    if using:
        found.append(
            f"At some longer length, better than cropping to the training length: {listed(using)}."
        )
    elif NO_INTERVAL in {word for _, word in verdicts}:
        found.append(
            "One held-out document gives no interval: whether any length uses its context is not said."
        )
    elif verdicts:
        seeds = ", by intervals over seeds" if refuted else ""
        found.append(
            f"At no longer length is any better than cropping to the training length{seeds}."
        )
    return [*found, lowest] if lowest else found


def number(length: str) -> int:
    return int(length.replace(",", ""))


def listed(names: Sequence[str]) -> str:
    """Some names as a list in a sentence; of many, the first four and how many more."""
    names = [*names[:4], f"{len(names) - 4} more"] if len(names) > 5 else list(names)
    names = [f"“{name}”" for name in names[:-1]] + [
        names[-1] if names[-1].endswith(" more") else f"“{names[-1]}”"
    ]
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def protocol(name: str) -> str:
    """What a protocol is, and whether a difference between two of its lengths is the model's."""
    made = PROTOCOLS.get(name)
    said = PLAIN.get(name) or " ".join((made.__doc__ or "" if made else "").split())
    if name == "per_position":
        return f"{said} For a scheme that looks at the context's length this is no length curve."
    return f"{said} {LENGTHS if name in COMPARABLE else NO_LENGTHS}".strip()


def span(values: pd.Series, unit: str) -> str:
    low, high = values.min(), values.max()
    return f"{low:,.0f} {unit}" if low == high else f"{low:,.0f} to {high:,.0f} {unit}"


def lede(rows: pd.DataFrame) -> str:
    rows = rows.loc[rows.nll.notna()]
    same = "the same " if len(rows[["documents", "tokens"]].drop_duplicates()) == 1 else ""
    return (
        f"Loss on {same}{span(rows.tokens, 'target tokens')} in {span(rows.documents, 'held-out documents')}, "
        f"after {span(rows.context_length, 'tokens')} of context; trained at {span(rows.trained_length, 'tokens')}."
    )


def facts(rows: pd.DataFrame, sources: Sequence[Source]) -> list[tuple[str, str]]:
    """The protocol of the headline rows, a term and a sentence or two each."""
    measured = rows.loc[rows.nll.notna()]
    lengths = ", ".join(f"{int(n):,}" for n in sorted(rows.context_length.unique()))
    shortest = int(rows.context_length.min())
    sizes = {s.run.config.evaluation.targets or min(64, shortest // 2) for s in sources if s.run}
    blocks = {s.run.config.evaluation.blocks for s in sources if s.run}
    seeds = sorted(int(seed) for seed in rows.seed.unique())
    block = "Blocks of tokens"
    if len(sizes) == len(blocks) == 1:
        block = f"Up to {blocks.pop()} blocks of K = {sizes.pop()} tokens in a document"
    found = [
        ("Targets", f"{block}, drawn once, with a seed of their own: {span(measured.tokens, 'tokens')} in all. They never "
         "change with the length, the scheme or the model's seed; only what stands before them does."),
        ("Documents", f"{span(measured.documents, 'held-out documents')}, those with more tokens than the longest context."),
        ("Lengths", f"{lengths} tokens. At length L the model reads the L tokens before a block's last label, so a "
         "target's context is L - K + 1 to L tokens."),
        ("Crop baseline", "The loss of the run as trained at its training length, dotted: what cutting the context gives. "
         "Longer context is used only where a curve lies below it."),
        ("Intervals", f"{LEVEL:.0%} intervals over documents. They are wide because documents differ, and all curves share "
         "the documents. So how sure a difference is, only its own, paired interval says: that of each document's "
         "difference between the two curves. One document alone gives no interval."),
        ("Verdicts", "A length uses its context where the whole paired interval of its difference to the crop baseline "
         f"lies below 0; it survives up to {TOLERANCE:.0%} above the baseline's loss; it fails beyond."),
        ("Factors", "Of a scaling, “s matched” takes max(context, longest length trained) / original length at each "
         "point; “s = 16”, say, holds at all lengths and is dashed."),
        ("Seeds", f"{', '.join(map(str, seeds))}. " + ("One seed says nothing of how training would vary."
         if len(seeds) == 1 else "Lines are means over seeds, bands the range of the seeds, not intervals.")),
    ]  # fmt: skip
    if (rows.extend == "floor").any():
        found.insert(
            4,
            (
                "Floor",
                "The best possible loss on these targets, given the same context; dashed, without a colour.",
            ),
        )
    return found
