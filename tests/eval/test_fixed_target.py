"""The fixed-target protocol on models whose likelihood is known in closed form."""

import math

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from posext.eval.targets import Target, fixed_targets, score

VOCABULARY, SIZE, LENGTHS = 11, 4, [8, 16, 32, 64]
rng = np.random.default_rng(0)
DOCUMENTS = [rng.integers(0, VOCABULARY, size=n) for n in (40, 65, 66, 100, 300, 64)]


def plan(**changes):
    settings = {"longest": 64, "size": SIZE, "blocks": 3, "seed": 0} | changes
    return fixed_targets([len(document) for document in DOCUMENTS], **settings)


def nll(model, length, targets=None, tokens_per_batch=256):
    return score(model, DOCUMENTS.__getitem__, targets or plan(), length, SIZE, tokens_per_batch)


def uniform(tokens):
    return torch.zeros(*tokens.shape, VOCABULARY)


def by_context(cost):
    """A model that loses cost(n) nats on the label after n tokens of context, whatever the label is not told: for labels 0."""

    def model(tokens):
        n = torch.arange(1, tokens.shape[1] + 1, dtype=torch.float64)
        right = torch.exp(-torch.as_tensor([cost(int(i)) for i in n], dtype=torch.float64))
        logits = ((1 - right) / (VOCABULARY - 1)).log()[:, None].repeat(1, VOCABULARY)
        logits[:, 0] = right.log()
        return logits.float().expand(tokens.shape[0], -1, -1)

    return model


def test_a_uniform_model_has_the_vocabulary_as_its_perplexity_at_every_length():
    for length in LENGTHS:
        assert math.exp(nll(uniform, length).mean()) == pytest.approx(VOCABULARY, rel=1e-6)


def test_a_block_of_k_targets_has_contexts_of_l_minus_k_plus_1_to_l_tokens():
    zeros = [np.zeros(200, dtype=np.int64)]
    for length in LENGTHS:
        scored = score(
            by_context(lambda n: 1 + 1 / n), zeros.__getitem__, [Target(0, 150)], length, SIZE, 1024
        )
        expected = [1 + 1 / n for n in range(length - SIZE + 1, length + 1)]
        assert scored[0].tolist() == pytest.approx(expected, rel=1e-5)


def test_a_model_that_sees_m_tokens_back_is_flat_from_m_plus_k_on():
    """It knows a label iff the label's value stood exactly M tokens before; longer contexts add nothing."""
    reach = 10

    def model(tokens):
        logits = torch.zeros(*tokens.shape, VOCABULARY)
        if tokens.shape[1] >= reach:
            seen = torch.nn.functional.one_hot(
                tokens[:, : tokens.shape[1] - reach + 1], VOCABULARY
            ).float()
            logits[:, reach - 1 :] = 5 * seen
        return logits

    values = {length: nll(model, length) for length in LENGTHS}
    assert np.array_equal(values[16], values[64])
    assert np.array_equal(values[32], values[64])
    assert not np.array_equal(values[8], values[64])


def test_targets_are_the_same_tokens_at_every_length_and_the_label_is_the_next_token():
    """A model that puts all its mass on the token after each input, told the document, loses nothing at any length."""
    document = np.arange(200)  # every token names its place
    targets = fixed_targets([200], 64, SIZE, 5, 0)

    def knows(tokens):
        return 100.0 * torch.nn.functional.one_hot(tokens + 1, 201).float()

    for length in LENGTHS:
        assert score(knows, lambda _: document, targets, length, SIZE, 256).max() < 1e-6
        assert score(uniform_over(201), lambda _: document, targets, length, SIZE, 256).min() > 5


def uniform_over(count):
    return lambda tokens: torch.zeros(*tokens.shape, count)


@pytest.mark.parametrize("blocks", [1, 3, 1000])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_blocks_are_disjoint_inside_the_document_and_fit_the_longest_context(blocks, seed):
    targets = plan(blocks=blocks, seed=seed)
    covered = [(t.document, label) for t in targets for label in range(t.end - SIZE + 1, t.end + 1)]
    assert len(covered) == len(set(covered))
    for target in targets:
        assert 64 <= target.end < len(DOCUMENTS[target.document])
    per_document = {
        d: [t.document for t in targets].count(d) for d in {t.document for t in targets}
    }
    room = {d: 1 + (len(DOCUMENTS[d]) - 1 - 64) // SIZE for d in per_document}
    assert per_document == {d: min(blocks, room[d]) for d in room}


def test_the_documents_kept_are_those_with_one_token_more_than_the_longest_context():
    assert {target.document for target in plan()} == {1, 2, 3, 4}


def test_every_place_of_a_document_can_be_a_target():
    ends = {t.end for seed in range(400) for t in fixed_targets([90], 64, SIZE, 1, seed)}
    assert {label for end in ends for label in range(end - SIZE + 1, end + 1)} == set(
        range(64 - SIZE + 1, 90)
    )


def test_targets_of_a_document_do_not_depend_on_the_other_documents_or_on_how_many_are_kept():
    few = plan(documents=2)
    assert set(few) < set(plan())
    assert len({target.document for target in few}) == 2


def test_batch_size_and_the_order_of_lengths_change_nothing():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        forward = {length: nll(model, length) for length in LENGTHS}
        backward = {length: nll(model, length, tokens_per_batch=1) for length in reversed(LENGTHS)}
    for length in LENGTHS:
        np.testing.assert_allclose(forward[length], backward[length], atol=1e-5)


def test_a_transformers_model_is_scored_as_its_own_loss_says():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
    )
    model, targets = LlamaForCausalLM(config).eval(), plan(blocks=1)
    with torch.no_grad():
        scored = nll(model, 32, targets)
        for row, target in zip(scored, targets, strict=True):
            window = torch.from_numpy(DOCUMENTS[target.document][target.end - 32 : target.end + 1])[
                None
            ]
            labels = window.clone()
            labels[:, :-SIZE] = -100
            assert float(model(window, labels=labels).loss) == pytest.approx(row.mean(), abs=1e-5)


def test_no_document_long_enough_is_said_with_the_longest_there_is():
    with pytest.raises(
        ValueError, match=r"no held-out document has 513 tokens.*the longest has 300"
    ):
        plan(longest=512)
    with pytest.raises(ValueError, match="4 targets does not fit a context of 2"):
        nll(uniform, 2)
