"""Position ids of training: functions of (seed, step), within the ranges of the papers."""

import math

import pytest
import torch

from posext.model.attention import prepare
from posext.pe import build

L = 16
SHAPE = {"head_dim": 8, "n_heads": 4, "d_model": 32, "train_length": L}


def drawn(scheme, step: int, length: int = L, seed: int = 3) -> torch.Tensor:
    """The positions of a training step."""
    scheme.set_progress(trained_length=length, rng_key=(seed, step))
    return scheme.positions(length)


@pytest.mark.parametrize("name", ["shape", "randomized", "pose", "random_floats"])
def test_position_ids_depend_on_seed_and_step_alone(name):
    first, second = (build("rope", **SHAPE, position_ids=name) for _ in range(2))
    upwards = [drawn(first, step) for step in range(30)]
    downwards = [drawn(second, step) for step in reversed(range(30))]
    assert all(a.equal(b) for a, b in zip(upwards, reversed(downwards), strict=True))
    assert len({tuple(positions.tolist()) for positions in upwards}) > 10
    assert not drawn(first, 1).equal(drawn(first, 1, seed=4))
    for positions in upwards:
        assert (positions.diff() > 0).all()
        assert positions[0] >= 0
        assert positions.dtype == (torch.float64 if name == "random_floats" else torch.int64)


@pytest.mark.parametrize("name", ["shape", "pose"])
def test_position_ids_of_evaluation_count_from_zero(name):
    assert build("rope", **SHAPE, position_ids=name).positions(40).equal(torch.arange(40))


def test_shape_shift_is_uniform_and_keeps_distances():
    scheme = build("sinusoidal", **SHAPE, position_ids={"name": "shape", "largest": 9})
    steps = [drawn(scheme, step) for step in range(500)]
    assert all((positions.diff() == 1).all() for positions in steps)
    shifts = torch.tensor([int(positions[0]) for positions in steps])
    counts = torch.bincount(shifts, minlength=10)
    assert len(counts) == 10
    assert counts.min() > 25  # 50 expected


def test_randomized_positions_are_a_uniform_subset_of_the_range():
    randomized = {"name": "randomized", "multiple": 4}
    scheme = build("rope", **SHAPE, position_ids=randomized)
    hits = torch.zeros(4 * L)
    for step in range(2000):
        hits[drawn(scheme, step)] += 1
    assert abs(float(hits.mean()) - 500) < 1e-6
    assert (hits - 500).abs().max() < 100  # 5 standard deviations
    evaluation = build("rope", **SHAPE, position_ids=randomized).positions(40)
    assert evaluation[-1] < 4 * L
    assert (evaluation.diff() > 0).all()
    beyond = build("rope", **SHAPE, position_ids=randomized).positions(100)
    assert beyond.equal(torch.arange(100))


def test_random_floats_are_uniform_over_the_range():
    scheme = build("rope", **SHAPE, position_ids={"name": "random_floats", "multiple": 4})
    steps = torch.stack([drawn(scheme, step) for step in range(1000)])
    counts = torch.histc(steps.float(), bins=4 * L, min=0, max=4 * L)
    assert int(counts.sum()) == 1000 * L
    assert (counts - 250).abs().max() < 80  # 5 standard deviations
    assert (steps % 1).unique().numel() == steps.numel()
    # the k-th of L sorted uniform numbers lies at k / (L + 1) of the range on average
    expected = torch.arange(1, L + 1).double() / (L + 1) * 4 * L
    assert (steps.mean(0) - expected).abs().max() < 1.3  # 5 standard deviations


@pytest.mark.parametrize("length", [1, 5, L, L + 1, 64])
def test_random_floats_of_evaluation_share_out_the_range(length):
    scheme = build("rope", **SHAPE, position_ids={"name": "random_floats", "multiple": 4})
    expected = [4 * L * (2 * i - 1) / (2 * max(length, L)) for i in range(1, length + 1)]
    assert scheme.positions(length).tolist() == pytest.approx(expected, rel=1e-15)
    assert scheme.length_dependent


