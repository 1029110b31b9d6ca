"""Peak memory of a stretch of code, above what was held when it began."""

import threading

import psutil
import torch

EVERY = 0.005  # seconds between looks at the resident set


class PeakMemory:
    """`with PeakMemory(device) as peak: ...` leaves bytes in `peak.bytes`.

    CUDA: the allocator's own peak. CPU: the resident set, sampled by a thread, as a process's recorded maximum never falls.
    """

    def __init__(self, device: torch.device):
        self.device, self.bytes, self.done = device, 0, threading.Event()

    def __enter__(self) -> "PeakMemory":
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self.idle = torch.cuda.memory_allocated(self.device)
        else:
            self.process = psutil.Process()
            self.idle = self.process.memory_info().rss
            self.thread = threading.Thread(target=self.sample, daemon=True)
            self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self.device) - self.idle
        else:
            self.done.set()
            self.thread.join()

    def sample(self) -> None:
        while True:
            self.bytes = max(self.bytes, self.process.memory_info().rss - self.idle)
            if self.done.wait(EVERY):
                return
