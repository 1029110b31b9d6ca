"""Retrieval against models whose answers are known: an induction head, one that sees so far, one that knows nothing."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from posext.analysis import curves, retrieval
from posext.analysis.retrieval import read_retrieval
from posext.analysis.statistics import wilson
from posext.config import DataConfig
from posext.data import dataset
from posext.data.recall.episode import RecallSettings, episode
from posext.data.recall.mixing import batch
from posext.data.recall.pool import pool_of
from posext.eval.retrieval.measure import measure_recall
from posext.eval.retrieval.passkey import passkey

SETTINGS = RecallSettings(trials=12)


@pytest.fixture(scope="module")
def tokens(corpus, tmp_path_factory):
    cache = str(tmp_path_factory.mktemp("cache"))
    return dataset.load_data(
        DataConfig("text", str(corpus), tokenizer="bytes", validation_share=0.3, cache=cache),
        progress=False,
    )


class Induction(torch.nn.Module):
    """Answers with what followed the last earlier place of the two tokens that it reads, within `sight` tokens."""

    def __init__(self, vocab_size: int, sight: float = math.inf):
        super().__init__()
        self.vocab_size, self.sight = vocab_size, sight

    def forward(self, tokens_BT, last):
        B, T = tokens_BT.shape
        logits = torch.zeros(B, last, self.vocab_size)
        for b in range(B):
            row = tokens_BT[b].tolist()
            for k in range(last):
                end = T - last + k  # reads row[end - 1], row[end]; asked for what comes at end + 1
                for at in range(end - 2, -1, -1):
                    if row[at : at + 2] == row[end - 1 : end + 1]:
                        if end + 1 - (at + 2) <= self.sight:
                            logits[b, k, row[at + 2]] = 50.0
                        break
        return logits


class Uniform(torch.nn.Module):
    def __init__(self, vocab_size: int):
        super().__init__()
        self.vocab_size = vocab_size

    def forward(self, tokens_BT, last):
        return torch.zeros(*tokens_BT.shape[:1], last, self.vocab_size)


def test_an_induction_head_finds_every_needle_and_no_control(tokens):
    rows = retrieval.with_intervals(
        measure_recall(Induction(tokens.vocab_size), tokens, [32, 100], SETTINGS)
    )
    of = rows.set_index("condition")
    assert set(rows.depth) == set(SETTINGS.depths)
    assert (of.loc["needle"].accuracy == 1).all()
    assert (of.loc["control"].accuracy == 0).all()
    np.testing.assert_allclose(of.loc["needle"].nll, 0, atol=1e-6)


def test_what_knows_nothing_has_the_likelihood_of_a_guess(tokens):
    rows = retrieval.with_intervals(
        measure_recall(Uniform(tokens.vocab_size), tokens, [32], SETTINGS)
    )
    np.testing.assert_allclose(rows.nll, math.log(tokens.vocab_size), rtol=1e-6)


def test_a_model_that_sees_so_far_finds_what_lies_no_farther(tokens):
    sight = 50
    rows = retrieval.with_intervals(
        measure_recall(Induction(tokens.vocab_size, sight), tokens, [32, 64, 128], SETTINGS)
    )
    needle = rows.loc[rows.condition == "needle"]
    assert 0 < (needle.distance <= sight).sum() < len(needle)
    np.testing.assert_array_equal(needle.accuracy, (needle.distance <= sight).astype(float))


def test_distance_is_from_the_value_to_its_second_place_and_grows_to_the_length_at_depth_zero(
    tokens,
):
    pool = pool_of(tokens)
    for depth in SETTINGS.depths:
        made = episode(tokens.validation, pool, SETTINGS, 100, depth, 3)
        assert len(made.needle) == len(made.control) == 101
        value = made.needle[-2:]
        at = made.start + SETTINGS.key
        np.testing.assert_array_equal(made.needle[at : at + 2], value)
        assert made.distance == len(made.needle) - 2 - at
        assert np.isin(made.needle, value).sum() == 4  # nowhere else
        assert (made.needle != made.control).sum() == SETTINGS.key
    first, last = (episode(tokens.validation, pool, SETTINGS, 100, d, 3) for d in (0.0, 1.0))
    assert (first.start, first.distance, last.distance) == (0, 97, SETTINGS.pair)


def test_an_episode_is_a_function_of_length_depth_and_index_alone(tokens):
    pool = pool_of(tokens)
    one, two, other = (episode(tokens.validation, pool, SETTINGS, 64, 0.5, i) for i in (7, 7, 8))
    np.testing.assert_array_equal(one.needle, two.needle)
    assert (one.needle != other.needle).any()


@pytest.mark.parametrize(
    ("correct", "trials", "low", "high"),
    [(0, 10, 0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1), (1, 1, 0.2065, 1)],
)
def test_wilson_gives_the_published_intervals(correct, trials, low, high):
    estimate = wilson(correct, trials)
    assert estimate == pytest.approx((correct / trials, low, high), abs=5e-5)


def test_without_a_share_batches_are_what_they_were(tokens):
    plain, origins = tokens.train.batch(0, 5, 32, 6)
    mixed, same = batch(tokens, DataConfig("text"), 0, 5, 32, 6)
    assert torch.equal(plain, mixed)
    assert origins == same


def test_the_share_of_sequences_holds_pairs_that_stand_twice(tokens):
    plain, _ = tokens.train.batch(0, 5, 64, 400)
    config = DataConfig("text", recall_share=0.3)
    mixed, _ = batch(tokens, config, 0, 5, 64, 400)
    assert torch.equal(mixed, batch(tokens, config, 0, 5, 64, 400)[0])
    changed = (mixed != plain).any(dim=1)
    assert 0.22 < changed.double().mean() < 0.38
    pool = set(pool_of(tokens).rare.tolist())
    for row, before in zip(mixed[changed].tolist(), plain[changed].tolist(), strict=True):
        written = [i for i, (a, b) in enumerate(zip(row, before, strict=True)) if a != b]
        assert {row[i] for i in written} <= pool
        twice = [i for i in range(len(row) - 3) if row[i] in pool and row.count(row[i]) >= 2]
        pairs = {tuple(row[i : i + 4]) for i in twice}
        assert (
            sum(
                sum(tuple(row[j : j + 4]) == pair for j in range(len(row) - 3)) == 2
                for pair in pairs
            )
            >= 4
        )


def test_a_passkey_stands_at_its_depth_and_the_control_has_another(tokens):
    encode = tokens.tokenizer.encode
    for depth in (0.0, 0.5, 1.0):
        found = passkey(lambda text: encode(text).ids, 600, depth, 2)
        control = passkey(lambda text: encode(text).ids, 600, depth, 2, control=True)
        text, other = (tokens.tokenizer.decode(made.tokens.tolist()) for made in (found, control))
        answer = text[-5:]
        assert text.count(answer) == 3
        assert other.count(answer) == 1
        assert len(found.tokens) <= 601
        assert tokens.tokenizer.decode(found.tokens[-found.answer :].tolist()).strip() == answer
        assert text[: len(text) - found.distance - 5].rstrip().endswith("mind.") or depth == 1.0


def test_a_run_leaves_its_retrieval_beside_its_curves_and_is_measured_again_only_for_it(
    command, small
):
    typed = ["+pe=yarn", *small, "data.recall_share=0.5", "name=mine", "evaluation.trials=3"]
    assert command("train", *typed)[0] == 0
    folder = Path("results/runs/mine")
    assert not (folder / "retrieval.csv").exists()
    code, out, err = command(
        "train", *typed, "protocols=[fixed_target,retrieval,passkey]", "context_lengths=[16,32,256]"
    )
    assert code == 0, err
    assert "exact answers" in out
    rows = read_retrieval(folder / "retrieval.csv")
    assert set(zip(rows.extend, rows.factor, strict=True)) == {("", "auto"), ("yarn", "16")}
    assert set(rows.loc[rows.task == "retrieval"].context_length) == {16, 32, 256}
    assert set(rows.loc[rows.task == "passkey"].context_length) == {
        256
    }  # the task alone has 200 bytes
    assert (rows.trials == 3).all()
    assert ((rows.accuracy_low <= rows.accuracy) & (rows.accuracy <= rows.accuracy_high)).all()
    assert (folder / "retrieval.png").read_bytes().startswith(b"\x89PNG")
    assert set(curves.read_curves(folder / "curves.csv").protocol) == {"fixed_target"}
    code, out, _ = command(
        "train", *typed, "protocols=[fixed_target,retrieval,passkey]", "context_lengths=[16,32,256]"
    )
    assert "is done already" in out


def test_measuring_one_extension_again_replaces_its_rows_alone():
    cell = dict.fromkeys(retrieval.RETRIEVAL_COLUMNS, 1) | {
        "condition": "needle",
        "task": "retrieval",
    }
    before = pd.DataFrame([cell | {"extend": e, "factor": f} for e, f in (("", ""), ("yarn", "4"))])
    after = retrieval.upsert_retrieval(
        before, pd.DataFrame([cell | {"extend": "yarn", "factor": "4", "correct": 9}])
    )
    assert after.correct.tolist() == [1, 9]
