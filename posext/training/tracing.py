"""Traces of single steps by torch's profiler."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

ROWS = 40  # of the table of operations


@contextmanager
def traced(folder: Path, step: int, steps: list[int]) -> Iterator[None]:
    """Trace the block if its step is among `steps`.

    Args:
        folder: The folder of the traces: step-N.json, for ui.perfetto.dev, and step-N.txt, the
            operations that took the longest.
        step: The step, counted from 1.
        steps: The steps to trace.
    """
    if step not in steps:
        yield
        return
    on_gpu = torch.cuda.is_available()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as profiler:
        yield
    folder.mkdir(exist_ok=True)
    profiler.export_chrome_trace(str(folder / f"step-{step}.json"))
    slowest = "self_cuda_time_total" if on_gpu else "self_cpu_time_total"
    table = profiler.key_averages().table(sort_by=slowest, row_limit=ROWS)
    (folder / f"step-{step}.txt").write_text(table)
