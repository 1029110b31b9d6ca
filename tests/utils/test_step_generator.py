"""The random numbers of training steps: they never change, and streams never meet."""

from types import SimpleNamespace

import numpy as np
from helpers.splits import split_of

from posext.config import DataConfig
from posext.data.recall import mixing
from posext.data.recall.pool import Pool
from posext.position_ids.draws import generator
from posext.utils.rng import Stream, step_generator


def test_step_generator_numbers_never_change(monkeypatch):
    """Runs are resumed, and compared with older ones, by these numbers on every stream."""
    split = split_of(range(100), range(100, 300))
    windows, origins = split.batch(3, 7, 8, 4)
    assert windows[:, 0].tolist() == [83, 113, 0, 197]
    assert list(origins) == ["d0:83", "d1:13", "d0:0", "d1:97"]

    monkeypatch.setattr(mixing, "pool_of", lambda tokens: Pool(np.arange(300, 364), 0))
    tokens = SimpleNamespace(windows=lambda validation, pack: split)
    windows, _ = mixing.batch(tokens, DataConfig(recall_share=0.5), 3, 7, 16, 4)
    assert (windows.numpy() >= 300).sum(axis=1).tolist() == [8, 0, 8, 0]
    written = [[339, 322, 350, 343, 350, 343, 339, 322], [312, 355, 350, 317] * 2]
    assert [row[row >= 300].tolist() for row in windows[::2]] == written
    assert windows[0].tolist().index(350) == 6

    assert generator((3, 7)).integers(1000, size=6).tolist() == [355, 283, 687, 437, 997, 179]


def test_step_generator_differs_by_stream_and_step():
    draws = {
        tuple(step_generator(0, step, stream).integers(2**60, size=100_000)[[0, 1, -1]].tolist())
        for step in (0, 1)
        for stream in Stream
    }
    assert len(draws) == 2 * len(Stream)
