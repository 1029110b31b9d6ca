"""Accuracy of models whose answers are known."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate import Accelerator
from helpers.memory import limited

from posext.analysis.accuracy import with_intervals
from posext.config import EXAMPLE_TOKENS, AlgorithmicData, EvaluationConfig
from posext.data.algorithmic.corpus import TaskCorpus
from posext.data.algorithmic.task import END, IGNORED
from posext.eval.accuracy import counts, effective_symbols, example_lengths, measure_accuracy
from posext.eval.curve import context_lengths

LENGTHS = [3, 6, 12]
EXAMPLES = 64
EVALUATION = EvaluationConfig(examples=EXAMPLES, tokens_per_batch=200)
IN_ALL_TASKS = pytest.mark.parametrize("task", EXAMPLE_TOKENS)


def corpus_of(task: str, **settings) -> TaskCorpus:
    return TaskCorpus(AlgorithmicData(task=task, length=6, **settings))


def measured(model, corpus: TaskCorpus, lengths=LENGTHS, config=EVALUATION) -> pd.DataFrame:
    rows = measure_accuracy(model, corpus, lengths, config, Accelerator(cpu=True))
    return with_intervals(rows)


class Knows(torch.nn.Module):
    """Predicts the labels of the test examples, as `change` leaves them; 0 elsewhere."""

    def __init__(self, corpus: TaskCorpus, change=lambda labels_RT: labels_RT):
        super().__init__()
        self.vocab_size = corpus.vocab_size
        self.answers = {}
        for length in LENGTHS:
            examples = corpus.test_examples(0, length, EXAMPLES)
            changed = change(examples.labels_RT.copy())
            for tokens, labels in zip(examples.tokens_RT, changed, strict=True):
                self.answers[tokens.tobytes()] = torch.from_numpy(labels.clip(min=0))

    def forward(self, tokens_BT):
        labels_BT = torch.stack([self.answers[row.tobytes()] for row in tokens_BT.numpy()])
        return torch.nn.functional.one_hot(labels_BT, self.vocab_size).float()


@IN_ALL_TASKS
def test_measure_accuracy_of_a_model_that_knows_all_answers_is_1(task):
    rows = measured(Knows(corpus := corpus_of(task)), corpus)
    assert rows.length.tolist() == LENGTHS
    assert rows.tokens.tolist() == [corpus.config.tokens_read(length) for length in LENGTHS]
    assert rows.exact.tolist() == rows.examples.tolist() == [EXAMPLES] * 3
    assert rows.normalized_accuracy.tolist() == rows.exact_match.tolist() == [1] * 3
    assert (rows.exact_match_low > 0.94).all()
    assert (rows.right == rows.symbols).all()


@IN_ALL_TASKS
def test_measure_accuracy_of_a_random_symbol_is_at_most_that_of_a_guess(task):
    """Equal where symbols are uniform; the best guess of the others knows more."""
    corpus = corpus_of(task)
    generator = torch.Generator().manual_seed(0)
    symbols = len(corpus.task.symbols) if task != "dyck" else 8

    def random_symbol(tokens_BT):
        logits = torch.full((*tokens_BT.shape, corpus.vocab_size), -1.0)
        logits[..., -symbols:] = torch.rand(*tokens_BT.shape, symbols, generator=generator)
        return logits

    rows = measured(random_symbol, corpus, [12], EvaluationConfig(examples=1000))
    known = task in ("addition", "flip_flop", "sorting")
    low, high = (-1.0, 0.0) if known else (-0.1, 0.1)
    assert low < rows.normalized_accuracy[0] < high
    assert rows.exact_match[0] < 0.55


def test_measure_accuracy_needs_the_end_for_an_exact_match_alone():
    """A model that goes on after the answer has all symbols right and no exact match."""

    def without_end(labels_RT):
        labels_RT[labels_RT == END] = END - 1
        return labels_RT

    rows = measured(Knows(corpus := corpus_of("copy"), without_end), corpus)
    assert rows.exact.tolist() == [0] * 3
    assert rows.normalized_accuracy.tolist() == [1] * 3
    assert rows.symbols.tolist() == [EXAMPLES * length for length in LENGTHS]


def test_measure_accuracy_counts_hints_in_exact_match_alone():
    corpus = corpus_of("addition", index_hints=True)

    def without_hints(labels_RT):
        labels_RT[(labels_RT > END) & (labels_RT < corpus.task.first)] = 0
        return labels_RT

    rows = measured(Knows(corpus, without_hints), corpus)
    assert rows.exact.tolist() == [0] * 3
    assert rows.normalized_accuracy.tolist() == [1] * 3
    assert rows.symbols.tolist() == [EXAMPLES * (length + 1) for length in LENGTHS]


def test_measure_accuracy_counts_wrong_symbols():
    """In every other example the first symbol of the answer is wrong."""

    def one_wrong(labels_RT):
        first_T = (labels_RT != IGNORED).argmax(axis=1)
        labels_RT[np.arange(0, EXAMPLES, 2), first_T[::2]] = 0
        return labels_RT

    rows = measured(Knows(corpus := corpus_of("reverse"), one_wrong), corpus)
    share = 1 - 0.5 / np.array(LENGTHS)
    assert rows.exact_match.tolist() == [0.5] * 3
    assert rows.token_accuracy.tolist() == pytest.approx(share)
    assert rows.normalized_accuracy.tolist() == pytest.approx((share - 0.01) / 0.99)
    assert (rows.normalized_accuracy_low < rows.normalized_accuracy).all()
    assert (rows.normalized_accuracy_high > rows.normalized_accuracy).all()


def test_measure_accuracy_has_the_chance_of_each_length():
    """A guess of the next number is right n / S of the time, of S numbers (sorting)."""
    corpus = corpus_of("sorting")
    rows = measured(Knows(corpus), corpus)
    assert rows.chance.tolist() == [length / corpus.task.reach for length in LENGTHS]


def test_measure_accuracy_draws_examples_by_the_seed():
    seen = []

    def records(tokens_BT):
        seen.append(tokens_BT)
        return torch.zeros(*tokens_BT.shape, corpus.vocab_size)

    corpus = corpus_of("copy")
    for seed in (0, 1, 1):
        measured(records, corpus, [6], EvaluationConfig(examples=8, seed=seed))
    first, second, again = seen
    assert torch.equal(second, again)
    assert not torch.equal(first, second)


def test_measure_accuracy_keeps_to_what_memory_held():
    """64 examples of 8 tokens, then 32 and 16; those of 14 and 26 tokens at 16 * 8 at once."""
    corpus = corpus_of("copy")
    config = EvaluationConfig(examples=EXAMPLES, tokens_per_batch=512)
    model, batches = limited(knows := Knows(corpus), 150)
    pd.testing.assert_frame_equal(
        measured(model, corpus, config=config), measured(knows, corpus, config=config)
    )
    assert batches[:6] == [512, 256, 128, 128, 128, 128]
    assert batches[6:] == [9 * 14] * 7 + [14] + [4 * 26] * 16


def test_measure_accuracy_leaves_undefined_lengths_empty():
    corpus = corpus_of("copy")
    model = Knows(corpus)
    model.pe = torch.nn.Module()
    model.pe.max_length = corpus.config.tokens_read(6)
    rows = measured(model, corpus)
    assert rows.examples.tolist() == [EXAMPLES, EXAMPLES, 0]
    assert rows.exact_match.isna().tolist() == [False, False, True]
    assert rows.normalized_accuracy.isna().tolist() == [False, False, True]


def test_counts_of_no_scored_symbol_but_marks():
    labels = np.array([[IGNORED, 5, 3], [IGNORED, 6, 3]])
    right = np.array([[False, True, True], [False, True, False]])
    found = counts(right, labels, first=5)
    assert found == {
        "examples": 2,
        "exact": 1,
        "symbols": 2,
        "right": 2,
        "effective_symbols": 2.0,
    }


def test_effective_symbols_are_those_that_vary_alone():
    """All, where symbols are independent; one of each example, where its symbols agree."""
    rng = np.random.default_rng(0)
    symbols = np.full(4000, 10)
    independent = rng.binomial(10, 0.7, size=4000)
    assert effective_symbols(independent, symbols) == pytest.approx(40_000, rel=0.08)
    together = 10 * rng.binomial(1, 0.7, size=4000)
    assert effective_symbols(together, symbols) == pytest.approx(4000, rel=0.01)
    assert effective_symbols(symbols, symbols) == 4000
    alternating = np.tile([4, 6], 2000)  # less spread than independent ones have
    assert effective_symbols(alternating, symbols) == 40_000


def test_effective_symbols_of_uneven_examples():
    """Examples all right or all wrong count by Kish's (sum w)^2 / sum w^2."""
    rng = np.random.default_rng(0)
    symbols = np.where(rng.random(20_000) < 0.5, 1, 9)
    right = symbols * rng.binomial(1, 0.6, size=20_000)
    kish = symbols.sum() ** 2 / (symbols**2).sum()
    assert effective_symbols(right, symbols) == pytest.approx(kish, rel=0.03)


def test_example_lengths_are_multiples_of_those_trained():
    data = AlgorithmicData(length=20)
    assert example_lengths(data, EvaluationConfig()) == [10, 20, 30, 40, 80, 160]
    assert example_lengths(data, EvaluationConfig(example_lengths=[5, 7])) == [5, 7]
    assert example_lengths(AlgorithmicData(length=2), EvaluationConfig()) == [2, 3, 4, 8, 16]


def test_context_lengths_of_a_task_are_tokens():
    config = SimpleNamespace(data=AlgorithmicData(length=20), evaluation=EvaluationConfig())
    run = SimpleNamespace(config=config)
    assert context_lengths(run) == [22, 42, 62, 82, 162, 322]
