"""Wrong variants of every protocol, each a mistake that evaluators make: at least one property catches each."""

import pytest
from helpers.protocol_properties import PROPERTIES, STRIDE, Corpus

from posext.eval.protocols import PROTOCOLS, published


@pytest.fixture(autouse=True)
def _small_stride(monkeypatch):
    monkeypatch.setattr(published, "STRIDE", STRIDE)


def same(model):
    return model


def each_window(change):
    """A protocol whose windows at each length are changed."""

    def mutant(make_plan):
        def changed(documents, lengths, settings):
            plan = make_plan(documents, lengths, settings)
            return plan._replace(
                windows={length: change(windows) for length, windows in plan.windows.items()}
            )

        return changed

    return mutant


def without_the_tail(make_plan):
    def shortened(documents, lengths, settings):
        return make_plan(Corpus([tokens[:-1] for tokens in documents.tokens]), lengths, settings)

    return shortened


def targets_of_each_length(make_plan):
    def differing(documents, lengths, settings):
        plans = {length: make_plan(documents, [length], settings) for length in lengths}
        return plans[lengths[-1]]._replace(
            windows={n: plan.windows[n] for n, plan in plans.items()}
        )

    return differing


mean_of_window_means = each_window(
    lambda windows: [w._replace(weight=1 / w.scored) for w in windows]
)
overlapping_targets = each_window(
    lambda ws: ws + [w._replace(end=w.end - 1) for w in ws if w.end > w.length]
)
last_window_dropped = each_window(lambda windows: windows[:-1])


def labels_shifted(model):
    """The logits of a position are read as those of the one before."""
    return lambda tokens: model(tokens).roll(1, dims=1)


ALL = list(PROTOCOLS)
PREFIXES = ["pi", "yarn_paper"]  # the end of a document is never theirs
MUTANTS = [
    (mean_of_window_means, same, [name for name in ALL if name not in ("yarn_paper", "longlora")]),
    (lambda plan: plan, labels_shifted, ALL),
    (without_the_tail, same, ALL),
    (last_window_dropped, same, ALL),
    (
        targets_of_each_length,
        same,
        [n for n in ALL if n not in ("yarn_paper", "longlora", "per_position")],
    ),
    (overlapping_targets, same, [n for n in ALL if n not in PREFIXES]),
]
NAMES = "mean_of_window_means labels_shifted without_the_tail last_window_dropped targets_of_each_length overlapping".split()
CASES = [
    pytest.param(mutate, read, name, id=f"{mutant}-{name}")
    for mutant, (mutate, read, names) in zip(NAMES, MUTANTS, strict=True)
    for name in names
]


def caught(name, make_plan, read):
    """The properties that fail."""
    failing = []
    for holds in PROPERTIES:
        try:
            holds(name, make_plan, read)
        except AssertionError:
            failing.append(holds.__name__)
    return failing


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("holds", PROPERTIES, ids=lambda p: p.__name__)
def test_a_protocol_holds_every_property(name, holds):
    holds(name, PROTOCOLS[name], same)


@pytest.mark.parametrize(("mutate", "read", "name"), CASES)
def test_a_property_catches_every_mutant(mutate, read, name):
    assert caught(name, mutate(PROTOCOLS[name]), read)
