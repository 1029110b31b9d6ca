"""Random streams: independent of torch's global generator and of each other."""

import torch

from posext.utils.rng import stream_seed, torch_stream


def test_torch_stream_leaves_the_global_generator_unchanged():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    with torch_stream(0, "scheme"):
        torch.rand(100)
    assert torch.rand(4).equal(expected)


def test_stream_seed_differs_by_seed_and_purpose():
    purposes = ("network", "scheme")
    seeds = {stream_seed(seed, purpose) for seed in range(50) for purpose in purposes}
    assert len(seeds) == 100
