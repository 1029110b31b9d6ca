"""Fixed targets, on models whose likelihood is known in closed form."""

import math

import numpy as np
import pytest
import torch
from helpers.protocol_properties import (
    LENGTHS,
    SIZE,
    VOCABULARY,
    by_context,
    cost,
    random_corpus,
    uniform,
)
from transformers import LlamaConfig, LlamaForCausalLM

from posext.eval.scoring import TargetWindow
from posext.eval.targets import Target, block_windows, fixed_targets, score, spare_tokens
from posext.utils.errors import PosextError

DOCUMENTS = random_corpus(counts=(40, 65, 66, 100, 300, 64)).tokens


def targets_of(**changes):
    settings = {"longest": 64, "size": SIZE, "blocks": 3, "seed": 0} | changes
    return fixed_targets([len(document) for document in DOCUMENTS], **settings)


def nll(model, length, targets=None, tokens_per_batch=256):
    targets = targets or targets_of()
    return score(model, DOCUMENTS.__getitem__, targets, length, SIZE, tokens_per_batch)


def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
    )
    return LlamaForCausalLM(config).eval()


def test_score_of_a_uniform_model_is_its_vocabulary():
    for length in LENGTHS:
        assert math.exp(nll(uniform, length).mean()) == pytest.approx(VOCABULARY, rel=1e-6)


def test_score_gives_targets_a_block_less_to_the_whole_context():
    """Contexts of a block of K targets at length L have L - K + 1 to L tokens."""
    zeros = [np.zeros(200, dtype=np.int64)]
    for length in LENGTHS:
        scored = score(by_context, zeros.__getitem__, [Target(0, 150)], length, SIZE, 1024)
        expected = [cost(n) for n in range(length - SIZE + 1, length + 1)]
        assert scored[0].tolist() == pytest.approx(expected, rel=1e-5)


def test_score_is_flat_beyond_what_a_model_sees():
    """The model knows a label by the token `reach` before it, so longer contexts add nothing."""
    reach = 10

    def model(tokens):
        logits = torch.zeros(*tokens.shape, VOCABULARY)
        if tokens.shape[1] >= reach:
            seen = tokens[:, : tokens.shape[1] - reach + 1]
            logits[:, reach - 1 :] = 5 * torch.nn.functional.one_hot(seen, VOCABULARY).float()
        return logits

    by_length = {length: nll(model, length) for length in LENGTHS}
    assert np.array_equal(by_length[16], by_length[64])
    assert np.array_equal(by_length[32], by_length[64])
    assert not np.array_equal(by_length[8], by_length[64])


def test_score_takes_the_next_token_as_label_at_every_length():
    """A model that knows the token after each input loses nothing."""
    document = np.arange(200)  # each token is its own index
    targets = fixed_targets([200], 64, SIZE, 5, 0)

    def next_index(tokens):
        return 100.0 * torch.nn.functional.one_hot(tokens + 1, 201).float()

    def no_index(tokens):
        return torch.zeros(*tokens.shape, 201)

    for length in LENGTHS:
        assert score(next_index, lambda _: document, targets, length, SIZE, 256).max() < 1e-6
        assert score(no_index, lambda _: document, targets, length, SIZE, 256).min() > 5


def test_score_is_independent_of_batch_size_and_order():
    model = llama()
    with torch.no_grad():
        forward = {length: nll(model, length) for length in LENGTHS}
        backward = {length: nll(model, length, tokens_per_batch=1) for length in reversed(LENGTHS)}
    for length in LENGTHS:
        np.testing.assert_allclose(forward[length], backward[length], atol=1e-5)


def test_score_of_a_transformers_model_is_its_own_loss():
    model = llama()
    targets = targets_of(blocks=1)
    with torch.no_grad():
        scored = nll(model, 32, targets)
        for row, target in zip(scored, targets, strict=True):
            tokens = DOCUMENTS[target.document][target.end - 32 : target.end + 1]
            window = torch.from_numpy(tokens)[None]
            labels = window.clone()
            labels[:, :-SIZE] = -100
            assert float(model(window, labels=labels).loss) == pytest.approx(row.mean(), abs=1e-5)


def test_score_refuses_more_targets_than_context():
    with pytest.raises(ValueError, match="4 targets does not fit a context of 2"):
        nll(uniform, 2)


@pytest.mark.parametrize("blocks", [1, 3, 1000])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_fixed_targets_are_disjoint_and_fit_longest_context(blocks, seed):
    targets = targets_of(blocks=blocks, seed=seed)
    covered = [(t.document, label) for t in targets for label in range(t.end - SIZE + 1, t.end + 1)]
    assert len(covered) == len(set(covered))
    for target in targets:
        assert 64 <= target.end < len(DOCUMENTS[target.document])
    documents = [target.document for target in targets]
    per_document = {document: documents.count(document) for document in documents}
    room = {d: 1 + (len(DOCUMENTS[d]) - 1 - 64) // SIZE for d in per_document}
    assert per_document == {d: min(blocks, room[d]) for d in room}


def test_fixed_targets_keep_documents_beyond_longest_context():
    """A document needs one token more than the longest context."""
    assert {target.document for target in targets_of()} == {1, 2, 3, 4}


def test_fixed_targets_reach_every_place_of_a_document():
    ends = {t.end for seed in range(400) for t in fixed_targets([90], 64, SIZE, 1, seed)}
    labels = {label for end in ends for label in range(end - SIZE + 1, end + 1)}
    assert labels == set(range(64 - SIZE + 1, 90))


def test_fixed_targets_are_independent_of_other_documents():
    """Keeping fewer documents changes no target of those that are kept."""
    few = targets_of(documents=2)
    assert set(few) < set(targets_of())
    assert len({target.document for target in few}) == 2


def test_fixed_targets_refuse_documents_that_are_too_short():
    message = r"no held-out document has 513 tokens.*the longest has 300"
    with pytest.raises(ValueError, match=message):
        targets_of(longest=512)


@pytest.mark.parametrize("share", [0.5, 0.25, 0.1])
@pytest.mark.parametrize("size", [1, 3, 4, 7, 16, 40])
def test_block_windows_score_each_target_once_after_enough_context(size, share):
    lengths = [8, 16, 48]
    end = lengths[-1] + spare_tokens(lengths, size, share)
    starts = []
    for length in lengths:
        windows = block_windows(Target(5, end), length, size, share)
        labels = [index for window in windows for index in range(end + 1)[window.labels]]
        assert labels == list(range(end - size + 1, end + 1))
        most = max(1, int(share * length))
        assert {window.length for window in windows} == {length}
        assert {window.document for window in windows} == {5}
        assert max(window.scored for window in windows) == min(size, most)
        starts += [window.end - window.length for window in windows]
    assert min(starts) == 0  # no window starts before the document, and no token is wasted


def test_fixed_targets_leave_spare_tokens_before_the_longest_context():
    lengths = [len(document) for document in DOCUMENTS]
    ends = [target.end for target in targets_of(spare=30, blocks=50)]
    assert 94 <= min(ends) < 100
    assert {target.document for target in targets_of(spare=30)} == {
        index for index, length in enumerate(lengths) if length > 94
    }
    with pytest.raises(
        PosextError, match="has 301 tokens, as a context of 64 and its targets need"
    ):
        targets_of(spare=236)


def test_block_windows_leave_a_block_whole_where_it_fits():
    (window,) = block_windows(Target(2, 90), 64, 16, 0.25)
    assert window == TargetWindow(2, 90, 64, 16)
