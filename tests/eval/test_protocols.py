"""Protocols against closed forms, brute force and one another; the properties that all share are in test_mutants.py."""

import math
from types import SimpleNamespace

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
from posext.eval.scoring import TargetWindow, score_windows, target_nll
from posext.model import loss
from posext.model.gpt import GPT
from posext.model.loss import chunked_nll
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
            parameter.mul_(
                8 if parameter.ndim == 2 else 1
            )  # far from the uniform attention of fresh weights
    return model


def by_label(name, length, **changes):
    """The NLL of every (document, label) of a protocol at one length, under a GPT."""
    plan = PROTOCOLS[name](RANDOM, LENGTHS, ProtocolSettings(**(vars(SETTINGS) | changes)))
    with torch.no_grad():
        scored = score_windows(gpt(), RANDOM.document, plan.windows[length], 512)
    return dict(zip(targets(plan, length), np.concatenate(scored).tolist(), strict=True))


def per_token(sums):
    total = sums.groupby("context_length")[["nll", "weight"]].sum()
    return total.nll / total.weight


@pytest.fixture
def small_stride(monkeypatch):
    monkeypatch.setattr(published, "STRIDE", STRIDE)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_uniform_model_has_the_vocabulary_as_its_perplexity(name, small_stride):
    values = per_token(measure_protocol(PROTOCOLS[name], uniform, RANDOM, LENGTHS, SETTINGS))
    assert np.exp(values).tolist() == pytest.approx([VOCABULARY] * len(values), rel=1e-6)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_batch_size_and_the_order_of_lengths_change_nothing(name, small_stride):
    model, plan = gpt(), PROTOCOLS[name](RANDOM, LENGTHS, SETTINGS)
    with torch.no_grad():
        one = {
            n: score_windows(model, RANDOM.document, w, 1)
            for n, w in list(plan.windows.items())[:2]
        }
        other = {
            n: score_windows(model, RANDOM.document, plan.windows[n], 1000) for n in reversed(one)
        }
    for length in one:
        np.testing.assert_allclose(
            np.concatenate(one[length]), np.concatenate(other[length]), atol=2e-5
        )


@pytest.mark.parametrize("name", PROTOCOLS)
def test_documents_that_are_too_short_are_said_with_the_longest_there_is(name):
    with pytest.raises(
        ValueError, match=r"no held-out document has 51[34] tokens.*the longest has 300"
    ):
        PROTOCOLS[name](RANDOM, [256, 512], SETTINGS)


def test_a_model_that_sees_m_tokens_back_is_flat_on_fixed_targets_and_falls_on_blocks():
    reach = 10
    period = Corpus([np.arange(n) % reach for n in COUNTS])

    def model(tokens):
        logits = torch.zeros(*tokens.shape, VOCABULARY)
        if tokens.shape[1] >= reach:
            seen = torch.nn.functional.one_hot(
                tokens[:, : tokens.shape[1] - reach + 1], VOCABULARY
            ).float()
            logits[:, reach - 1 :] = 5 * seen
        return logits

    def curve(name, **changes):
        return per_token(
            measure_protocol(
                PROTOCOLS[name], model, period, LENGTHS, ProtocolSettings(16, SIZE, **changes)
            )
        ).to_dict()

    for flat in (curve("fixed_target"), curve("sliding", stride=SIZE)):
        assert flat[16] == pytest.approx(flat[64], rel=1e-6)
        assert flat[8] > flat[16] + 1
    for falling in (curve("nonoverlap"), curve("alibi"), curve("yarn_paper")):
        assert falling[8] > falling[16] > falling[32] + 0.1 > falling[64] + 0.2


@pytest.mark.parametrize("length", LENGTHS[1:])
def test_sliding_by_a_whole_window_is_nonoverlap_after_the_burn_in(length):
    plan = PROTOCOLS["sliding"](
        RANDOM, [length, LONGEST], ProtocolSettings(16, SIZE, stride=length)
    )
    after = [
        w
        for w in PROTOCOLS["nonoverlap"](RANDOM, LENGTHS, SETTINGS).windows[length]
        if w.labels.start > LONGEST
    ]
    assert plan.windows[length] == after


def test_sliding_by_one_token_is_brute_force():
    model, slid = gpt(), by_label("sliding", 16, stride=1)
    assert set(slid) == {(d, i) for d, n in enumerate(COUNTS) for i in range(LONGEST + 1, n)}
    with torch.no_grad():
        for (document, label), nll in list(slid.items())[::10]:
            tokens = torch.from_numpy(RANDOM.document(document))
            logits = model(tokens[None, label - 16 : label])[0, -1]
            assert nll == pytest.approx(-float(logits.log_softmax(-1)[tokens[label]]), abs=1e-5)


def test_a_position_p_is_a_context_of_p_tokens_for_a_scheme_that_ignores_the_length():
    model, plan = gpt(), PROTOCOLS["per_position"](RANDOM, LENGTHS, SETTINGS)
    windows = plan.windows[LONGEST]
    with torch.no_grad():
        whole = score_windows(model, RANDOM.document, windows, 512)
        for p in (1, 2, 7, 8, 33, 64):
            at = [TargetWindow(w.document, w.end - LONGEST + p, p, 1) for w in windows]
            alone = np.concatenate(score_windows(model, RANDOM.document, at, 512))
            np.testing.assert_allclose([nll[p - 1] for nll in whole], alone, atol=1e-5)


