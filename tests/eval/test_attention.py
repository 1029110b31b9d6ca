"""The protocol `attention` on networks that look where they are told."""

import math

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from helpers.memory import limited
from helpers.networks import SHAPE, network
from helpers.observers import LooksBack, documents

from posext.analysis.attention import sink_rates, with_intervals
from posext.config import EvaluationConfig, ModelConfig
from posext.eval.attention import rows as single_rows
from posext.eval.attention.measure import measure_attention
from posext.eval.attention.rows import row_numbers
from posext.eval.curve import EvalPlan
from posext.model import attention
from posext.model.gpt import GPT
from posext.pe import Shape
from posext.pe.base import KeyBias, PositionalEncoding
from posext.pe.tables import AttentionRows
from posext.utils.errors import PosextError

LENGTHS = [8, 16, 32, 64]
TRAINED = 16


def measured(model, config: EvaluationConfig | None = None, count: int = 3):
    """The rows of attention.csv of a model, indexed by metric and context length."""
    plan = EvalPlan(LENGTHS, {}, documents(count, 200, 50))
    config = config or EvaluationConfig(targets=8)
    sums = measure_attention(model, plan, ["attention"], config, TRAINED, Accelerator(cpu=True))
    return with_intervals(sums).set_index(["metric", "context_length"]).sort_index()


def blind(scheme: PositionalEncoding, n_layers: int = 2) -> GPT:
    """A network whose scores are those of its scheme alone: queries are 0."""
    config = ModelConfig("test", n_layers, n_heads=4, d_model=32, d_ff=64, learning_rate=1e-3)
    model = GPT(config, 50, scheme).initialize(0).eval()
    with torch.no_grad():
        for block in model.blocks:
            block.attention.qkv.weight[:32] = 0
    return model


def shape() -> Shape:
    names = {**SHAPE, "original_length": SHAPE["train_length"]}
    del names["train_length"]
    return Shape(**names)


