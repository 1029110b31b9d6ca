"""What every protocol must hold, as functions of a protocol: they pass on the real ones and catch wrong variants.

A property is called with the protocol's name, its function from (documents, lengths, settings) to a plan, and how its
model is read (the identity, but for a mutant), and fails with an AssertionError.
"""

import functools
from typing import NamedTuple

import numpy as np
import pytest
import torch

from posext.eval.protocols import ProtocolPlan, ProtocolSettings, measure_protocol
from posext.eval.scoring import score_windows

VOCABULARY, SIZE, LENGTHS, STRIDE = (
    11,
    4,
    [8, 16, 32, 64],
    6,
)  # the stride that stands in for the presets' 256
SETTINGS = ProtocolSettings(train_length=16, size=SIZE, blocks=3)
rng = np.random.default_rng(0)


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


COUNTS = (40, 65, 66, 67, 100, 300, 64)
RANDOM = Corpus([rng.integers(0, VOCABULARY, size=n) for n in COUNTS])
ZEROS = Corpus([np.zeros(n, dtype=np.int64) for n in COUNTS])
PLACES = Corpus([np.arange(n) for n in COUNTS])  # every token names its place
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


def contexts(name, n, length):
    """By hand: tokens of context of every label of a document of n tokens that is scored at a context length."""
    longest, eighth = LENGTHS[-1], max(1, length // 8)
    slid = range(length - STRIDE + 1, length + 1)
    return {
        "fixed_target": [*range(length - SIZE + 1, length + 1)]
        * min(3, 1 + (n - 1 - longest) // SIZE),
        "far_copy": [*range(length - SIZE + 1, length + 1)]
        * min(12, 1 + (n - 1 - longest) // SIZE),
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


def closed_form(name, make_plan, read):
    """Tokens of every document, its sum, and the corpus mean, are those of the contexts counted by hand."""
    sums = measure_protocol(make_plan, read(by_context), ZEROS, LENGTHS, SETTINGS)
    lengths = LENGTHS if name != "per_position" else LENGTHS[-1:]
    assert sorted(set(sums.context_length)) == lengths
    for length in lengths:
        expected = {f"d{d}": contexts(name, COUNTS[d], length) for d in KEPT}
        at = (
            sums.loc[sums.context_length == length]
            .groupby("document")[["nll", "weight", "tokens"]]
            .sum()
        )
        unit = 1 / (length - 1) if name in ("yarn_paper", "longlora") else 1
        assert {d: n for d, n in at.tokens.items() if n} == {
            d: len(of) for d, of in expected.items() if of
        }
        for document, row in at.iterrows():
            assert row.nll == pytest.approx(unit * sum(map(cost, expected[document])), rel=1e-5)
        everything = np.concatenate([[cost(n) for n in of] for of in expected.values()])
        assert at.nll.sum() / at.weight.sum() == pytest.approx(everything.mean(), rel=1e-5)


def once(name, make_plan, read):
    """No label is scored twice."""
    plan = make_plan(PLACES, LENGTHS, SETTINGS)
    for length in plan.windows if name != "longlora" else []:
        scored = targets(plan, length)
        assert len(scored) == len(set(scored))


def same_at_every_length(name, make_plan, read):
    """The labels scored, and their groups, do not depend on the context length."""
    plan = make_plan(RANDOM, LENGTHS, SETTINGS)
    if name not in ("yarn_paper", "longlora"):
        groups = [
            {
                t: g
                for w in windows
                for t, g in zip(targets(ProtocolPlan({0: [w]}), 0), plan.groups(w), strict=True)
            }
            for windows in plan.windows.values()
        ]
        assert all(of_length == groups[0] for of_length in groups)


def none_left_out(name, make_plan, read):
    """The labels scored are all there are; where blocks are drawn, each is in some draw."""
    longest = LENGTHS[-1]
    first = {
        "sliding": longest + 1,
        "fixed_target": longest - SIZE + 1,
        "far_copy": longest - SIZE + 1,
    }.get(name, 1)
    drawn = name in ("fixed_target", "far_copy", "per_position")
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


def label_is_the_next_token(name, make_plan, read):
    """A model that puts all its mass on the token after each input loses nothing."""
    plan = make_plan(PLACES, LENGTHS, SETTINGS)
    for windows in plan.windows.values():
        assert (
            max(
                nll.max() for nll in score_windows(read(next_place), PLACES.document, windows, 4096)
            )
            < 1e-6
        )


PROPERTIES = [closed_form, once, same_at_every_length, none_left_out, label_is_the_next_token]
