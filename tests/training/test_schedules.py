"""Training lengths, as functions of the step."""

import pytest

from posext.config import LengthConfig, StageConfig
from posext.training.schedules import schedule

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