def visible_keys(length: int, targets: int = 8) -> np.ndarray:
    """The keys that the queries of the targets may see, in pieces of half a window at most."""
    piece = min(targets, length // 2)
    return np.arange(length - piece, length) + 1


def test_attention_of_a_blind_network_is_even():
    """Over n keys the entropy is ln n, and the mean distance (n - 1) / 2."""
    table = measured(blind(PositionalEncoding(shape())))
    for length in LENGTHS:
        n = visible_keys(length)
        expected = {
            "entropy": np.log(n).mean(),
            "entropy_share": 1,
            "distance": ((n - 1) / 2).mean(),
            "first_token": (1 / n).mean(),
            "row_sum": 1,
            "largest_logit": 0,
            "logit_multiplier": 1,
        }
        for metric, value in expected.items():
            rows = table.loc[metric, length]
            assert len(rows) == 8, "two layers of four heads"
            np.testing.assert_allclose(rows.value.astype(float), value, rtol=1e-5, atol=1e-6)
    early = 1 / np.arange(1, 65)
    np.testing.assert_allclose(table.loc["sink", 64].value.astype(float), early.mean(), rtol=1e-5)
    assert table.loc["sink_rate", 8].value == 1, "the mean of 1/n over 8 queries is 0.34"
    assert table.loc["sink_rate", 64].value == 0


def test_attention_finds_how_far_each_head_looks_back():
    table = measured(blind(LooksBack(shape(), [0, 1, 3, 7])))
    for length in (16, 64):
        heads = table.loc["distance", length].set_index(["layer", "head"]).value
        assert heads.index.tolist() == [(layer, head) for layer in (0, 1) for head in range(4)]
        np.testing.assert_allclose(heads, [0, 1, 3, 7] * 2, atol=1e-5)
        np.testing.assert_allclose(table.loc["entropy", length].value, 0, atol=1e-5)
        np.testing.assert_allclose(table.loc["largest_logit", length].value, [0, 100, 300, 700] * 2)


class FirstKey(PositionalEncoding):
    """Draws heads 0 and 1 to the first token."""

    def bias(self, positions_K):
        strength_H = torch.tensor([30.0, 30.0, 0.0, 0.0], dtype=torch.float64)
        return KeyBias(strength_H[:, None] * (positions_K == 0))


def test_attention_counts_heads_that_are_sinks():
    table = measured(blind(FirstKey(shape())))
    weights = table.loc["first_token", 64].set_index(["layer", "head"]).value
    np.testing.assert_allclose(weights.loc[0, [0, 1]], 1, atol=1e-5)
    assert (weights.loc[0, [2, 3]] < 0.02).all()
    assert table.loc["sink_rate", 64].value == 0.5


def test_sink_rates_count_heads_above_the_threshold_alone():
    table = with_intervals(
        measure_sums([("sink", 8, 0.31), ("sink", 8, 0.3), ("sink", 16, 0.9), ("entropy", 16, 9.0)])
    )
    rates = sink_rates(table).set_index("context_length").value
    assert rates.to_dict() == {8: 0.5, 16: 1.0}


def measure_sums(values):
    import pandas as pd

    places = [
        {"metric": metric, "context_length": length, "layer": 0, "head": head, "pair": math.nan}
        for head, (metric, length, _) in enumerate(values)
    ]
    rows = pd.DataFrame(places).assign(total=[v for *_, v in values], weight=1.0, document="d")
    return rows


@pytest.mark.parametrize("settings", [{"tokens_per_batch": 64}, {"tokens_per_batch": 4096}])
def test_measure_attention_is_the_same_in_any_batch_and_chunk(monkeypatch, settings):
    model = network(2, "rope", window="sliding")
    config = EvaluationConfig(targets=8)
    whole = measured(model, config)
    monkeypatch.setattr(attention, "CHUNK", 5)
    cut = measured(model, EvaluationConfig(targets=8, **settings))
    columns = ["value", "low", "high"]
    np.testing.assert_allclose(
        cut[columns].to_numpy(float), whole[columns].to_numpy(float), rtol=1e-4, atol=1e-5
    )


def test_measure_attention_keeps_to_what_memory_held():
    """Eight windows of 16 tokens do not fit; from there on no batch of any length has more."""
    model = network(2, "rope")
    expected = measured(model, EvaluationConfig(targets=32))
    model.observe, batches = limited(model.observe, 64)
    found = measured(model, EvaluationConfig(targets=32, tokens_per_batch=128))
    np.testing.assert_allclose(found.value, expected.value, rtol=1e-4, atol=1e-5)
    assert batches == [128] + [64] * 15


def test_measure_attention_reads_as_many_documents_as_asked_for():
    model = network(1, "rope")
    config = EvaluationConfig(targets=8, attention_documents=2)
    assert set(measured(model, config, count=5).documents) == {2}
    fewer = EvaluationConfig(targets=8, attention_documents=4, documents=3)
    assert set(measured(model, fewer, count=5).documents) == {3}


def test_measure_attention_leaves_out_lengths_without_positions():
    model = network(1, "learned")
    assert model.pe.max_length == TRAINED
    assert set(measured(model).index.get_level_values(1)) == {8, 16}


def test_measure_attention_has_pairs_of_rotary_layers_alone():
    table = measured(network(4, "irope"))
    pairs = table.loc["query_norm", 16].set_index(["layer", "pair"]).value
    assert sorted(set(pairs.index.get_level_values("layer"))) == [0, 1, 2]
    assert sorted(set(pairs.index.get_level_values("pair"))) == [0, 1, 2, 3]
    assert "query_norm" not in measured(network(1, "alibi")).index


def test_measure_attention_refuses_a_model_that_shows_nothing():
    with pytest.raises(PosextError, match="Linear does not show its attention"):
        measured(torch.nn.Linear(1, 1))


class Drifting:
    """Hidden states that are known: they grow and turn with the length of the context."""

    def observe(self, tokens_BT, observer):
        batch, length = tokens_BT.shape
        angle = torch.tensor(0.1 * max(0, length - TRAINED))
        state = length * torch.tensor([angle.cos(), angle.sin(), 0.0])
        observer.hidden(0, state.expand(batch, length, 3))


def test_hidden_states_drift_from_those_in_range():
    table = measured(Drifting())
    for length in LENGTHS:
        norm, ratio, cosine = (
            table.loc[(f"hidden_{name}", length), "value"].item()
            for name in ("norm", "norm_ratio", "cosine")
        )
        assert norm == pytest.approx(length)
        assert ratio == pytest.approx(length / TRAINED)
        assert cosine == pytest.approx(math.cos(0.1 * max(0, length - TRAINED)), abs=1e-6)
    assert set(table.loc["hidden_norm"].layer) == {0}
    assert table.loc["hidden_norm"]["head"].isna().all()


def rows_of(weights, start: int = 0, keys=None, logits=None, visible=None) -> AttentionRows:
    """Rows of one head, with the causal mask unless another is given."""
    weights_QK = torch.tensor(weights, dtype=torch.float32)
    queries, count = weights_QK.shape
    keys_K = torch.arange(count) if keys is None else torch.tensor(keys)
    mask = keys_K <= start + torch.arange(queries)[:, None]
    visible_QK = mask if visible is None else torch.tensor(visible)
    logits_QK = weights_QK if logits is None else torch.tensor(logits)
    zeros = torch.zeros(1, 1, queries, 4)
    return AttentionRows(
        start, zeros, zeros, keys_K, visible_QK, logits_QK[None, None], weights_QK[None, None]
    )


def test_row_numbers_of_rows_that_do_not_sum_to_one():
    """Entropy and distance are of the normalised row; the weight on the first token is not."""
    numbers = row_numbers(rows_of([[0.1, 0.0, 0.3], [0, 0, 0]], start=2))
    shares = torch.tensor([0.25, 0.75])
    entropy = float(-(shares * shares.log()).sum())
    assert numbers["entropy"][0, 0].tolist() == pytest.approx([entropy, math.nan], nan_ok=True)
    assert numbers["entropy_share"][0, 0, 0] == pytest.approx(entropy / math.log(3))
    assert numbers["distance"][0, 0].tolist() == pytest.approx([0.5, math.nan], nan_ok=True)
    assert numbers["first_token"][0, 0].tolist() == pytest.approx([0.1, 0])
    assert numbers["row_sum"][0, 0].tolist() == pytest.approx([0.4, 0])


def test_row_numbers_count_visible_keys_wherever_they_stand():
    """Keys of two groups, of which one is visible in neither place."""
    rows = rows_of(
        [[0.5, 0.0, 0.0, 0.5]], 9, keys=[0, 1, 1, 8], visible=[[True, False, False, True]]
    )
    numbers = row_numbers(rows)
    assert numbers["entropy_share"].item() == pytest.approx(1)
    assert numbers["distance"].item() == pytest.approx((9 + 1) / 2)
    assert numbers["first_token"].item() == pytest.approx(0.5)


def test_entropy_share_of_a_single_key_is_undefined():
    assert row_numbers(rows_of([[1.0]]))["entropy_share"].isnan().all()


def test_largest_logit_is_of_visible_keys():
    rows = rows_of([[1.0, 0.0]], start=0, logits=[[3.0, 99.0]])
    assert single_rows.largest_logit(rows).item() == 3


def test_from_query_keeps_the_later_rows():
    rows = rows_of([[1.0, 0, 0], [0.5, 0.5, 0], [0.2, 0.3, 0.5]])
    later = single_rows.from_query(rows, 1)
    assert later.start == 1
    assert later.weights_BHQK[0, 0, 0].tolist() == [0.5, 0.5, 0]
    assert later.visible_QK.tolist() == [[True, True, False], [True, True, True]]
    assert single_rows.from_query(rows, 3) is None
    assert single_rows.from_query(later, 0) is not None


def test_pair_norms_are_of_half_split_pairs():
    x = torch.tensor([3.0, 5.0, 4.0, 12.0, 100.0]).expand(1, 2, 1, 5) * torch.tensor(
        [[[[1.0]], [[3.0]]]]
    )
    assert single_rows.pair_norms(x, 2)[0, :, 0].tolist() == pytest.approx([10, 26])


def test_logit_multiplier_of_a_temperature_is_that_of_the_queries():
    """log-n scales query n by ln n / ln L beyond the training length."""
    table = measured(network(1, "none", attention_scale="logn"))
    n = visible_keys(64)
    expected = (np.log(n) / math.log(TRAINED)).mean()
    np.testing.assert_allclose(
        table.loc["logit_multiplier", 64].value.astype(float), expected, 1e-5
    )
