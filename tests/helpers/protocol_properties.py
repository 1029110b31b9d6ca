"""Properties of every protocol, which real protocols have and wrong variants lack.

A property is a function of a protocol's name, its function from (documents, lengths, settings) to a
plan, and `read`, which changes how a model is read (the identity for a real protocol). It raises
AssertionError if the protocol lacks it.
"""

import functools
from typing import NamedTuple

import numpy as np
import pytest
import torch

from posext.eval.protocols import ProtocolPlan, ProtocolSettings, measure_protocol
from posext.eval.scoring import score_windows

VOCABULARY = 11
SIZE = 4  # targets of a block
LENGTHS = [8, 16, 32, 64]
STRIDE = 6  # stands in for the presets' 256
SHORT = 20  # tokens of a short context at most, for the judge


def knows_even_places(documents, windows):
    """Judge of key tokens: what stands at an even place is known after a long context."""
    known = [window.length > SHORT for window in windows]
    places = [np.arange(window.labels.start, window.labels.stop) for window in windows]
    return [np.where(at % 2, 5.0, 0.0 if k else 9.0) for at, k in zip(places, known, strict=True)]


SETTINGS = ProtocolSettings(train_length=16, size=SIZE, blocks=3, judge=knows_even_places)
COUNTS = (40, 65, 66, 67, 100, 300, 64)  # tokens of each document


class Corpus(NamedTuple):
    tokens: list[np.ndarray]

    @property
    def lengths(self):
        return [len(tokens) for tokens in self.tokens]

    @property
    def names(self):
        return [f"d{index}" for index in range(len(self.tokens))]

    def document(self, index):
        return self.tokens[index]


def random_corpus(counts=COUNTS, symbols=VOCABULARY, seed=0) -> Corpus:
    """Return documents with so many uniform tokens."""
    rng = np.random.default_rng(seed)
    return Corpus([rng.integers(0, symbols, size=count) for count in counts])


RANDOM = random_corpus()
ZEROS = Corpus([np.zeros(n, dtype=np.int64) for n in COUNTS])
PLACES = Corpus([np.arange(n) for n in COUNTS])  # each token is its own index
# Where plans have other context lengths than LENGTHS
LENGTHS_OF = {"per_position": LENGTHS[-1:], "perturbed": [1, 2, 4, 8, 16, 32, 64]}
KEPT = [index for index, n in enumerate(COUNTS) if n > LENGTHS[-1]]


def uniform(tokens):
    return torch.zeros(*tokens.shape, VOCABULARY)


def cost(n):
    return 1 + 1 / n


@functools.cache
def costs(length):
    """Logits that lose cost(n) nats on the label 0 after n tokens of context."""
    right = torch.exp(-torch.tensor([cost(n) for n in range(1, length + 1)], dtype=torch.float64))
    logits = ((1 - right) / (VOCABULARY - 1)).log()[:, None].repeat(1, VOCABULARY)
    logits[:, 0] = right.log()
    return logits.float()


def by_context(tokens):
    return costs(tokens.shape[1]).expand(tokens.shape[0], -1, -1)


def next_place(tokens):
    return 100.0 * torch.nn.functional.one_hot(tokens + 1, max(COUNTS) + 1).float()


def perturbed_contexts(kept):
    """Tokens of context of a block's targets: shuffled, replaced and dropped, or intact."""
    block = [*range(LENGTHS[-1] - SIZE + 1, LENGTHS[-1] + 1)]
    return block if kept == LENGTHS[-1] else block * 2 + [*range(kept, kept + SIZE)]


