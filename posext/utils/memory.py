"""Peak memory of a block of code, relative to the memory in use when it began."""

import ctypes
import sys
import threading

import psutil
import torch

SAMPLE_SECONDS = 0.005  # between two samples of the resident set


class PeakMemory:
    """Context manager: `with PeakMemory(device) as peak: ...` leaves the peak in `peak.bytes`.

    On CUDA it is the allocator's own peak. On a CPU a thread samples the resident set, because
    the maximum that the system records for a process never falls; free memory goes back to the
    system first, where libc can do that (Linux), or the block would use it unseen.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self.bytes = 0
        self.done = threading.Event()

    def __enter__(self) -> "PeakMemory":
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self.idle = torch.cuda.memory_allocated(self.device)
        else:
            return_free_memory()
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
        """Update `bytes` every SAMPLE_SECONDS until the block ends."""
        while True:
            self.bytes = max(self.bytes, self.process.memory_info().rss - self.idle)
            if self.done.wait(SAMPLE_SECONDS):
                return


def return_free_memory() -> None:
    """Return memory that the allocator holds and nothing uses to the system, on Linux."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc alone
        if trim:
            trim(0)