@pytest.mark.parametrize("name", ["rope", "hope", "alibi"])
def test_random_floats_one_token_apart_are_those_of_the_scheme(name):
    """At a multiple of 1 and the original length, evaluation shifts positions by a half."""
    scheme = build(name, **SHAPE, position_ids="random_floats")
    assert scheme.positions(L).equal(torch.arange(L) + 0.5)
    whole, shifted = (scheme.tables(at) for at in (torch.arange(3), torch.arange(3) + 0.5))
    if name == "alibi":
        apart = [table.bias.values_HK.diff() for table in (whole, shifted)]
        torch.testing.assert_close(*apart, atol=1e-12, rtol=0)
    if whole.rotation is not None:
        angle = math.atan2(
            float(shifted.rotation.sin_TR[2, 0]), float(shifted.rotation.cos_TR[2, 0])
        )
        assert angle == pytest.approx(2.5, abs=1e-6)


@pytest.mark.parametrize("name", ["t5", "kerple_log", "sandwich", "learned"])
def test_random_floats_are_refused_where_whole_positions_are_looked_up(name):
    with pytest.raises(
        ValueError, match=r"needs whole positions, not those of position_ids=random_fl"
    ):
        build(name, **SHAPE, position_ids="random_floats")


def test_pose_skips_once_and_reaches_the_whole_range():
    scheme = build("rope", **SHAPE, position_ids={"name": "pose", "multiple": 4})
    steps = [drawn(scheme, step) for step in range(1500)]
    for positions in steps:
        assert positions[0] == 0
        assert (positions.diff() > 1).sum() <= 1
    assert max(int(positions[-1]) for positions in steps) == 4 * L - 1
    assert {int((positions.diff() == 1).sum()) for positions in steps} == {L - 2, L - 1}


@pytest.mark.parametrize("name", ["randomized", "pose"])
def test_effective_length_is_the_whole_range_of_positions(name):
    """An automatic factor counts the whole range as trained."""
    scheme = build("yarn", **SHAPE, position_ids={"name": name, "multiple": 4})
    assert scheme.effective_length(L) == 4 * L
    scheme.set_progress(trained_length=scheme.effective_length(L))
    assert scheme.scale(L) == 4
    assert build("yarn", **SHAPE, position_ids="shape").effective_length(L) == L


@pytest.mark.parametrize("name", ["t5", "kerple_log", "sandwich", "alibi"])
def test_bias_is_that_of_the_drawn_distances(name):
    scheme = build(name, **SHAPE, position_ids={"name": "pose", "multiple": 4})
    drawn(scheme, 5)
    positions = scheme.positions(L)
    assert positions[-1] > L  # step 5 skips
    plain = build(name, **SHAPE)
    plain.load_state_dict(scheme.state_dict())

    def last_row(pe, positions: torch.Tensor) -> torch.Tensor:
        bias = prepare(pe.tables(positions)).bias
        values = bias.values_HQK[:, -1] if hasattr(bias, "values_HQK") else bias.values_HK.float()
        return values - values[:, -1:]

    contiguous = last_row(plain, torch.arange(int(positions[-1]) + 1))
    torch.testing.assert_close(last_row(scheme, positions), contiguous[:, positions])


def test_learned_refuses_drawn_positions_beyond_its_table():
    scheme = build("learned", **SHAPE, position_ids="randomized")
    drawn(scheme, 0)
    with pytest.raises(ValueError, match=r"position \d+ is undefined for learned positions"):
        scheme.embed(torch.zeros(1, L, 32), scheme.positions(L))


def test_position_ids_refuse_ranges_out_of_bounds():
    with pytest.raises(
        ValueError, match=r"position_ids.multiple must be a number of at least 1, not 0.5"
    ):
        build("rope", **SHAPE, position_ids={"name": "pose", "multiple": 0.5})
    with pytest.raises(
        ValueError,
        match=r"position_ids.largest must be a whole number of at least 0, or auto, not -1",
    ):
        build("rope", **SHAPE, position_ids={"name": "shape", "largest": -1})
