"""The floor against enumeration and quadrature that know the law but none of its code."""

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

from posext.analysis import curves, excess_loss
from posext.analysis.statistics import gain_share
from posext.config import DataConfig, EvaluationConfig
from posext.data import dataset, synthetic
from posext.eval import bayes_floor, curve
from posext.eval.scoring import score_windows
from posext.runs import run

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
rng = np.random.default_rng(0)


def every_window(symbols: int, length: int) -> list[tuple[int, ...]]:
    return list(itertools.product(range(symbols), repeat=length))


def plan_of(config: DataConfig, lengths: list[int], size: int) -> curve.EvalPlan:
    tokens = dataset.load_data(config, progress=False)
    return curve.make_plan(
        tokens, lengths, ["fixed_target"], lengths[0], EvaluationConfig(blocks=2, targets=size)
    )


@pytest.fixture
def config(tmp_path):
    return DataConfig(
        source="markov", tokenizer="letters", vocab_size=3, symbols=3, concentration=0.5, documents=400,
        document_tokens=300, cache=str(tmp_path / "cache"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("symbols", "order", "a"), [(2, 1, 0.5), (3, 1, 0.3), (3, 2, 1.0), (5, 3, 2.0)]
)
def test_the_markov_floor_sums_to_the_marginal_likelihood(symbols, order, a):
    """The Dirichlet-multinomial in closed form: one factor of gamma functions a row."""
    for length in (1, order, order + 1, 40, 200):
        window = rng.integers(symbols, size=length).tolist()
        counts = Counter((tuple(window[t - order : t]), window[t]) for t in range(order, length))
        expected = -min(length, order) * math.log(symbols)
        for state in {state for state, _ in counts}:
            n = [counts[state, x] for x in range(symbols)]
            expected += math.lgamma(symbols * a) - math.lgamma(symbols * a + sum(n))
            expected += sum(math.lgamma(a + each) - math.lgamma(a) for each in n)
        assert bayes_floor.markov_nll(np.array(window), symbols, order, a).sum() == pytest.approx(
            -expected, rel=1e-12
        )


@pytest.mark.parametrize("order", [1, 2])
def test_each_markov_cost_is_the_quadrature_over_all_rows(order):
    """Two symbols, Beta(1/2, 1/2): Chebyshev's nodes with equal weights integrate the likelihood, a polynomial, exactly."""
    nodes = (1 + np.cos((np.arange(8) + 0.5) * np.pi / 8)) / 2
    rows = np.array(
        list(itertools.product(nodes, repeat=2**order))
    )  # P(1 | state) of each state, all together

    def probability(window: list[int]) -> float:
        likelihood = np.full(len(rows), 0.5 ** min(order, len(window)))
        for t in range(order, len(window)):
            up = rows[:, int("".join(map(str, window[t - order : t])), 2)]
            likelihood *= up if window[t] else 1 - up
        return likelihood.mean()

    for _ in range(10):
        window = rng.integers(2, size=9).tolist()
        expected = [
            -math.log(probability(window[: t + 1]) / probability(window[:t])) for t in range(9)
        ]
        assert bayes_floor.markov_nll(np.array(window), 2, order, 0.5) == pytest.approx(
            expected, rel=1e-9
        )


def test_what_the_first_state_of_a_cut_window_tells_falls_faster_than_the_context_grows():
    """Two symbols: a window from a stationary chain, all windows and rows enumerated, against the floor that ignores it."""
    nodes = (1 + np.cos((np.arange(300) + 0.5) * np.pi / 300)) / 2
    up, down = (each.ravel() for each in np.meshgrid(nodes, nodes))  # P(1 | 0) and P(0 | 1)
    move, first = {(0, 1): up, (0, 0): 1 - up, (1, 0): down, (1, 1): 1 - down}, {0: down, 1: up}

    def gap(length: int) -> float:
        """Expected NLL of the last of so many symbols: the floor's less the exact one's, in nats."""
        total = 0.0
        for window in every_window(2, length):
            path = first[window[0]] / (up + down)
            for pair in itertools.pairwise(window[:-1]):
                path = path * move[pair]
            before, whole = path.mean(), (path * move[window[-2:]]).mean()
            total += whole * (
                bayes_floor.markov_nll(np.array(window), 2, 1, 0.5)[-1] + math.log(whole / before)
            )
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
def test_the_copy_floor_is_the_enumeration_of_periods_blocks_and_cuts(symbols, low, high, length):
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
        expected = [
            -math.log(weights[window[: n + 1]] / weights[window[:n]]) for n in range(length)
        ]
        assert bayes_floor.copy_nll(np.array(window), symbols, low, high) == pytest.approx(
            expected, rel=1e-9, abs=1e-9
        )


def test_a_window_that_no_period_explains_is_refused():
    with pytest.raises(ValueError, match="no period from 2 to 3 explains this window of 6 symbols"):
        bayes_floor.copy_nll(np.array([0, 1, 1, 0, 0, 0]), 2, 2, 3)


@pytest.mark.parametrize("order", [1, 2])
def test_no_other_predictor_has_a_lower_expected_nll(order):
    """Gibbs: under the law of a document's start, where every window's probability is exp of minus the floor's sum."""
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


def test_the_floor_scores_what_a_model_reads(config):
    """A model that counts pairs in its window and adds the prior's has the floor's NLL, target by target."""
    plan = plan_of(config, [16, 64, 256], size=8)

    def counting(tokens_BT):
        same = torch.nn.functional.one_hot(tokens_BT, 3).double()
        pairs = torch.einsum("bti,btj->btij", same[:, :-1], same[:, 1:]).cumsum(1)
        pairs = torch.cat([torch.zeros_like(pairs[:, :1]), pairs], 1)
        counts = torch.einsum("bti,btij->btj", same, pairs) + 0.5
        return (counts / counts.sum(-1, keepdim=True)).log()

    for windows in plan.protocols["fixed_target"].windows.values():
        expected = score_windows(counting, plan.tokens.validation.document, windows, 4096)
        np.testing.assert_allclose(
            bayes_floor.score_floor(plan, config, windows), expected, rtol=1e-5, atol=1e-6
        )


def test_the_floor_falls_with_context(config):
    plan = plan_of(config, [8, 16, 32, 64, 128, 256], size=4)
    sums, _ = bayes_floor.measure_floor(plan, config)
    assert list(sums.columns) == curve.CURVE_SUM_COLUMNS
    assert sums.context_length.drop_duplicates().tolist() == plan.lengths
    total = sums.groupby("context_length")[["nll", "tokens"]].sum()
    falling = (total.nll / total.tokens).tolist()
    assert falling == sorted(falling, reverse=True)
    assert falling[0] < math.log(3)


def test_the_markov_floor_costs_little_more_than_the_best_rows_in_hindsight(config):
    """With concentration 1/2 it is Krichevsky and Trofimov's estimator: (V - 1) / 2 log n + log V more a row, at most."""
    for chain in synthetic.documents(config):
        pairs = Counter(itertools.pairwise(chain.tolist()))
        visits = Counter(chain[:-1].tolist())
        hindsight = -sum(n * math.log(n / visits[state]) for (state, _), n in pairs.items())
        more = bayes_floor.window_nll(chain, config)[1:].sum() - hindsight
        assert 0 < more <= sum(math.log(n) + math.log(3) for n in visits.values())


def test_the_copy_floor_goes_from_chance_to_nothing():
    config = DataConfig(
        source="copy", symbols=32, period_min=8, period_max=64, documents=20, document_tokens=300
    )
    costs = np.stack(
        [bayes_floor.window_nll(window[100:], config) for window in synthetic.documents(config)]
    )
    assert costs[:, :8] == pytest.approx(math.log(32))
    assert costs[:, 130:].max() < 1e-9


def test_the_share_of_the_gain_is_1_on_the_floor_0_on_the_crop_and_nan_where_nothing_can_be_gained():
    below, weight = np.outer([1.2, 1.0, 0.9, 0.8, np.nan], np.ones(3)), np.ones(3)
    assert [
        gain_share(nll, nll, below[1], below[1], weight).value for nll in below[2:4]
    ] == pytest.approx([1, 1])
    curve = np.outer([1.4, 1.1, 1.1, 1.0, 1.0], np.ones(3))
    shares = [
        gain_share(nll, floor, curve[1], below[1], weight).value
        for nll, floor in zip(curve, below, strict=True)
    ]
    np.testing.assert_allclose(shares, [np.nan, np.nan, 0, 0.5, np.nan], atol=1e-12)
    assert np.isnan(gain_share(below[2], below[2], below[4], below[1], weight)).all()


def test_a_distance_over_one_document_has_no_interval():
    level = np.ones(1)
    sums = sums_of(
        {
            ("", ""): {8: level + 0.1, 16: level},
            (bayes_floor.FLOOR, ""): {8: level, 16: level - 0.2},
        }
    )
    found = excess_loss.distances(sums, train_length=8).loc[("", "", "p", 16)]
    assert excess_loss.excess_loss_cell(*found) == "0.200 (no interval)"


def sums_of(nll: dict[tuple[str, str], dict[int, np.ndarray]]) -> pd.DataFrame:
    """A documents.parquet of 10 targets a document, from the NLL of each document."""
    rows = [
        {"extend": e, "factor": f, "protocol": "p", "context_length": n, "document": f"d{i}", "nll": 10 * x, "tokens": 10}
        for (e, f), curve in nll.items()
        for n, nll_D in curve.items()
        for i, x in enumerate(nll_D)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_distances_are_paired_and_shares_are_taken_from_the_run_as_trained_with_its_matched_factor():
    level = rng.normal(1, 0.4, size=60)
    sums = sums_of(
        {
            ("", "auto"): {8: level + 0.1, 16: level + 0.05 + rng.normal(0, 0.01, 60)},
            ("", "16"): {8: level + 0.3},
            ("yarn", ""): {16: level - 0.2, 32: level},
            (bayes_floor.FLOOR, ""): {8: level, 16: level - 0.2},
        }
    )
    found = excess_loss.distances(sums, train_length=8)
    near = found.loc[("", "auto", "p", 16)]
    assert near.distance.value == pytest.approx(0.25, abs=0.005)
    assert (
        0 < near.distance.high - near.distance.low < 0.01
    )  # the levels alone are uncertain by 0.2
    assert near.share.value == pytest.approx(0.05 / 0.2, abs=0.03)
    assert near.share.low < near.share.value < near.share.high
    assert found.loc[("yarn", "", "p", 16)].share.value == pytest.approx(0.3 / 0.2)
    assert found.loc[("", "16", "p", 8)].distance.value == pytest.approx(0.3)
    assert np.isnan(found.loc[("", "auto", "p", 8)].share).all()
    assert np.isnan(
        [*found.loc[("yarn", "", "p", 32)].distance, *found.loc[("yarn", "", "p", 32)].share]
    ).all()


@pytest.mark.parametrize(("loss", "warns"), [(1.0, False), (1.1, False), (1.3, True), (2.0, True)])
def test_a_loss_far_above_the_floor_in_range_is_warned_of(caplog, loss, warns):
    rows = pd.DataFrame(
        {
            "extend": ["", "", "floor", "floor"],
            "context_length": [8, 16, 8, 16],
            "nll": [9, loss, 8, 0.9],
        }
    )
    bayes_floor.warn_if_far(
        rows.assign(trained_length=16, protocol="fixed_target"), symbols=8
    )  # log 8 = 2.08: a fifth of what can be gained is 0.24
    assert ("above the floor" in caplog.text) == warns


def test_a_run_on_markov_leaves_its_floor_beside_its_curve(command, small, tmp_path):
    kept = [typed for typed in small if not typed.startswith(("data=", "data."))]
    typed = [
        "data=markov",
        "data.documents=60",
        "data.document_tokens=300",
        f"data.cache={tmp_path}/cache",
        *kept,
    ]
    code, out, err = command("train", "+pe=yarn", *typed, "name=mine", "data.validation_share=0.3")
    assert code == 0, err
    assert "above the floor" in err  # six steps teach nothing
    code, again, err = command(
        "evaluate", "run=results/runs/mine", "+pe@extend=ntk", "tracking.wandb=disabled"
    )
    assert code == 0, err
    assert out.count("\nfloor ") == again.count("\nfloor ") == 1
    rows = curves.read_curves("results/runs/mine/curves.csv")
    fixed = {("yarn", "16"), ("ntk", "auto"), ("ntk", "16")}
    assert Counter(zip(rows.extend, rows.factor, strict=True)) == Counter(
        6 * [("", "auto"), ("floor", ""), *fixed]
    )
    below = rows[rows.extend == "floor"].set_index("context_length").nll
    as_trained = rows[(rows.extend == "") & (rows.factor == "auto")].set_index("context_length").nll
    assert (below < as_trained).all()
    np.testing.assert_allclose(rows.bits_per_byte, rows.nll / np.log(2))
    made = subprocess.run(
        [sys.executable, SCRIPTS / "make_table.py", "--floor", "results/runs/mine"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    cells = made.stdout.splitlines()[2].split("|")
    assert cells[1].strip() == "yarn, s matched"
    assert float(cells[4].split("±")[0]) == pytest.approx(as_trained[16] - below[16], abs=6e-4)
    assert "%" in cells[5]
    assert "%" not in cells[4]
    assert made.stdout.count("\n") == 2 + 4


def test_curves_on_other_targets_than_the_floor_have_no_distance(command, small, tmp_path):
    kept = [typed for typed in small if not typed.startswith(("data=", "data."))]
    typed = [
        "data=markov",
        "data.documents=60",
        "data.document_tokens=300",
        f"data.cache={tmp_path}/cache",
        *kept,
    ]
    folder = Path("results/runs/mine")
    assert (
        command("train", "+pe=rope", *typed, "steps=1", "name=mine", "data.validation_share=0.3")[0]
        == 0
    )
    before = excess_loss.excess_loss_of_run(run.load_run(folder))
    assert set(before.index.get_level_values("extend")) == {"", "floor"}
    again = ["evaluate", f"run={folder}", "tracking.wandb=disabled", "+pe@extend=none"]
    assert command(*again)[0] == 0
    assert (
        excess_loss.excess_loss_of_run(run.load_run(folder)).loc[""].distance.tolist()
        == before.loc[""].distance.tolist()
    )
    assert command(*again, "context_lengths=[16,32]")[0] == 0
    assert set(
        excess_loss.excess_loss_of_run(run.load_run(folder)).index.get_level_values("extend")
    ) == {
        "none",
        "floor",
    }


def test_runs_on_the_same_targets_share_one_floor_in_tables():
    rows = pd.DataFrame(
        [
            {"run": name, "extend": extend, "context_length": n, "nll": nll, "protocol": "p"}
            for name, below in (("a", 1.0), ("b", 1.0), ("c", 1.1))
            for extend, nll in (("", 2.0), ("floor", below))
            for n in (8, 16)
        ]
    )
    kept = curves.dedupe_floor(rows)
    assert kept[kept.extend == "floor"].run.tolist() == ["a", "a", "c", "c"]
    assert (kept.extend == "").sum() == 6


def test_a_floor_table_of_a_run_on_text_is_refused(command, small):
    assert command("train", "+pe=rope", *small, "steps=1", "name=mine")[0] == 0
    with pytest.raises(
        ValueError, match="mine has no floor: it takes a measured run on data=markov or copy"
    ):
        excess_loss.excess_loss_table(
            curves.read_curves("results/runs/mine/curves.csv"), [Path("results/runs/mine")]
        )
