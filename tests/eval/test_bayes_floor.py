"""The Bayes floor, against enumeration and quadrature that share no code with it."""

import itertools
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from posext.analysis import curves
from posext.config import CopyData, DataConfig, EvaluationConfig, MarkovData
from posext.data import dataset, synthetic
from posext.eval import bayes_floor, curve
from posext.eval.scoring import score_windows

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def every_window(symbols: int, length: int) -> list[tuple[int, ...]]:
    return list(itertools.product(range(symbols), repeat=length))


def plan_of(config: DataConfig, lengths: list[int], size: int) -> curve.EvalPlan:
    tokens = dataset.load_data(config, progress=False)
    settings = EvaluationConfig(blocks=2, targets=size)
    return curve.make_plan(tokens, lengths, ["fixed_target"], lengths[0], settings)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def config(tmp_path):
    return MarkovData(
        vocab_size=3,
        symbols=3,
        concentration=0.5,
        documents=400,
        document_tokens=300,
        cache=str(tmp_path / "cache"),
    )


@pytest.mark.parametrize(
    ("symbols", "order", "a"), [(2, 1, 0.5), (3, 1, 0.3), (3, 2, 1.0), (5, 3, 2.0)]
)
def test_markov_nll_sums_to_the_marginal_likelihood(rng, symbols, order, a):
    """That is the Dirichlet-multinomial in closed form: a factor of gamma functions a row."""
    for length in (1, order, order + 1, 40, 200):
        window = rng.integers(symbols, size=length).tolist()
        counts = Counter((tuple(window[t - order : t]), window[t]) for t in range(order, length))
        expected = -min(length, order) * math.log(symbols)
        for state in {state for state, _ in counts}:
            n = [counts[state, x] for x in range(symbols)]
            expected += math.lgamma(symbols * a) - math.lgamma(symbols * a + sum(n))
            expected += sum(math.lgamma(a + each) - math.lgamma(a) for each in n)
        nll = bayes_floor.markov_nll(np.array(window), symbols, order, a)
        assert nll.sum() == pytest.approx(-expected, rel=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_markov_nll_is_the_quadrature_over_all_rows(rng, order):
    """For two symbols the prior is Beta(1/2, 1/2), and the likelihood is a polynomial.

    Chebyshev's nodes with equal weights integrate it exactly.
    """
    nodes = (1 + np.cos((np.arange(8) + 0.5) * np.pi / 8)) / 2
    rows = np.array(list(itertools.product(nodes, repeat=2**order)))  # P(1 | state) of all states

    def probability(window: list[int]) -> float:
        likelihood = np.full(len(rows), 0.5 ** min(order, len(window)))
        for t in range(order, len(window)):
            up = rows[:, int("".join(map(str, window[t - order : t])), 2)]
            likelihood *= up if window[t] else 1 - up
        return likelihood.mean()

    for _ in range(10):
        window = rng.integers(2, size=9).tolist()
        likelihoods = [probability(window[:t]) for t in range(10)]
        expected = [-math.log(after / before) for before, after in itertools.pairwise(likelihoods)]
        nll = bayes_floor.markov_nll(np.array(window), 2, order, 0.5)
        assert nll == pytest.approx(expected, rel=1e-9)


def test_markov_nll_loses_little_by_ignoring_stationarity():
    """What the first state of a cut window tells falls faster than the context grows.

    The floor is compared with the exact NLL of windows of a stationary chain of two symbols, over
    all windows and rows.
    """
    nodes = (1 + np.cos((np.arange(300) + 0.5) * np.pi / 300)) / 2
    up, down = (each.ravel() for each in np.meshgrid(nodes, nodes))  # P(1 | 0) and P(0 | 1)
    move = {(0, 1): up, (0, 0): 1 - up, (1, 0): down, (1, 1): 1 - down}
    first = {0: down, 1: up}

    def gap(length: int) -> float:
        """Expected NLL of the last of so many symbols: the floor's less the exact one."""
        total = 0.0
        for window in every_window(2, length):
            path = first[window[0]] / (up + down)
            for pair in itertools.pairwise(window[:-1]):
                path = path * move[pair]
            before = path.mean()
            whole = (path * move[window[-2:]]).mean()
            floor = bayes_floor.markov_nll(np.array(window), 2, 1, 0.5)[-1]
            total += whole * (floor + math.log(whole / before))
        return total

    gaps = [gap(length) for length in (2, 3, 5, 7, 9)]
    assert min(gaps) > 0
    by_context = [gap * n for gap, n in zip(gaps, (1, 2, 4, 6, 8), strict=True)]
    assert by_context[1:] == sorted(by_context[1:], reverse=True)
    assert gaps[0] > 0.02  # the second symbol of a cut window is not a toss of a coin
    assert gaps[-1] < 0.007


@pytest.mark.parametrize(
    ("symbols", "low", "high", "length"), [(2, 1, 3, 8), (2, 2, 4, 9), (3, 2, 3, 6), (2, 3, 3, 5)]
)
def test_copy_nll_is_the_enumeration_of_periods_and_blocks(symbols, low, high, length):
    weights = Counter()
    for period in range(low, high + 1):
        for block in every_window(symbols, period):
            for cut in range(period):
                window = tuple(block[(cut + t) % period] for t in range(length))
                for n in range(length + 1):
                    weights[window[:n]] += symbols**-period / period
    possible = [window for window in weights if len(window) == length]
    assert len(possible) < symbols**length
    for window in possible:
        of_prefixes = [weights[window[:n]] for n in range(length + 1)]
        expected = [-math.log(after / before) for before, after in itertools.pairwise(of_prefixes)]
        nll = bayes_floor.copy_nll(np.array(window), symbols, low, high)
        assert nll == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_copy_nll_refuses_a_window_that_no_period_explains():
    with pytest.raises(ValueError, match="no period from 2 to 3 explains this window of 6 symbols"):
        bayes_floor.copy_nll(np.array([0, 1, 1, 0, 0, 0]), 2, 2, 3)


@pytest.mark.parametrize("order", [1, 2])
def test_markov_nll_is_the_lowest_expected_nll(order):
    """By Gibbs' inequality, no other predictor is better under the law of a document's start.

    There the probability of a window is exp of minus the floor's sum.
    """
    windows = np.array(every_window(3, 7))
    costs = np.array([bayes_floor.markov_nll(window, 3, order, 0.4) for window in windows])
    chances = np.exp(-costs.sum(axis=1))
    assert chances.sum() == pytest.approx(1)
    least = chances @ costs[:, -1]
    unigram = -np.log([((w[:-1] == w[-1]).sum() + 0.4) / (6 + 1.2) for w in windows])
    others = [
        bayes_floor.markov_nll(w, 3, k, a)[-1]
        for k, a in ((order, 0.2), (order, 1.0), (3 - order, 0.4))
        for w in windows
    ]
    for other in (unigram, np.full(len(windows), math.log(3)), *np.split(np.array(others), 3)):
        assert least < chances @ other - 1e-3


def test_score_floor_scores_what_a_model_reads(config):
    """A model that counts pairs in its window and adds the prior's has the floor's NLL."""
    plan = plan_of(config, [16, 64, 256], size=8)

    def counting(tokens_BT):
        same = torch.nn.functional.one_hot(tokens_BT, 3).double()
        pairs = torch.einsum("bti,btj->btij", same[:, :-1], same[:, 1:]).cumsum(1)
        pairs = torch.cat([torch.zeros_like(pairs[:, :1]), pairs], 1)
        counts = torch.einsum("bti,btij->btj", same, pairs) + 0.5
        return (counts / counts.sum(-1, keepdim=True)).log()

    for windows in plan.protocols["fixed_target"].windows.values():
        expected = score_windows(counting, plan.tokens.validation.document, windows, 4096)
        floor = bayes_floor.score_floor(plan, config, windows)
        np.testing.assert_allclose(floor, expected, rtol=1e-5, atol=1e-6)


def test_measure_floor_falls_with_context(config):
    plan = plan_of(config, [8, 16, 32, 64, 128, 256], size=4)
    sums, _ = bayes_floor.measure_floor(plan, config)
    assert list(sums.columns) == curve.CURVE_SUM_COLUMNS
    assert sums.context_length.drop_duplicates().tolist() == plan.lengths
    total = sums.groupby("context_length")[["nll", "tokens"]].sum()
    floor = (total.nll / total.tokens).tolist()
    assert floor == sorted(floor, reverse=True)
    assert floor[0] < math.log(3)


def test_measure_floor_leaves_out_changed_text(config):
    """Text that is shuffled or replaced does not follow the law; a part of a document does."""
    tokens = dataset.load_data(config, progress=False)
    settings = EvaluationConfig(blocks=2, targets=4)
    plan = curve.make_plan(tokens, [8, 32], ["fixed_target", "perturbed"], 8, settings)
    sums, _ = bayes_floor.measure_floor(plan, config)
    total = sums.groupby(["protocol", "group", "context_length"])[["nll", "tokens"]].sum()
    nll = total.nll / total.tokens
    assert set(nll["perturbed"].index) == {("intact", 32), *(("dropped", 2**n) for n in range(5))}
    assert nll["perturbed", "intact", 32] == nll["fixed_target", "", 32]
    assert (np.diff(nll["perturbed", "dropped"]) < 0).all()


def test_window_nll_of_markov_is_near_the_best_in_hindsight(config):
    """It exceeds the best rows by at most (V - 1) / 2 log n + log V a row.

    With concentration 1/2 it is the estimator of Krichevsky and Trofimov, which has this bound.
    """
    for chain in synthetic.symbol_sequences(config):
        pairs = Counter(itertools.pairwise(chain.tolist()))
        visits = Counter(chain[:-1].tolist())
        hindsight = -sum(n * math.log(n / visits[state]) for (state, _), n in pairs.items())
        more = bayes_floor.window_nll(chain, config)[1:].sum() - hindsight
        assert 0 < more <= sum(math.log(n) + math.log(3) for n in visits.values())


def test_window_nll_of_copy_falls_from_chance_to_zero():
    config = CopyData(symbols=32, period_min=8, period_max=64, documents=20, document_tokens=300)
    costs = np.stack(
        [
            bayes_floor.window_nll(window[100:], config)
            for window in synthetic.symbol_sequences(config)
        ]
    )
    assert costs[:, :8] == pytest.approx(math.log(32))
    assert costs[:, 130:].max() < 1e-9


@pytest.mark.parametrize(("loss", "warns"), [(1.0, False), (1.1, False), (1.3, True), (2.0, True)])
def test_warn_if_far_warns_above_a_fifth_of_the_gain(caplog, loss, warns):
    """A loss is far if over a fifth of what the floor gains is missing: 0.24 of log 8 - 0.9."""
    rows = pd.DataFrame(
        {
            "extend": ["", "", "floor", "floor"],
            "context_length": [8, 16, 8, 16],
            "nll": [9, loss, 8, 0.9],
        }
    )
    bayes_floor.warn_if_far(rows.assign(trained_length=16, protocol="fixed_target"), symbols=8)
    assert ("above the floor" in caplog.text) == warns


def test_train_on_markov_stores_the_floor_beside_its_curve(command, small_markov):
    code, out, err = command("train", "+pe=yarn", *small_markov, "name=mine")
    assert code == 0, err
    assert "above the floor" in err  # six steps teach nothing
    code, out_again, err = command(
        "evaluate", "run=results/runs/mine", "+pe@extend=ntk", "tracking.wandb=disabled"
    )
    assert code == 0, err
    assert out.count("\nfloor ") == out_again.count("\nfloor ") == 1
    rows = curves.read_curves("results/runs/mine/curves.csv")
    extended = [("yarn", "16"), ("rope", ""), ("ntk", "auto"), ("ntk", "16")]
    measured = Counter(zip(rows.extend, rows.factor, strict=True))
    assert measured == Counter(6 * [("", "auto"), ("floor", ""), *extended])
    floor = rows[rows.extend == "floor"].set_index("context_length").nll
    as_trained = rows[(rows.extend == "") & (rows.factor == "auto")].set_index("context_length").nll
    assert (floor < as_trained).all()
    np.testing.assert_allclose(rows.bits_per_byte, rows.nll / np.log(2))
    table = subprocess.run(
        [sys.executable, SCRIPTS / "make_table.py", "--floor", "results/runs/mine"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    cells = table.splitlines()[2].split("|")
    assert cells[1].strip() == "yarn, s matched"
    assert float(cells[4].split("±")[0]) == pytest.approx(as_trained[16] - floor[16], abs=6e-4)
    assert "%" in cells[5]
    assert "%" not in cells[4]
    assert table.count("\n") == 2 + 5
