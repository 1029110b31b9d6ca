"""Protocols against closed forms, brute force and one another.

The properties that all protocols share are in test_protocol_properties.py.
"""

import numpy as np
import pytest
import torch
from helpers.protocol_properties import (
    COUNTS,
    LENGTHS,
    RANDOM,
    SETTINGS,
    SIZE,
    STRIDE,
    VOCABULARY,
    Corpus,
    random_corpus,
    targets,
    uniform,
)

from posext.config import ModelConfig
from posext.eval.protocols import (
    COMPARABLE,
    PROTOCOLS,
    ProtocolSettings,
    measure_protocol,
    published,
)
from posext.eval.protocols.far_copy import previous
from posext.eval.scoring import TargetWindow, score_windows
from posext.model.gpt import GPT
from posext.pe import build

LONGEST = LENGTHS[-1]


def gpt() -> GPT:
    config = ModelConfig(
        name="test", n_layers=2, n_heads=2, d_model=16, d_ff=32, learning_rate=1e-3
    )
    pe = build("rope", head_dim=8, n_heads=2, d_model=16, train_length=16)
    model = GPT(config, VOCABULARY, pe).initialize(0).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # Fresh weights have almost uniform attention.
            parameter.mul_(8 if parameter.ndim == 2 else 1)
    return model


def by_label(name, length, **changes):
    """Return the NLL of every (document, label) of a protocol at one length, under a GPT."""
    plan = PROTOCOLS[name](RANDOM, LENGTHS, ProtocolSettings(**(vars(SETTINGS) | changes)))
    with torch.no_grad():
        scored = score_windows(gpt(), RANDOM.document, plan.windows[length], 512)
    return dict(zip(targets(plan, length), np.concatenate(scored).tolist(), strict=True))


def mean_by_length(sums):
    total = sums.groupby("context_length")[["nll", "weight"]].sum()
    return total.nll / total.weight


@pytest.fixture
def small_stride(monkeypatch):
    monkeypatch.setattr(published, "STRIDE", STRIDE)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocol_perplexity_of_a_uniform_model(name, small_stride):
    nll = mean_by_length(measure_protocol(PROTOCOLS[name], uniform, RANDOM, LENGTHS, SETTINGS))
    assert np.exp(nll).tolist() == pytest.approx([VOCABULARY] * len(nll), rel=1e-6)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocol_is_independent_of_batch_size_and_order(name, small_stride):
    model = gpt()
    plan = PROTOCOLS[name](RANDOM, LENGTHS, SETTINGS)

    def nll(length, tokens_per_batch):
        return score_windows(model, RANDOM.document, plan.windows[length], tokens_per_batch)

    lengths = list(plan.windows)[:2]
    with torch.no_grad():
        one_by_one = {length: nll(length, 1) for length in lengths}
        together = {length: nll(length, 1000) for length in reversed(lengths)}
    for length in lengths:
        np.testing.assert_allclose(
            np.concatenate(one_by_one[length]), np.concatenate(together[length]), atol=2e-5
        )


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocol_refuses_documents_that_are_too_short(name):
    message = r"no held-out document has 51[34] tokens.*the longest has 300"
    with pytest.raises(ValueError, match=message):
        PROTOCOLS[name](RANDOM, [256, 512], SETTINGS)


@pytest.fixture
def curve_of_reach():
    """Curves of a model that knows a label by the token 10 before it, by protocol."""
    reach = 10
    periodic = Corpus([np.arange(n) % reach for n in COUNTS])

    def model(tokens):
        logits = torch.zeros(*tokens.shape, VOCABULARY)
        if tokens.shape[1] >= reach:
            seen = tokens[:, : tokens.shape[1] - reach + 1]
            logits[:, reach - 1 :] = 5 * torch.nn.functional.one_hot(seen, VOCABULARY).float()
        return logits

    def curve(name, **changes):
        settings = ProtocolSettings(16, SIZE, **changes)
        sums = measure_protocol(PROTOCOLS[name], model, periodic, LENGTHS, settings)
        return mean_by_length(sums).to_dict()

    return curve


@pytest.mark.parametrize(
    ("name", "changes"), [("fixed_target", {}), ("sliding", {"stride": SIZE})], ids=str
)
def test_comparable_protocol_is_flat_beyond_what_a_model_sees(curve_of_reach, name, changes):
    curve = curve_of_reach(name, **changes)
    assert curve[16] == pytest.approx(curve[64], rel=1e-6)
    assert curve[8] > curve[16] + 1


@pytest.mark.parametrize("name", ["nonoverlap", "alibi", "yarn_paper"])
def test_protocol_of_blocks_falls_beyond_what_a_model_sees(curve_of_reach, name):
    curve = curve_of_reach(name)
    assert curve[8] > curve[16] > curve[32] + 0.1 > curve[64] + 0.2


