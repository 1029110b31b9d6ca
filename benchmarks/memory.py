"""Peak memory of scoring one context, above what the process holds before, as contexts grow.

Every scheme runs in a process of its own, through its lengths from the shortest up.
"""

import gc
import math
import subprocess
import sys

import report
import torch
from setting import bf16, compose_config, network

from posext.pe import names
from posext.utils.memory import PeakMemory

VOCABULARY = 2048
TARGETS = 64


def print_peaks(model: str, scheme: str, lengths: list[int], layers: int) -> None:
    """Print the peak in bytes at each length."""
    config = compose_config(f"model={model}")
    accelerator = bf16()
    config.model.n_layers = layers or config.model.n_layers
    settings = {"max_length": lengths[-1]} if scheme == "learned" else {}
    ours = network(config, VOCABULARY, scheme, **settings).to(accelerator.device).eval()
    tokens_BT = torch.randint(VOCABULARY, (1, lengths[-1] + 1), device=accelerator.device)
    with torch.inference_mode(), accelerator.autocast():
        # a first call: memory that is loaded once does not belong to a context
        ours.target_nll(tokens_BT[:, :1024], tokens_BT[:, 1 : TARGETS + 1])
        for length in lengths:
            gc.collect()
            with PeakMemory(accelerator.device) as peak:
                ours.target_nll(tokens_BT[:, :length], tokens_BT[:, -TARGETS:])
            print(peak.bytes, flush=True)


def benchmark(model: str, schemes: str, lengths: str, layers: int) -> list[report.Row]:
    """Peak in MiB by scheme and length, and its mean growth with each doubling of the length."""
    rows = []
    contexts = [int(n) for n in lengths.split(",")]
    for scheme in schemes.split(",") if schemes else names():
        call = f"import memory; memory.print_peaks({model!r}, {scheme!r}, {contexts}, {layers})"
        process = subprocess.run(
            [sys.executable, "-c", call], cwd=sys.path[0], capture_output=True, text=True
        )
        if process.returncode:
            print(f"{scheme}: {process.stderr.strip().splitlines()[-1]}", flush=True)
            continue
        peaks = [int(line) for line in process.stdout.split()]
        case = f"{model}, {scheme}"
        rows += [
            report.row(case, f"peak at {n:,} tokens", peak / 2**20, "MiB")
            for n, peak in zip(contexts, peaks, strict=True)
        ]
        if len(contexts) > 1:
            growth = (peaks[-1] / peaks[0]) ** (1 / math.log2(contexts[-1] / contexts[0]))
            rows.append(report.row(case, "growth per doubling", growth, "times"))
        print(scheme, [round(peak / 2**20) for peak in peaks], flush=True)
    return rows


if __name__ == "__main__":
    report.run(
        "memory", benchmark, model="nano", schemes="", lengths="4096,8192,16384,32768", layers=2
    )
