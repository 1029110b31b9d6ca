"""Retrieval by models whose answers are known: some that read, and one that knows nothing."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from accelerate import Accelerator
from helpers.memory import limited
from helpers.readers import Counting, Fake, Reader

from posext.analysis import curves
from posext.analysis.retrieval import read_retrieval, with_intervals
from posext.config import EvaluationConfig, TextData
from posext.data import dataset
from posext.data.recall.episode import RecallSettings
from posext.data.recall.tasks import TASKS
from posext.eval.curve import EvalPlan
from posext.eval.retrieval.grid import measure_retrieval
from posext.eval.retrieval.measure import measure_task
from posext.eval.retrieval.passkey import passkey

SETTINGS = RecallSettings(trials=12)


@pytest.fixture(scope="module")
def tokens(corpus, tmp_path_factory):
    cache = str(tmp_path_factory.mktemp("cache"))
    config = TextData(path=str(corpus), tokenizer="bytes", validation_share=0.3, cache=cache)
    return dataset.load_data(config, progress=False)


def oracle(name: str, vocab_size: int) -> Fake:
    return Counting(vocab_size) if name == "common_words" else Reader(vocab_size)


@pytest.mark.parametrize("name", TASKS)
def test_measure_task_of_a_model_that_reads_finds_needles_alone(tokens, name):
    """It gives every answer, and none in the control."""
    rows = with_intervals(
        measure_task(name, oracle(name, tokens.vocab_size), tokens, [32, 100], SETTINGS)
    )
    by_condition = rows.set_index("condition")
    assert set(rows.context_length) == {32, 100}
    assert set(rows.depth) == (set(SETTINGS.depths) if TASKS[name].has_depth else {0.0})
    assert (by_condition.loc["needle"].accuracy == 1).all()
    assert (by_condition.loc["control"].accuracy == 0).all()
    np.testing.assert_allclose(by_condition.loc["needle"].nll, 0, atol=1e-6)


@pytest.mark.parametrize("name", TASKS)
def test_measure_task_of_a_uniform_model_is_a_guess(tokens, name):
    """A guess is right more often where any answer counts that was not given yet."""
    rows = measure_task(name, Fake(tokens.vocab_size), tokens, [32], SETTINGS)
    right = [4, 3, 2, 1] if name in ("multi_value", "common_words") else [1]
    expected = np.mean([math.log(tokens.vocab_size / count) for count in right])
    np.testing.assert_allclose(rows.nll, expected, rtol=1e-6)


def test_measure_task_asks_for_every_answer(tokens):
    """An induction head that takes the latest value gives the first of four values alone."""

    class Latest(Reader):
        def answer(self, read, given):
            places = [i for i, token in enumerate(read[:-1]) if token == read[-1]]
            return read[places[-1] + 1] if places else None

    latest = Latest(tokens.vocab_size)
    right = {"multi_query": SETTINGS.trials, "variable_tracking": SETTINGS.trials, "multi_value": 0}
    for name, count in right.items():
        rows = measure_task(name, latest, tokens, [64], SETTINGS)
        needle = rows.loc[rows.condition == "needle"]
        assert (needle.correct == count).all()
    assert (needle.nll > 0.7 * 50).all()  # three of four values are surely wrong


def test_measure_task_ends_at_the_sight_of_a_model(tokens):
    sight = 50
    model = Reader(tokens.vocab_size, sight)
    rows = with_intervals(measure_task("retrieval", model, tokens, [32, 64, 128], SETTINGS))
    needle = rows.loc[rows.condition == "needle"]
    assert 0 < (needle.distance <= sight).sum() < len(needle)
    np.testing.assert_array_equal(needle.accuracy, (needle.distance <= sight).astype(float))


@pytest.mark.parametrize("name", TASKS)
def test_measure_task_begins_at_its_shortest_context(tokens, name):
    shortest = TASKS[name].shortest
    lengths = [shortest - 1, shortest, shortest + 1, shortest + 2]
    rows = measure_task(name, oracle(name, tokens.vocab_size), tokens, lengths, SETTINGS)
    needle = rows.loc[rows.condition == "needle"]
    assert set(needle.context_length) == set(lengths[1:])
    assert (needle.correct == SETTINGS.trials).all()


@pytest.mark.parametrize(
    ("tokens_per_batch", "limit", "expected"),
    [(100, 10**6, [96] * 4), (None, 100, [384, 192, 96, 96, 96, 96])],
)
def test_measure_retrieval_keeps_to_its_tokens_and_what_memory_held(
    tokens, tokens_per_batch, limit, expected
):
    """12 trials of 32 tokens for each depth and condition; a batch has 3 or more of them."""
    reader = Reader(tokens.vocab_size)
    limited_reader, batches = limited(reader, limit)
    config = EvaluationConfig(trials=12, tokens_per_batch=tokens_per_batch)
    plan = EvalPlan([32, 64], {}, tokens)
    names = ["retrieval", "variable_tracking"]
    found = measure_retrieval(limited_reader, plan, names, config, Accelerator(cpu=True))
    for name, rows in found.groupby("task"):
        alone = measure_task(str(name), reader, tokens, plan.lengths, SETTINGS)
        pd.testing.assert_frame_equal(rows.drop(columns="task").reset_index(drop=True), alone)
    assert batches[: len(expected)] == expected
    assert max(batches[len(expected) :]) <= 100


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
