"""Retrieval by models whose answers are known: an induction head, and one that knows nothing."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from posext.analysis import curves
from posext.analysis.retrieval import read_retrieval, with_intervals
from posext.config import TextData
from posext.data import dataset
from posext.data.recall.episode import RecallSettings
from posext.eval.retrieval.measure import measure_recall
from posext.eval.retrieval.passkey import passkey

SETTINGS = RecallSettings(trials=12)


@pytest.fixture(scope="module")
def tokens(corpus, tmp_path_factory):
    cache = str(tmp_path_factory.mktemp("cache"))
    config = TextData(path=str(corpus), tokenizer="bytes", validation_share=0.3, cache=cache)
    return dataset.load_data(config, progress=False)


class Induction(torch.nn.Module):
    """Answers with the token that followed the last two tokens before, within `sight` tokens."""

    def __init__(self, vocab_size: int, sight: float = math.inf):
        super().__init__()
        self.vocab_size, self.sight = vocab_size, sight

    def forward(self, tokens_BT, last):
        B, T = tokens_BT.shape
        logits = torch.zeros(B, last, self.vocab_size)
        for b in range(B):
            row = tokens_BT[b].tolist()
            for k in range(last):
                end = T - last + k  # reads row[end - 1], row[end]; predicts the token at end + 1
                for place in range(end - 2, -1, -1):
                    if row[place : place + 2] == row[end - 1 : end + 1]:
                        if end + 1 - (place + 2) <= self.sight:
                            logits[b, k, row[place + 2]] = 50.0
                        break
        return logits


class Uniform(torch.nn.Module):
    def __init__(self, vocab_size: int):
        super().__init__()
        self.vocab_size = vocab_size

    def forward(self, tokens_BT, last):
        return torch.zeros(*tokens_BT.shape[:1], last, self.vocab_size)


def test_recall_of_an_induction_head_finds_needles_alone(tokens):
    """It finds every needle and no control."""
    model = Induction(tokens.vocab_size)
    rows = with_intervals(measure_recall(model, tokens, [32, 100], SETTINGS))
    by_condition = rows.set_index("condition")
    assert set(rows.depth) == set(SETTINGS.depths)
    assert (by_condition.loc["needle"].accuracy == 1).all()
    assert (by_condition.loc["control"].accuracy == 0).all()
    np.testing.assert_allclose(by_condition.loc["needle"].nll, 0, atol=1e-6)


def test_recall_of_a_uniform_model_is_a_guess(tokens):
    model = Uniform(tokens.vocab_size)
    rows = with_intervals(measure_recall(model, tokens, [32], SETTINGS))
    np.testing.assert_allclose(rows.nll, math.log(tokens.vocab_size), rtol=1e-6)


def test_recall_ends_at_the_sight_of_a_model(tokens):
    sight = 50
    model = Induction(tokens.vocab_size, sight)
    rows = with_intervals(measure_recall(model, tokens, [32, 64, 128], SETTINGS))
    needle = rows.loc[rows.condition == "needle"]
    assert 0 < (needle.distance <= sight).sum() < len(needle)
    np.testing.assert_array_equal(needle.accuracy, (needle.distance <= sight).astype(float))


@pytest.mark.parametrize("depth", [0.0, 0.5, 1.0])
def test_passkey_stands_at_its_depth_and_not_in_the_control(tokens, depth):
    def encode(text: str) -> list[int]:
        return tokens.tokenizer.encode(text).ids

    needle = passkey(encode, 600, depth, 2)
    control = passkey(encode, 600, depth, 2, control=True)
    text = tokens.tokenizer.decode(needle.tokens.tolist())
    answer = text[-5:]
    assert text.count(answer) == 3
    assert tokens.tokenizer.decode(control.tokens.tolist()).count(answer) == 1
    assert len(needle.tokens) <= 601
    assert tokens.tokenizer.decode(needle.tokens[-needle.answer :].tolist()).strip() == answer
    before = text[: len(text) - needle.distance - 5]
    assert before.rstrip().endswith("mind.") or depth == 1.0


def test_train_adds_retrieval_to_a_run_that_is_done(command, small):
    """Retrieval is stored beside the curves, and only it is measured when it is added."""
    settings = ["+pe=yarn", *small, "data.recall_share=0.5", "name=mine", "evaluation.trials=3"]
    assert command("train", *settings)[0] == 0
    folder = Path("results/runs/mine")
    assert not (folder / "retrieval.csv").exists()
    settings += ["protocols=[fixed_target,retrieval,passkey]", "context_lengths=[16,32,256]"]
    code, out, err = command("train", *settings)
    assert code == 0, err
    assert "exact answers" in out
    rows = read_retrieval(folder / "retrieval.csv")
    assert set(zip(rows.extend, rows.factor, strict=True)) == {
        ("", "auto"),
        ("yarn", "16"),
        ("rope", ""),
    }
    assert set(rows.loc[rows.task == "retrieval"].context_length) == {16, 32, 256}
    # The text of the passkey task alone has 200 bytes.
    assert set(rows.loc[rows.task == "passkey"].context_length) == {256}
    assert (rows.trials == 3).all()
    assert ((rows.accuracy_low <= rows.accuracy) & (rows.accuracy <= rows.accuracy_high)).all()
    assert (folder / "retrieval.png").read_bytes().startswith(b"\x89PNG")
    assert set(curves.read_curves(folder / "curves.csv").protocol) == {"fixed_target"}
    _, out, _ = command("train", *settings)
    assert "is done already" in out