@pytest.mark.parametrize("length", LENGTHS[1:])
def test_sliding_by_whole_windows_is_nonoverlap(length):
    """It is so after the labels of the longest context, which sliding leaves out."""
    settings = ProtocolSettings(16, SIZE, stride=length)
    plan = PROTOCOLS["sliding"](RANDOM, [length, LONGEST], settings)
    nonoverlap = PROTOCOLS["nonoverlap"](RANDOM, LENGTHS, SETTINGS)
    after = [w for w in nonoverlap.windows[length] if w.labels.start > LONGEST]
    assert plan.windows[length] == after


def test_sliding_by_one_token_is_brute_force():
    model = gpt()
    slid = by_label("sliding", 16, stride=1)
    assert set(slid) == {(d, i) for d, n in enumerate(COUNTS) for i in range(LONGEST + 1, n)}
    with torch.no_grad():
        for (document, label), nll in list(slid.items())[::10]:
            tokens = torch.from_numpy(RANDOM.document(document))
            logits = model(tokens[None, label - 16 : label])[0, -1]
            assert nll == pytest.approx(-float(logits.log_softmax(-1)[tokens[label]]), abs=1e-5)


def test_per_position_p_is_a_context_of_p_tokens():
    """It is so under a scheme that ignores the context length."""
    model = gpt()
    plan = PROTOCOLS["per_position"](RANDOM, LENGTHS, SETTINGS)
    windows = plan.windows[LONGEST]
    with torch.no_grad():
        whole = score_windows(model, RANDOM.document, windows, 512)
        for p in (1, 2, 7, 8, 33, 64):
            at = [TargetWindow(w.document, w.end - LONGEST + p, p, 1) for w in windows]
            alone = np.concatenate(score_windows(model, RANDOM.document, at, 512))
            np.testing.assert_allclose([nll[p - 1] for nll in whole], alone, atol=1e-5)


def test_per_position_buckets_are_named_by_longest_context():
    settings = ProtocolSettings(16, SIZE, blocks=1)
    sums = measure_protocol(PROTOCOLS["per_position"], uniform, RANDOM, [8, 48], settings)
    tokens = sums.groupby("group").tokens.max().to_dict()
    assert tokens == {"1": 1, "2": 1, "4": 2, "8": 4, "16": 8, "32": 16, "48": 16}


def test_far_copy_groups_are_those_of_brute_force():
    """A far copy was last seen beyond the training length, whole within the longest context."""
    corpus = random_corpus(counts=(100, 300), symbols=3, seed=1)
    plan = PROTOCOLS["far_copy"](corpus, LENGTHS, ProtocolSettings(16, SIZE, blocks=50))
    groups, expected = [], []
    for window in plan.windows[LONGEST]:
        tokens = corpus.document(window.document)
        groups += list(plan.groups(window))
        for label in range(window.labels.start, window.labels.stop):
            ngram = tokens[label - 3 : label + 1].tolist()
            seen = [i for i in range(3, label) if tokens[i - 3 : i + 1].tolist() == ngram]
            within = any(i - 3 >= window.end - LONGEST for i in seen)
            beyond = all(label - i > 16 for i in seen)
            expected.append("far" if within and beyond else "rest")
    assert groups == expected
    assert set(groups) == {"far", "rest"}


def test_far_beyond_stands_in_place_of_the_training_length():
    """Runs that were trained at several lengths are compared on one set of far copies."""
    corpus = Corpus(np.random.default_rng(0).integers(3, size=(4, 400)))

    def groups(settings: ProtocolSettings) -> list[list[str]]:
        plan = PROTOCOLS["far_copy"](corpus, LENGTHS, settings)
        return [plan.groups(window).tolist() for window in plan.windows[LENGTHS[-1]]]

    trained_short = groups(ProtocolSettings(8, SIZE))
    assert groups(ProtocolSettings(16, SIZE, far_beyond=8)) == trained_short
    assert groups(ProtocolSettings(16, SIZE)) != trained_short


def test_far_copy_has_the_same_targets_at_every_length():
    corpus = random_corpus(counts=[300], symbols=3, seed=1)
    sums = measure_protocol(PROTOCOLS["far_copy"], uniform, corpus, LENGTHS, SETTINGS)
    assert (sums.groupby("group").tokens.nunique() == 1).all()


def test_far_copy_refuses_short_n_grams():
    with pytest.raises(ValueError, match="ngram must be at least 3, not 2"):
        PROTOCOLS["far_copy"](RANDOM, LENGTHS, ProtocolSettings(16, SIZE, ngram=2))


def test_previous_finds_the_last_place_of_an_n_gram():
    tokens = np.array([1, 2, 3, 4, 1, 2, 3, 4, 5, 2, 3, 4, 5])
    assert previous(tokens, 3).tolist() == [-1] * 7 + [3] + [-1] * 4 + [8]
    assert previous(np.array([1, 2]), 3).tolist() == [-1, -1]


def test_published_protocols_are_not_comparable():
    assert published.STRIDE == 256
    assert not COMPARABLE & {"alibi", "alibi_s1", "pi", "yarn_paper", "longlora"}
    assert set(PROTOCOLS) >= COMPARABLE
