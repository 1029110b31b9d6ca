"""Properties of every protocol, and wrong variants that make mistakes of real evaluators.

At least one property fails for each wrong variant.
"""

import pytest
from helpers.protocol_properties import PROPERTIES, STRIDE, Corpus

from posext.eval.protocols import PROTOCOLS, published


@pytest.fixture(autouse=True)
def _small_stride(monkeypatch):
    monkeypatch.setattr(published, "STRIDE", STRIDE)


def unchanged(model_or_protocol):
    return model_or_protocol


def with_windows(change):
    """Return a mutation that changes a protocol's windows at each length."""

    def mutate(make_plan):
        def mutant(documents, lengths, settings):
            plan = make_plan(documents, lengths, settings)
            windows = {length: change(windows) for length, windows in plan.windows.items()}
            return plan._replace(windows=windows)

        return mutant

    return mutate


def without_last_tokens(make_plan):
    def mutant(documents, lengths, settings):
        return make_plan(Corpus([tokens[:-1] for tokens in documents.tokens]), lengths, settings)

    return mutant


def with_targets_of_each_length(make_plan):
    def mutant(documents, lengths, settings):
        plans = {length: make_plan(documents, [length], settings) for length in lengths}
        windows = {length: plan.windows[length] for length, plan in plans.items()}
        plan_of = {window: plans[length] for length in lengths for window in windows[length]}

        def groups(window):
            return plan_of[window].groups(window)

        return plans[lengths[-1]]._replace(windows=windows, groups=groups)

    return mutant


def with_weights_of_window_means(windows):
    return [w._replace(weight=1 / w.scored) for w in windows]


def with_overlapping_targets(windows):
    return windows + [w._replace(end=w.end - 1) for w in windows if w.end > w.length]


def without_last_window(windows):
    return windows[:-1]


def with_labels_shifted(model):
    """Read the logits of a position as those of the one before."""
    return lambda tokens: model(tokens).roll(1, dims=1)


def all_but(*names):
    return [name for name in PROTOCOLS if name not in names]


# By name: the mutated protocol, how models are read, and the protocols that it is a mistake in.
# `pi` and `yarn_paper` read the start of a document alone, `per_position` has windows of the
# longest length alone, and `yarn_paper` and `longlora` weigh windows already.
MUTANTS = {
    "mean_of_window_means": (
        with_windows(with_weights_of_window_means),
        unchanged,
        all_but("yarn_paper", "longlora"),
    ),
    "labels_shifted": (unchanged, with_labels_shifted, all_but()),
    "without_the_tail": (without_last_tokens, unchanged, all_but()),
    "last_window_dropped": (with_windows(without_last_window), unchanged, all_but()),
    "targets_of_each_length": (
        with_targets_of_each_length,
        unchanged,
        all_but("yarn_paper", "longlora", "per_position"),
    ),
    "overlapping_targets": (
        with_windows(with_overlapping_targets),
        unchanged,
        all_but("pi", "yarn_paper"),
    ),
}
CASES = [
    pytest.param(mutate, read, name, id=f"{mutant}-{name}")
    for mutant, (mutate, read, names) in MUTANTS.items()
    for name in names
]


def failing_properties(name, make_plan, read):
    failing = []
    for has_property in PROPERTIES:
        try:
            has_property(name, make_plan, read)
        except AssertionError:
            failing.append(has_property.__name__)
    return failing


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("has_property", PROPERTIES, ids=lambda check: check.__name__)
def test_protocol_has_property(name, has_property):
    has_property(name, PROTOCOLS[name], unchanged)


@pytest.mark.parametrize(("mutate", "read", "name"), CASES)
def test_properties_catch_mutant(mutate, read, name):
    assert failing_properties(name, mutate(PROTOCOLS[name]), read)
