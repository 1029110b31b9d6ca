import torch

from posext.utils.memory import PeakMemory

BLOCK = 100_000  # bytes: small enough that libc keeps it when it is freed


def peak_of_blocks(count: int, kept: list[torch.Tensor]) -> int:
    """Peak of holding so many blocks; one lives on behind them, which keeps the heap large."""
    with PeakMemory(torch.device("cpu")) as peak:
        blocks = [torch.ones(BLOCK // 4) for _ in range(count)]
        kept.append(torch.ones(BLOCK // 4))
        del blocks
    return peak.bytes


def test_peak_memory_is_the_blocks_own_after_a_larger_one():
    kept = []
    for count in (600, 1200, 600):
        assert 0.8 < peak_of_blocks(count, kept) / (count * BLOCK) < 1.2, count
