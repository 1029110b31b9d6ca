"""Sentences of a page: how the curves were measured, and what each protocol is."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from posext.analysis.seed_spread import Seeds
from posext.analysis.statistics import LEVEL, NO_INTERVAL, NOT_MEASURED, NOWHERE, TOLERANCE
from posext.config import OWN, PER_POSITION, PERTURBED
from posext.eval.protocols import COMPARABLE, PROTOCOLS
from posext.eval.variants import OWN_WINDOW
from posext.report.gather import Source

PROTOCOL_TEXT = {
    "fixed_target": "The same target tokens after contexts of every length.",
    "far_copy": "The targets in two groups: “far” are tokens that last stood after the same few "
    "tokens further back than the training length, so that only a longer context can show them; "
    "“rest” are the others of the same blocks.",
    "key_tokens": "Of the targets of the far copies, “key” are those that a judge predicts "
    "better after the longest context than after a short one, by 2 nats unless set; “rest” are "
    "the others. A run that is its own judge also chooses what its errors favour, so its gain on "
    "its own keys is too large; mirrored targets, keys with long and short exchanged, say how "
    "many keys errors alone make.",
    "perturbed": "The same targets after the longest context, with everything farther than k "
    "tokens before a window's first target shuffled, replaced by another document's text, or "
    "dropped: the rise of the loss is what that text was worth. The effective context length is "
    "the smallest k from which on the rise stays below a share of the loss, 1 % unless set.",
    "sliding": "A window slides through whole documents and scores a few tokens at its end, so "
    "that nearly every token is a target once, with about the whole length before it.",
    "nonoverlap": "Blocks side by side, every token in one: the commonest protocol. Tokens early "
    "in a block have little context, and longer blocks have fewer of them.",
    "per_position": "The loss at each position of one long window, in buckets named by their "
    "largest context. One pass gives the whole curve, but every position is read under the "
    "longest context.",
}
PROTOCOL_TITLES = {
    "fixed_target": "Extrapolation",
    "per_position": "Loss by position",
    "sliding": "Sliding window",
    "nonoverlap": "Blocks side by side",
    "far_copy": "Far copies",
    "key_tokens": "Key tokens",
    "perturbed": "Far text changed",
}
COMPARABLE_TEXT = "Its targets are the same at every length, so lengths are comparable."
NOT_COMPARABLE_TEXT = (
    "Its lengths are not comparable: part of any difference between two of them is the "
    "protocol's, not the model's."
)
PER_POSITION_TEXT = (
    "For a scheme that looks at the context's length this is no length curve. The "
    "in-context-learning score is the loss late in the context minus the loss early in it, within "
    "the length trained: below 0, the context helps."
)
COST_TEXT = (
    "Wall time and speed of measuring the same targets at each length, and the largest process's "
    "peak memory above what it held before. The exponent is the power of the length by which a "
    "quantity grows, fitted over the longer half of the lengths: time at 1 means that a token "
    "costs the same at any length, at 2 that it costs in proportion to its context. On a CPU the "
    "memory is what the process grew by, which says little where it already held enough."
)
RETRIEVAL_TEXT = (
    "How often what was hidden in a context is given back, by the context's length and how deep "
    "it was hidden: 0 is the start, 1 the end. The control shows what is right without it, by "
    "chance."
)
HIDDEN_LINES_TEXT = (
    "Of so many curves, those that end lowest are drawn; a click in the legend shows another."
)


def answer_sentences(
    table: Sequence[dict[str, Any]],
    lengths: Sequence[int],
    differences: Mapping[tuple[str, int], Seeds],
    lowest: str,
) -> list[str]:
    """The conclusions from the table of a page, in sentences.

    Args:
        table: the rows of `tables.perplexity_table`. A curve of several seeds counts as usable as
            far as all its seeds are.
        lengths: all context lengths in tokens, increasing.
        differences: differences to the crop baseline over seeds, by curve name and length; a curve
            counts as using its context only if their interval lies below 0 somewhere.
        lowest: the sentence about the curves that end lowest, or "".
    """
    usable = usable_lengths(table)
    sentences = [usable_sentence(usable, lengths[-1])]
    verdicts = {
        (row["name"], cell["verdict"]) for row in table for cell in row["cells"] if cell["verdict"]
    }
    confirmed = {name for (name, _), seeds in differences.items() if seeds.high < 0}
    refuted = {name for name, _ in differences} - confirmed
    using = [name for name in usable if (name, "uses") in verdicts and name not in refuted]
    if using:
        sentences.append(
            "At some longer length, better than cropping to the training length: "
            f"{quoted_list(using)}."
        )
    elif NO_INTERVAL in {verdict for _, verdict in verdicts}:
        sentences.append(
            "One held-out document gives no interval: "
            "whether any length uses its context is not said."
        )
    elif verdicts:
        over_seeds = ", by intervals over seeds" if refuted else ""
        sentences.append(
            f"At no longer length is any better than cropping to the training length{over_seeds}."
        )
    if lowest:
        sentences.append(lowest)
    return sentences


def usable_lengths(table: Sequence[dict[str, Any]]) -> dict[str, int]:
    """The usable length (tokens) of each curve, the shortest over its seeds; 0 for nowhere.

    Curves that were not measured at their training length are left out.
    """
    by_name: dict[str, list[int]] = {}
    for row in table:
        if row["usable"] == NOT_MEASURED:
            continue
        length = 0 if row["usable"] == NOWHERE else parse_number(row["usable"])
        by_name.setdefault(row["name"], []).append(length)
    return {name: min(lengths) for name, lengths in by_name.items()}


def usable_sentence(usable: Mapping[str, int], longest: int) -> str:
    """Name the curves that are usable furthest; `longest` is the longest measured length."""
    if not usable:
        return "No curve was measured at its training length: nothing says how far one is usable."
    furthest = max(usable.values())
    if not furthest:
        return "No curve stays within 1 % of its crop baseline, not even at its training length."
    at_the_end = ", the longest measured" if furthest == longest else ""
    names = [name for name, length in usable.items() if length == furthest]
    return f"Usable furthest, to {furthest:,} tokens{at_the_end}: {quoted_list(names)}."


def parse_number(text: str) -> int:
    """Read a number with thousands separators."""
    return int(text.replace(",", ""))


def quoted_list(names: Sequence[str]) -> str:
    """Join names for a sentence; of more than five, the first four and the number of the others."""
    if len(names) > 5:
        items = [f"“{name}”" for name in names[:4]] + [f"{len(names) - 4} more"]
    else:
        items = [f"“{name}”" for name in names]
    return " and ".join(filter(None, [", ".join(items[:-1]), items[-1]]))


def protocol_text(name: str) -> str:
    """Describe a protocol, and say whether two of its lengths can be compared."""
    text = PROTOCOL_TEXT.get(name)
    if text is None:
        protocol = PROTOCOLS.get(name)
        docstring = (protocol.__doc__ or "") if protocol else ""
        text = " ".join(docstring.split())
    if name == PER_POSITION:
        return f"{text} {PER_POSITION_TEXT}"
    if name == PERTURBED:
        return text
    comparable = COMPARABLE_TEXT if name in COMPARABLE else NOT_COMPARABLE_TEXT
    return f"{text} {comparable}".strip()


def on_corpus(rows: pd.DataFrame, title: str) -> str:
    """A title, with the name of the corpus that the rows are on unless it is the runs' own."""
    corpus = rows.corpus.iloc[0]
    return title if corpus == OWN else f"{title} on {corpus}"


