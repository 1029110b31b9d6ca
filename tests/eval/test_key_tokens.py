"""`key_tokens` on judges whose use of their context is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.perturbed import V, bag, copier, one_hot, voter
from helpers.protocol_properties import Corpus, random_corpus, uniform

from posext.analysis import key_choice
from posext.eval.protocols import PROTOCOLS, ProtocolSettings, measure_protocol
from posext.eval.scoring import score_windows

SHORT = 16  # the judge reads 16 or 17 tokens
LONG = 64
LENGTHS = [8, SHORT, LONG]
SETTINGS = ProtocolSettings(train_length=SHORT, size=4, blocks=10)
RANDOM = random_corpus([400] * 20, symbols=V)


def by(model, **changes):
    """Settings with a model as the judge."""

    def judge(documents, windows):
        return score_windows(model, documents.document, windows, 4096)

    return replace(SETTINGS, judge=judge, **changes)


def plan_of(corpus, settings):
    return PROTOCOLS["key_tokens"](corpus, LENGTHS, settings)


def keys_of(plan):
    """(document, label) of the keys, and of all targets."""
    keys, targets = set(), set()
    for window in plan.windows[LONG]:
        for label, group in zip(
            range(window.labels.start, window.labels.stop), plan.groups(window), strict=True
        ):
            targets.add((window.document, label))
            if group == "key":
                keys.add((window.document, label))
    return keys, targets


def nll_of(sums):
    total = sums.groupby(["group", "context_length"])[["nll", "weight"]].sum()
    return (total.nll / total.weight).to_dict()


@pytest.mark.parametrize(
    "judge",
    [voter(SHORT), copier(1), copier(SHORT), uniform],
    ids=["voter", "near", "short", "uniform"],
)
def test_key_tokens_has_none_for_a_judge_that_looks_back_no_farther(judge):
    plan = plan_of(RANDOM, by(judge))
    keys, targets = keys_of(plan)
    assert not keys
    assert plan.counts[["keys", "mirrored", "far_keys"]].to_numpy().sum() == 0
    assert plan.counts.targets.sum() == len(targets) == 4 * 4 * 10 * 20


@pytest.mark.parametrize("distance", [SHORT + 2, 40, LONG - 3])
def test_key_tokens_are_the_right_copies_of_a_judge_that_copies(distance):
    keys, targets = keys_of(plan_of(RANDOM, by(copier(distance))))
    assert keys == {
        (document, label)
        for document, label in targets
        if RANDOM.tokens[document][label] == RANDOM.tokens[document][label - distance]
    }
    assert 0 < len(keys) < len(targets) / 5


def test_key_tokens_judge_reads_at_least_the_short_context():
    """Of two targets read at once the second has one token more, and is no key 17 tokens away."""
    corpus = Corpus([np.arange(400) % (SHORT + 1) for _ in range(3)])
    symbols = SHORT + 1

    def model(tokens):
        logits = torch.zeros(*tokens.shape, symbols)
        if tokens.shape[1] > SHORT:
            seen = torch.nn.functional.one_hot(tokens[:, :-SHORT], symbols)
            logits[:, SHORT:] = 6.0 * seen
        return logits

    plan = plan_of(corpus, by(model, blocks=1))
    keys, _ = keys_of(plan)
    starts = [(window.document, window.labels.start) for window in plan.windows[LONG]]
    assert keys == {(document, start + k) for document, start in starts for k in (0, 2)}


def test_key_tokens_of_a_judge_that_ignores_order_are_words_not_seen_lately():
    """They need no copy: by counts in numpy, with an order or without."""
    rng = np.random.default_rng(0)
    late = Corpus([np.where(np.arange(400) // 20 % 2, *draws(rng)) for _ in range(20)])
    settings = by(bag, key_alpha=1.5, key_beta=-2.5)
    keys, targets = keys_of(plan_of(late, settings))
    windows = plan_of(late, settings).windows[LONG]
    start = {(w.document, label): w.end - LONG for w in windows for label in labels(w)}
    expected = set()
    for document, label in targets:
        text, token = late.tokens[document], late.tokens[document][label]
        short = label - SHORT - (label - start[document, label] - LONG + 3) % 2
        p_long, p_short = (
            (np.sum(text[first:label] == token) + 0.1) / (label - first + 0.1 * V)
            for first in (start[document, label], short)
        )
        if np.log(p_long / p_short) > 1.5 and np.log(p_long) > -2.5:
            expected.add((document, label))
    assert keys == expected
    assert len(keys) > 20
    counts = plan_of(late, settings).counts
    assert counts.far_keys.sum() < 0.2 * counts["keys"].sum()


def draws(rng):
    return rng.integers(0, 4, 400), rng.integers(4, 8, 400)


def labels(window):
    return range(window.labels.start, window.labels.stop)


@pytest.mark.parametrize(("period", "short", "share"), [(40, SHORT, 1), (24, 16, 1), (24, 32, 0)])
def test_key_tokens_are_far_copies_where_all_is_copied(period, short, share):
    """All keys are far copies and the reverse, where the copy is beyond the short context."""
    rng = np.random.default_rng(0)
    corpus = Corpus([np.resize(rng.permutation(period), 400) for _ in range(5)])

    def model(tokens):
        logits = torch.zeros(*tokens.shape, period)
        if tokens.shape[1] >= period:
            seen = torch.nn.functional.one_hot(tokens[:, : 1 - period], period)
            logits[:, period - 1 :] = 9.0 * seen
        return logits

    counts = plan_of(corpus, by(model, key_short=short)).counts
    for name in ("keys", "far", "far_keys"):
        assert counts[name].tolist() == (share * counts.targets).tolist()


@pytest.mark.parametrize(
    ("long", "short", "is_key", "is_mirrored"),
    [
        (1.0, 3.5, True, False),
        (1.0, 3.0, False, False),  # no more than alpha
        (2.0, 9.0, False, False),  # no more than beta
        (3.5, 1.0, False, True),
        (0.1, 0.2, False, False),
    ],
)
def test_key_tokens_limits_gain_and_likelihood(long, short, is_key, is_mirrored):
    def judge(documents, windows):
        return [np.full(w.scored, long if w.length == LONG else short) for w in windows]

    plan = plan_of(RANDOM, replace(SETTINGS, judge=judge))
    totals = plan.counts.drop(columns="document").sum()
    targets = totals.targets
    assert (totals["keys"], totals.mirrored) == (targets * is_key, targets * is_mirrored)
    assert (totals.nll_long, totals.nll_short) == pytest.approx((targets * long, targets * short))
    assert (plan.groups(plan.windows[8][0]) == ("key" if is_key else "rest")).all()


def test_key_tokens_measures_another_model_on_the_keys_of_a_judge():
    """The model copies too, from nearer: its loss on keys is known at each length."""
    copies = np.log1p((V - 1) / np.e**5)
    settings = by(copier(40))
    sums = measure_protocol(PROTOCOLS["key_tokens"], copier(40), RANDOM, LENGTHS, settings)
    own = nll_of(sums)
    assert own["key", LONG] == pytest.approx(copies, rel=1e-5)
    assert own["key", 8] == own["key", SHORT] == pytest.approx(np.log(V))
    assert own["rest", LONG] == pytest.approx(5 + copies, rel=1e-3)
    other = nll_of(measure_protocol(PROTOCOLS["key_tokens"], uniform, RANDOM, LENGTHS, settings))
    assert list(other.values()) == pytest.approx([np.log(V)] * len(other))


def noise(seed):
    """A model that knows nothing: its logits are noise that changes with the context."""

    def model(tokens):
        generator = torch.Generator().manual_seed(1000 * seed + tokens.shape[1])
        table = torch.randn(V, V, generator=generator)
        return one_hot(tokens) @ (2.0 * table)

    return model


def test_key_tokens_of_noise_favour_their_judge_and_are_mirrored():
    settings = by(noise(0), key_alpha=1.0)
    own, other = (
        nll_of(measure_protocol(PROTOCOLS["key_tokens"], noise(seed), RANDOM, LENGTHS, settings))
        for seed in (0, 1)
    )
    assert own["key", 8] - own["key", LONG] > 1
    assert abs(other["key", 8] - other["key", LONG]) < 0.5
    counts = plan_of(RANDOM, settings).counts.assign(run="noise", judge="itself")
    mirrored = key_choice.key_choice(counts).mirrored
    assert 0.6 < mirrored.value < 1.6


def test_key_tokens_needs_a_judge_for_its_groups():
    plan = plan_of(RANDOM, SETTINGS)
    with pytest.raises(ValueError, match="needs a judge to choose its keys"):
        plan.groups(plan.windows[LONG][0])


def test_key_tokens_needs_twice_the_short_context():
    with pytest.raises(ValueError, match=r"needs a context of 66 tokens.*the longest is 64"):
        plan_of(RANDOM, by(uniform, key_short=33))
    assert len(keys_of(plan_of(RANDOM, by(copier(40), key_short=32)))[0]) > 0