def test_positions_are_kept_in_buckets_named_by_their_longest_context():
    sums = measure_protocol(
        PROTOCOLS["per_position"], uniform, RANDOM, [8, 48], ProtocolSettings(16, SIZE, blocks=1)
    )
    tokens = sums.groupby("group").tokens.max().to_dict()
    assert tokens == {"1": 1, "2": 1, "4": 2, "8": 4, "16": 8, "32": 16, "48": 16}


def test_a_far_copy_last_stood_beyond_the_training_length_and_whole_within_the_longest_context():
    rng, settings = np.random.default_rng(1), ProtocolSettings(16, SIZE, blocks=50)
    corpus = Corpus([rng.integers(0, 3, size=n) for n in (100, 300)])
    plan, found = PROTOCOLS["far_copy"](corpus, LENGTHS, settings), []
    for w in plan.windows[LONGEST]:
        tokens = corpus.document(w.document)
        for label, group in zip(range(w.labels.start, w.labels.stop), plan.groups(w), strict=True):
            run = tokens[label - 3 : label + 1].tolist()
            seen = [i for i in range(3, label) if tokens[i - 3 : i + 1].tolist() == run]
            far = any(i - 3 >= w.end - LONGEST for i in seen) and all(label - i > 16 for i in seen)
            found.append((group, "far" if far else "rest"))
    assert all(one == other for one, other in found)
    assert {one for one, _ in found} == {"far", "rest"}


def test_far_copies_are_the_same_targets_at_every_length_and_need_an_n_gram_of_three():
    corpus = Corpus([np.random.default_rng(1).integers(0, 3, size=300)])
    sums = measure_protocol(PROTOCOLS["far_copy"], uniform, corpus, LENGTHS, SETTINGS)
    assert (sums.groupby("group").tokens.nunique() == 1).all()
    with pytest.raises(ValueError, match="ngram must be at least 3, not 2"):
        PROTOCOLS["far_copy"](corpus, LENGTHS, ProtocolSettings(16, SIZE, ngram=2))


def test_the_last_place_of_a_run_is_found_and_of_a_new_one_is_not():
    assert previous(np.array([1, 2, 3, 4, 1, 2, 3, 4, 5, 2, 3, 4, 5]), 3).tolist() == [-1] * 7 + [
        3,
        -1,
        -1,
        -1,
        -1,
        8,
    ]
    assert previous(np.array([1, 2]), 3).tolist() == [-1, -1]


def test_sums_count_the_bytes_of_the_labels_and_name_the_documents():
    per_token_bytes = np.arange(VOCABULARY)
    sums = measure_protocol(
        PROTOCOLS["nonoverlap"], uniform, RANDOM, [64], SETTINGS, per_token_bytes
    ).set_index("document")
    assert list(sums.columns) == ["context_length", "group", "nll", "weight", "tokens", "bytes"]
    for name, row in sums.iterrows():
        document = RANDOM.document(int(str(name)[1:]))
        assert (row.tokens, row.bytes) == (len(document) - 1, per_token_bytes[document[1:]].sum())
        assert row.nll == pytest.approx((len(document) - 1) * math.log(VOCABULARY), rel=1e-6)


def test_no_batch_holds_more_tokens_than_it_may():
    seen = []

    def model(tokens):
        seen.append(tokens.shape)
        return uniform(tokens)

    measure_protocol(
        PROTOCOLS["fixed_target"], model, RANDOM, LENGTHS, SETTINGS, tokens_per_batch=128
    )
    assert max(batch * length for batch, length in seen) == 128
    assert {length for _, length in seen} == set(LENGTHS)


def test_a_model_may_give_likelihoods_itself_and_logits_are_never_whole(monkeypatch):
    monkeypatch.setattr(loss, "ROWS", 3)
    generator = torch.Generator().manual_seed(0)
    x_BKC, weight_VC = (
        torch.randn(2, 9, 5, generator=generator),
        torch.randn(VOCABULARY, 5, generator=generator),
    )
    labels_BK = torch.randint(VOCABULARY, (2, 9), generator=generator)
    in_parts = chunked_nll(x_BKC, weight_VC, labels_BK)
    assert torch.allclose(
        in_parts, target_nll(lambda tokens: x_BKC @ weight_VC.T, labels_BK, labels_BK), atol=1e-5
    )
    whole = -(x_BKC @ weight_VC.T).log_softmax(-1).gather(-1, labels_BK[..., None])[..., 0]
    assert torch.allclose(in_parts, whole, atol=1e-5)
    own = SimpleNamespace(target_nll=lambda tokens, labels: torch.full(labels.shape, 2.0))
    assert (
        score_windows(own, RANDOM.document, [TargetWindow(4, 50, 20, 5)], 64)[0].tolist()
        == [2.0] * 5
    )  # pyright: ignore


def test_windows_that_no_document_holds_and_strides_that_leave_labels_out_are_refused():
    with pytest.raises(ValueError, match="a context of 20 tokens does not fit before token 19"):
        score_windows(uniform, RANDOM.document, [TargetWindow(4, 19, 20, 5)], 64)
    with pytest.raises(
        ValueError, match="a stride must lie between 1 and the context length 8, not 9"
    ):
        PROTOCOLS["sliding"](RANDOM, LENGTHS, ProtocolSettings(16, SIZE, stride=9))


def test_presets_are_the_published_ones_and_marked():
    assert published.STRIDE == 256
    assert not COMPARABLE & {"alibi", "alibi_s1", "pi", "yarn_paper", "longlora"}
    assert set(PROTOCOLS) >= COMPARABLE
