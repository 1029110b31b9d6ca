"""Everything scheduled is a pure function of the step."""

import pytest

from posext.config import LengthConfig, OptimizerConfig, StageConfig
from posext.training.optimizer import lr_at
from posext.training.schedules import schedule

PROGRESSIVE = LengthConfig([StageConfig(1, 0.8), StageConfig(2, 0.1), StageConfig(4, 0.1)])


def test_progressive_lengths_follow_their_shares_of_the_steps():
    lengths = schedule(PROGRESSIVE, 128, 1200)
    at = [lengths.length_at(step) for step in range(1200)]
    assert [at.count(length) for length in (128, 256, 512)] == [960, 120, 120]
    assert at == sorted(at)
    assert lengths.longest == 512


def test_a_scheme_is_told_the_longest_length_reached_so_far():
    lengths = schedule(PROGRESSIVE, 128, 1200)
    assert [lengths.trained_length_at(s) for s in (0, 959, 960, 1079, 1080, 1199)] == [
        128,
        128,
        256,
        256,
        512,
        512,
    ]


@pytest.mark.parametrize("steps", [1, 2, 7, 11, 1000])
def test_stages_cover_every_step_of_any_number(steps):
    lengths = schedule(PROGRESSIVE, 16, steps)
    assert lengths.stages[-1][0] == steps
    assert all(lengths.length_at(step) in (16, 32, 64) for step in range(steps))


def test_the_learning_rate_warms_up_then_falls_along_a_cosine():
    config, peak = OptimizerConfig(warmup_share=0.1, final_share=0.1), 2.0
    rates = [lr_at(step, 100, peak, config) for step in range(101)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9] == rates[10] == max(rates) == peak
    assert rates[55] == pytest.approx(peak * 0.55)  # half way down
    assert rates[100] == pytest.approx(peak * 0.1)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_wsd_is_flat_until_its_decay():
    config = OptimizerConfig(schedule="wsd", warmup_share=0.1, decay_share=0.2, final_share=0.0)
    rates = [lr_at(step, 100, 1.0, config) for step in range(101)]
    assert set(rates[10:80]) == {1.0}
    assert rates[90] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0.0)
