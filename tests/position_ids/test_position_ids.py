"""Which positions training sees: pure functions of (seed, step), with the ranges that the papers give."""

import pytest
import torch

from posext.model.attention import prepare
from posext.pe import build

L = 16
SHAPE = {"head_dim": 8, "n_heads": 4, "d_model": 32, "train_length": L}


def drawn(scheme, step: int, length: int = L, seed: int = 3) -> torch.Tensor:
    scheme.set_progress(trained_length=length, rng_key=(seed, step))
    return scheme.positions(length)


@pytest.mark.parametrize("name", ["shape", "randomized", "pose"])
def test_positions_are_a_function_of_seed_and_step_alone(name):
    first, second = (build("rope", **SHAPE, position_ids=name) for _ in range(2))
    here = [drawn(first, step) for step in range(30)]
    there = [drawn(second, step) for step in reversed(range(30))][::-1]
    assert all(a.equal(b) for a, b in zip(here, there, strict=True))
    assert len({tuple(p.tolist()) for p in here}) > 10
    assert not drawn(first, 1).equal(drawn(first, 1, seed=4))
    assert all((p.diff() > 0).all() and p[0] >= 0 and p.dtype == torch.int64 for p in here)


@pytest.mark.parametrize("name", ["shape", "pose"])
def test_evaluation_counts_from_zero(name):
    assert build("rope", **SHAPE, position_ids=name).positions(40).equal(torch.arange(40))


def test_a_shift_is_uniform_and_keeps_distances():
    scheme = build("sinusoidal", **SHAPE, position_ids={"name": "shape", "largest": 9})
    shifts = [drawn(scheme, step) for step in range(500)]
    assert all((p.diff() == 1).all() for p in shifts)
    counts = torch.bincount(torch.tensor([int(p[0]) for p in shifts]), minlength=10)
    assert len(counts) == 10
    assert counts.min() > 25  # 50 expected


def test_random_positions_are_a_uniform_subset_of_the_range():
    scheme = build("rope", **SHAPE, position_ids={"name": "randomized", "multiple": 4})
    hits = torch.zeros(4 * L)
    for step in range(2000):
        hits[drawn(scheme, step)] += 1
    assert abs(float(hits.mean()) - 500) < 1e-6
    assert (hits - 500).abs().max() < 100  # 5 standard deviations
    evaluation = build(
        "rope", **SHAPE, position_ids={"name": "randomized", "multiple": 4}
    ).positions(40)
    assert evaluation[-1] < 4 * L
    assert (evaluation.diff() > 0).all()
    assert (
        build("rope", **SHAPE, position_ids={"name": "randomized", "multiple": 4})
        .positions(100)
        .equal(torch.arange(100))
    )


def test_a_skip_cuts_the_context_in_two_and_reaches_the_whole_range():
    scheme = build("rope", **SHAPE, position_ids={"name": "pose", "multiple": 4})
    seen = [drawn(scheme, step) for step in range(1500)]
    assert all((p[0], (p.diff() > 1).sum() <= 1) == (0, True) for p in seen)
    assert max(int(p[-1]) for p in seen) == 4 * L - 1
    assert {int((p.diff() == 1).sum()) for p in seen} == {L - 2, L - 1}


@pytest.mark.parametrize("name", ["randomized", "pose"])
def test_an_automatic_factor_counts_the_whole_range_as_trained(name):
    scheme = build("yarn", **SHAPE, position_ids={"name": name, "multiple": 4})
    assert scheme.effective_length(L) == 4 * L
    scheme.set_progress(trained_length=scheme.effective_length(L))
    assert scheme.scale(L) == 4
    assert build("yarn", **SHAPE, position_ids="shape").effective_length(L) == L


@pytest.mark.parametrize("name", ["t5", "kerple_log", "sandwich", "alibi"])
def test_a_bias_is_of_the_drawn_distances(name):
    scheme = build(name, **SHAPE, position_ids={"name": "pose", "multiple": 4})
    drawn(scheme, 5)
    positions = scheme.positions(L)
    assert positions[-1] > L  # step 5 skips
    far = build(name, **SHAPE)
    far.load_state_dict(scheme.state_dict())

    def rows(pe, at: torch.Tensor) -> torch.Tensor:
        bias = prepare(pe.tables(at)).bias
        values = bias.values_HQK[:, -1] if hasattr(bias, "values_HQK") else bias.values_HK.float()
        return values - values[:, -1:]

    contiguous = rows(far, torch.arange(int(positions[-1]) + 1))
    torch.testing.assert_close(rows(scheme, positions), contiguous[:, positions])


def test_a_learned_table_says_where_it_ends():
    scheme = build("learned", **SHAPE, position_ids="randomized")
    drawn(scheme, 0)
    with pytest.raises(ValueError, match=r"position \d+ is undefined for learned positions"):
        scheme.embed(torch.zeros(1, L, 32), scheme.positions(L))


def test_senseless_ranges_are_refused():
    with pytest.raises(ValueError, match=r"position_ids.multiple must be at least 1, not 0.5"):
        build("rope", **SHAPE, position_ids={"name": "pose", "multiple": 0.5})
    with pytest.raises(ValueError, match=r"position_ids.largest must be at least 0, not -1"):
        build("rope", **SHAPE, position_ids={"name": "shape", "largest": -1})