def span_text(values: pd.Series, unit: str) -> str:
    """One number, or the lowest and the highest, with a unit."""
    low = values.min()
    high = values.max()
    return f"{low:,.0f} {unit}" if low == high else f"{low:,.0f} to {high:,.0f} {unit}"


def lede(rows: pd.DataFrame) -> str:
    """The first sentence of a page: targets, documents, context lengths, training lengths."""
    rows = rows.loc[rows.nll.notna()]
    same = "the same " if len(rows[["documents", "tokens"]].drop_duplicates()) == 1 else ""
    return (
        f"Loss on {same}{span_text(rows.tokens, 'target tokens')} "
        f"in {on_corpus(rows, span_text(rows.documents, 'held-out documents'))}, "
        f"after {span_text(rows.context_length, 'tokens')} of context; "
        f"trained at {span_text(rows.trained_length, 'tokens')}."
    )


def facts(rows: pd.DataFrame, sources: Sequence[Source]) -> list[tuple[str, str]]:
    """The protocol of the headline rows: terms, each with a sentence or two."""
    measured = rows.loc[rows.nll.notna()]
    documents = span_text(measured.documents, "held-out documents")
    lengths = ", ".join(f"{int(n):,}" for n in sorted(rows.context_length.unique()))
    terms = [
        (
            "Targets",
            f"{blocks_text(rows, sources)}, drawn once, with a seed of their own: "
            f"{span_text(measured.tokens, 'tokens')} in all. They never change with the length, "
            "the scheme or the model's seed; only what stands before them does.",
        ),
        (
            "Documents",
            f"{documents}, those with more tokens than the longest context.",
        ),
        (
            "Lengths",
            f"{lengths} tokens. At length L the model reads the L tokens before the last label of "
            "a block's piece of K tokens, so a target's context is L - K + 1 to L tokens.",
        ),
        (
            "Crop baseline",
            "The loss of the run as trained at its training length, dotted: what cutting the "
            "context gives. Longer context is used only where a curve lies below it.",
        ),
    ]
    if (rows.extend == OWN_WINDOW).any():
        terms.append(
            (
                "Own window",
                "The same weights where a query sees the last keys alone, as many as the training "
                "length: below the crop baseline, text from farther back is used through the "
                "layers. What lies below this curve uses far keys themselves.",
            )
        )
    if (rows.extend == "floor").any():
        terms.append(
            (
                "Floor",
                "The best possible loss on these targets, given the same context; dashed, "
                "without a color.",
            )
        )
    terms += [
        (
            "Effective context",
            "The shortest measured context from which on the loss is within 1 % of that of the "
            "longest, with the interval over resampled documents; none where the loss of a shorter "
            "one is lower by more.",
        ),
        (
            "Intervals",
            f"{LEVEL:.0%} intervals over documents. They are wide because documents differ, and "
            "all curves share the documents. So how sure a difference is, only its own, paired "
            "interval says: that of each document's difference between the two curves. One "
            "document alone gives no interval.",
        ),
        (
            "Verdicts",
            "A length uses its context where the whole paired interval of its difference to the "
            f"crop baseline lies below 0; it survives up to {TOLERANCE:.0%} above the baseline's "
            "loss; it fails beyond.",
        ),
        (
            "Factors",
            "Of a scaling, “s matched” takes max(context, longest length trained) / original "
            "length at each point; “s = 16”, say, holds at all lengths and is dashed.",
        ),
        ("Seeds", seeds_text(rows)),
    ]
    return terms


def blocks_text(rows: pd.DataFrame, sources: Sequence[Source]) -> str:
    """The blocks of targets in a document, with their number and size if all runs share them."""
    shortest, longest = int(rows.context_length.min()), int(rows.context_length.max())
    evaluations = [source.run.config.evaluation for source in sources if source.run]
    allocations = {
        (evaluation.blocks, evaluation.block_size(longest), evaluation.scored_share)
        for evaluation in evaluations
    }
    if len(allocations) != 1:
        return "Blocks of tokens"
    blocks, size, share = allocations.pop()
    counted = f"Up to {blocks} blocks" if blocks > 1 else "A block"
    text = f"{counted} of {size} tokens in a document"
    if size > share * shortest:
        text += f", read in pieces of at most {share:.0%} of the context length"
    return text


def seeds_text(rows: pd.DataFrame) -> str:
    """The seeds of the curves, and what they can tell."""
    seeds = sorted(int(seed) for seed in rows.seed.unique())
    if len(seeds) == 1:
        meaning = "One seed says nothing of how training would vary."
    else:
        meaning = "Lines are means over seeds, bands the range of the seeds, not intervals."
    return f"{', '.join(map(str, seeds))}. {meaning}"
