"""Training lengths and windows, as functions of the step."""

from pathlib import Path

import pytest
import torch
from helpers.networks import SHAPE, TRAIN_LENGTH, network, tokens

from posext.config import LengthConfig, ModelConfig, PythonData, StageConfig, TrainConfig
from posext.pe import build, settings_of
from posext.runs.learner import set_stage
from posext.runs.run import Run
from posext.training.schedules import check_windows, schedule
from posext.utils.errors import PosextError

PROGRESSIVE = LengthConfig([StageConfig(1, 0.8), StageConfig(2, 0.1), StageConfig(4, 0.1)])


def test_length_at_gives_each_stage_its_share_of_the_steps():
    lengths = schedule(PROGRESSIVE, 128, 1200)
    by_step = [lengths.length_at(step) for step in range(1200)]
    assert [by_step.count(length) for length in (128, 256, 512)] == [960, 120, 120]
    assert by_step == sorted(by_step)
    assert lengths.longest == 512


@pytest.mark.parametrize(
    ("step", "longest"), [(0, 128), (959, 128), (960, 256), (1079, 256), (1080, 512), (1199, 512)]
)
def test_trained_length_at_is_the_longest_so_far(step, longest):
    assert schedule(PROGRESSIVE, 128, 1200).trained_length_at(step) == longest


@pytest.mark.parametrize("steps", [1, 2, 7, 11, 1000])
def test_schedule_covers_any_number_of_steps(steps):
    lengths = schedule(PROGRESSIVE, 16, steps)
    assert lengths.stages[-1][0] == steps
    assert all(lengths.length_at(step) in (16, 32, 64) for step in range(steps))


LADDER = LengthConfig([StageConfig(1, 0.3, 0.25), StageConfig(1, 0.3, 0.5), StageConfig(1, 0.4)])


def test_window_at_grows_from_stage_to_stage_at_one_length():
    lengths = schedule(LADDER, 128, 100)
    windows = [lengths.window_at(step) for step in range(100)]
    assert windows == [32] * 30 + [64] * 30 + [None] * 40
    assert {lengths.length_at(step) for step in range(100)} == {128}
    assert {lengths.trained_length_at(step) for step in range(100)} == {128}
    assert schedule(PROGRESSIVE, 128, 100).window_at(99) is None
    assert schedule(LengthConfig([StageConfig(1, 1.0, 0.01)]), 16, 1).window_at(0) == 1


def test_title_tells_a_scheme_with_growing_windows_from_the_scheme_alone():
    model = ModelConfig(name="a", n_layers=1, n_heads=1, d_model=8, d_ff=8, learning_rate=1e-3)
    settings = {"pe": settings_of("pe", "rope"), "model": model, "data": PythonData()}
    titles = [TrainConfig(**settings, length=length).title() for length in (PROGRESSIVE, LADDER)]
    assert titles == ["rope", "rope+growing_window"]


def seen_by_the_last(model, length: int) -> int:
    """The tokens on which the last logits of one layer depend, itself included."""
    before = tokens(length)
    seen = 0
    for position in range(length):
        after = before.clone()
        after[:, position] = (after[:, position] + 1) % 50
        seen += int((model(after)[:, -1] - model(before)[:, -1]).abs().max() > 1e-12)
    return seen


@pytest.mark.parametrize("name", ["rope", "alibi", "t5", "fox", "smollm3"])
def test_set_stage_hides_far_keys_until_training_is_over(name):
    layers = 2 if name == "smollm3" else 1  # as many as its kinds
    config = TrainConfig(
        pe=settings_of("pe", name),
        model=ModelConfig("test", layers, n_heads=4, d_model=32, d_ff=64, learning_rate=1e-3),
        data=PythonData(),
        length=LADDER,
        train_length=TRAIN_LENGTH,
        steps=10,
    )
    model = network(layers, name).double()
    run = Run(Path("nowhere"), config)
    # a layer reaches back by one token less than its window
    for step, window in ((0, 4), (3, 8), (5, 8), (6, TRAIN_LENGTH), (0, 4)):
        set_stage(model.pe, run, step, rng_key=(0, step))
        reach = 1 + layers * (window - 1)
        assert seen_by_the_last(model, TRAIN_LENGTH) == min(reach, TRAIN_LENGTH)
    model.pe.set_progress(trained_length=TRAIN_LENGTH)
    assert seen_by_the_last(model, TRAIN_LENGTH + 5) == TRAIN_LENGTH + 5


@pytest.mark.parametrize("name", ["yarn", "ntk", "linear", "alibi_interpolated"])
def test_set_stage_scales_with_the_windows_from_the_original_length_on(name):
    """Frequencies at each window are those of a fixed factor, window / original length."""
    config = TrainConfig(
        pe=settings_of("pe", name),
        model=ModelConfig("test", 1, n_heads=4, d_model=32, d_ff=64, learning_rate=1e-3),
        data=PythonData(),
        length=LADDER,
        train_length=256,
        original_length=64,
        steps=10,
    )
    run = Run(Path("nowhere"), config)
    scheme = run.scheme()

    def table(of, length):
        made = of.tables(torch.arange(length))
        return made.bias.values_HK if made.rotation is None else made.rotation.cos_TR

    def fixed(factor):
        return build(name, **(SHAPE | {"train_length": 64}), factor=factor)

    for step, factor in ((0, 1.0), (2, 1.0), (3, 2.0), (5, 2.0), (6, 4.0), (0, 1.0)):
        set_stage(scheme, run, step, rng_key=None)
        assert table(scheme, 256).equal(table(fixed(factor), 256)), step
    scheme.set_progress(trained_length=256)
    assert table(scheme, 512).equal(table(fixed(8.0), 512))


def test_set_stage_leaves_a_scaling_as_it_is_where_the_windows_are_within_the_original_length():
    scheme = build("yarn", **(SHAPE | {"train_length": 256}))
    rope = build("rope", **SHAPE).rotation(torch.arange(256), 256)
    for window in (32, 128, 256):
        scheme.set_progress(trained_length=256, stage_window=window)
        assert scheme.rotation(torch.arange(256), 256).cos_TR.equal(rope.cos_TR)


@pytest.mark.parametrize(
    ("name", "axes", "message"),
    [
        ("cope", {}, "a window needs attention weights that are a softmax of scores"),
        ("olmo3", {}, "go with no window of a layer, such as SlidingWindow"),
        ("rope", {"normalizer": "entmax"}, "go with no normalizer of a layer, such as Entmax"),
    ],
)
def test_windows_of_stages_are_refused_where_a_scheme_takes_none(name, axes, message):
    scheme = build(name, **SHAPE, **axes)
    with pytest.raises(PosextError, match=message):
        check_windows(schedule(LADDER, 16, 10), scheme, 4)
    check_windows(schedule(PROGRESSIVE, 16, 10), scheme, 4)