def contexts(name, n, length):
    """Tokens of context of every scored label of a document of n tokens, counted by hand."""
    longest = LENGTHS[-1]
    eighth = max(1, length // 8)
    slots = 1 + (n - 1 - longest) // SIZE
    block = [*range(length - SIZE + 1, length + 1)]
    slid = range(length - STRIDE + 1, length + 1)
    return {
        "fixed_target": block * min(3, slots),
        "far_copy": block * min(12, slots),
        "key_tokens": block * min(12, slots),
        "perturbed": perturbed_contexts(length) * min(3, slots),
        "per_position": [*range(1, longest + 1)] * min(3, (n - 1) // longest),
        "nonoverlap": [(label - 1) % length + 1 for label in range(1, n)],
        "alibi": [(label - 1) % length + 1 for label in range(1, n)],
        "sliding": [
            length - eighth + 1 + (label - longest - 1) % eighth for label in range(longest + 1, n)
        ],
        "alibi_s1": [min(label, length) for label in range(1, n)],
        "pi": [i if i <= length else slid[(i - length - 1) % STRIDE] for i in range(1, longest)],
        "yarn_paper": [*range(1, length)],
        "longlora": [*range(1, length)] * len(range(0, n - length, STRIDE)),
    }[name]


def targets(plan: ProtocolPlan, length: int) -> list[tuple[int, int]]:
    return [
        (w.document, label)
        for w in plan.windows[length]
        for label in range(w.labels.start, w.labels.stop)
    ]


def group_of_targets(plan: ProtocolPlan, length: int) -> list[tuple[tuple[int, int], str]]:
    groups = [group for w in plan.windows[length] for group in plan.groups(w)]
    return list(zip(targets(plan, length), groups, strict=True))


def groups_by_target(plan: ProtocolPlan, length: int) -> dict[tuple[int, int], str]:
    return dict(group_of_targets(plan, length))


def has_counted_contexts(name, make_plan, read):
    """Tokens and sum of every document, and the mean, are those of contexts counted by hand."""
    sums = measure_protocol(make_plan, read(by_context), ZEROS, LENGTHS, SETTINGS)
    lengths = LENGTHS_OF.get(name, LENGTHS)
    assert sorted(set(sums.context_length)) == lengths
    for length in lengths:
        expected = {f"d{d}": contexts(name, COUNTS[d], length) for d in KEPT}
        of_length = sums.loc[sums.context_length == length]
        by_document = of_length.groupby("document")[["nll", "weight", "tokens"]].sum()
        unit = 1 / (length - 1) if name in ("yarn_paper", "longlora") else 1
        scored = {document: n for document, n in by_document.tokens.items() if n}
        assert scored == {document: len(counts) for document, counts in expected.items() if counts}
        for document, row in by_document.iterrows():
            assert row.nll == pytest.approx(unit * sum(map(cost, expected[document])), rel=1e-5)
        all_costs = [cost(n) for counts in expected.values() for n in counts]
        mean = by_document.nll.sum() / by_document.weight.sum()
        assert mean == pytest.approx(np.mean(all_costs), rel=1e-5)


def scores_labels_once(name, make_plan, read):
    plan = make_plan(PLACES, LENGTHS, SETTINGS)
    for length in plan.windows if name != "longlora" else []:
        scored = targets(plan, length) if name != "perturbed" else group_of_targets(plan, length)
        assert len(scored) == len(set(scored))


def scores_the_same_labels_at_every_length(name, make_plan, read):
    """The labels scored, and their groups, do not depend on the context length."""
    plan = make_plan(RANDOM, LENGTHS, SETTINGS)
    if name == "perturbed":
        scored = [set(targets(plan, length)) for length in plan.windows]
        assert all(of_length == scored[0] for of_length in scored)
    elif name not in ("yarn_paper", "longlora"):
        groups = [groups_by_target(plan, length) for length in plan.windows]
        assert all(of_length == groups[0] for of_length in groups)


def scores_all_labels(name, make_plan, read):
    """The labels scored are all there are; where blocks are drawn, each is in some draw."""
    longest = LENGTHS[-1]
    first = {
        "sliding": longest + 1,
        "fixed_target": longest - SIZE + 1,
        "far_copy": longest - SIZE + 1,
        "key_tokens": longest - SIZE + 1,
        "perturbed": longest - SIZE + 1,
    }.get(name, 1)
    drawn = name in ("fixed_target", "far_copy", "key_tokens", "per_position", "perturbed")
    if name in ("yarn_paper", "longlora"):
        return
    for length in LENGTHS[-1:] if drawn else LENGTHS:
        scored = set()
        for seed in range(400 if drawn else 1):
            settings = ProtocolSettings(train_length=16, size=SIZE, blocks=1000, seed=seed)
            scored |= set(targets(make_plan(PLACES, LENGTHS, settings), length))
        assert scored == {
            (d, i) for d in KEPT for i in range(first, longest if name == "pi" else COUNTS[d])
        }


def scores_the_next_token(name, make_plan, read):
    """A model that puts all its mass on the token after each input loses nothing."""
    plan = make_plan(PLACES, LENGTHS, SETTINGS)
    for windows in plan.windows.values():
        scored = score_windows(read(next_place), PLACES.document, windows, 4096)
        assert max(nll.max() for nll in scored) < 1e-6


PROPERTIES = [
    has_counted_contexts,
    scores_labels_once,
    scores_the_same_labels_at_every_length,
    scores_all_labels,
    scores_the_next_token,
]
